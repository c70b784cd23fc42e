"""Downloads from a real server on this machine, which behaves or misbehaves."""

import hashlib
import json
import logging
import os
import random
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.weights_server import Answer, serving

from napari_mosam.core.model.build import ModelError
from napari_mosam.core.model.catalogue import download_url, model_info
from napari_mosam.core.model.download.hashes import record_path, verify_models
from napari_mosam.core.model.download.model import DownloadCancelled, DownloadError, download_model
from napari_mosam.core.model.download.network import check_url, shown
from napari_mosam.core.model.download.partial_file import PartialFile
from napari_mosam.core.model.download.transfer import CHUNK, ResumingDownloader, RetryPolicy

TINY = "sam2.1_hiera_tiny.pt"
CONTENT = random.Random(0).randbytes(300_000)
QUICK = RetryPolicy(attempts=4, first_wait_s=0.01, longest_wait_s=0.02, timeout_s=2)


@pytest.fixture
def server(local_mirror):
    with serving(files={TINY: CONTENT}) as running:
        yield running


@pytest.fixture
def get(server, publish, tmp_path):
    """A function that downloads sam2.1-tiny from the server into a folder of its own."""
    publish(CONTENT)

    def download(**options):
        return download_model("sam2.1-tiny", **{"folder": tmp_path, "url": server.url, "patience": QUICK, **options})

    download.part = tmp_path / f"{TINY}.part"
    download.file = tmp_path / TINY
    return download


def left_in(folder):
    """What lies in a folder besides the lock."""
    return sorted(p.name for p in folder.iterdir() if not p.name.endswith(".lock"))


# ---- what comes


def test_a_good_file_arrives_whole_with_progress(server, get, tmp_path):
    seen = []
    path = get(progress=lambda done, total: seen.append((done, total)))
    assert path == tmp_path / TINY
    assert path.read_bytes() == CONTENT
    assert seen[0] == (0, len(CONTENT)) and seen[-1] == (len(CONTENT), len(CONTENT))
    assert seen == sorted(seen)
    assert left_in(tmp_path) == [TINY]
    assert server.requests[0]["accept-encoding"] == "identity"


def test_a_file_that_is_there_is_not_downloaded_again(server, get):
    assert get() == get()
    assert len(server.requests) == 1


def test_a_damaged_file_is_replaced(server, get):
    get.file.write_bytes(b"damaged")
    assert get().read_bytes() == CONTENT


def test_the_name_decides_where_it_goes_not_the_server(server, get, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path.parent)
    before = set(tmp_path.parent.iterdir())
    get()
    assert set(tmp_path.parent.iterdir()) == before


def test_a_mirror_is_named_by_the_environment(server, get, monkeypatch):
    assert download_url(model_info("sam2.1-tiny")) == (
        "https://dl.fbaipublicfiles.com/segment_anything_2/092824/sam2.1_hiera_tiny.pt"
    )
    monkeypatch.setenv("MOSAM_MODELS_URL", f"{server.url}/")
    assert get(url=None).read_bytes() == CONTENT


def test_what_is_shipped_needs_no_download(tmp_path):
    assert download_model("nano", folder=tmp_path) == model_info("nano").path
    assert left_in(tmp_path) == []


def test_an_unknown_model(tmp_path):
    with pytest.raises(ModelError, match="there is no model 'micro'"):
        download_model("micro", folder=tmp_path)


# ---- broken connections


def test_a_truncated_file_is_continued(server, get):
    server.answers = [Answer(cut=100_000), Answer(cut=50_000)]
    assert get().read_bytes() == CONTENT
    ranges = [request.get("range") for request in server.requests]
    assert ranges == [None, "bytes=100000-", "bytes=150000-"]
    assert server.requests[1]["if-range"] == server.etag(CONTENT)
    assert server.sent == len(CONTENT)


def test_a_server_that_always_cuts_still_gets_there(server, get):
    server.usual = Answer(cut=20_000)
    assert get().read_bytes() == CONTENT
    assert len(server.requests) == 15


def test_a_server_without_ranges_starts_afresh(server, get):
    server.ranges, server.answers = False, [Answer(cut=100_000)]
    assert get().read_bytes() == CONTENT
    assert server.sent == 100_000 + len(CONTENT)


def test_without_ranges_and_always_cut_it_gives_up_and_says_so(server, get):
    server.ranges, server.usual = False, Answer(cut=100_000)
    with pytest.raises(DownloadError, match=r"\(IncompleteRead\(100000 bytes read, 200000 more expected\)\)") as caught:
        get()
    assert "0 MB are kept" in str(caught.value) and f"put it into '{get.part.parent}'" in str(caught.value)
    assert not get.file.exists() and get.part.exists()


def test_a_file_that_changed_between_two_parts_is_not_spliced(server, get, publish):
    other = CONTENT[::-1]
    publish(other)
    server.answers = [Answer(cut=100_000), Answer(500)]
    with pytest.raises(DownloadError, match="the server answers 500 Internal Server Error"):
        get(patience=replace(QUICK, attempts=1))
    assert get.part.read_bytes() == CONTENT[:100_000]
    server.files[TINY] = other
    assert get().read_bytes() == other
    assert server.requests[-1]["range"] == "bytes=100000-"


@pytest.mark.parametrize("validators", [True, False])
def test_a_change_is_noticed_on_a_server_that_heeds_no_conditions(server, get, publish, validators):
    other = CONTENT[::-1]
    publish(other)
    server.conditions, server.answers = False, [Answer(cut=100_000), Answer(500)]
    server.validators = validators
    with pytest.raises(DownloadError, match="the server answers 500 Internal Server Error"):
        get(patience=replace(QUICK, attempts=1))
    server.files[TINY] = other
    assert get().read_bytes() == other


def test_a_part_without_a_note_is_not_trusted(server, get):
    get.part.write_bytes(b"from somewhere else")
    assert get().read_bytes() == CONTENT
    assert "range" not in server.requests[0]


def test_a_part_from_another_address_is_not_continued(server, get):
    server.answers = [Answer(cut=100_000), Answer(404)]
    with pytest.raises(DownloadError, match=rf"there is no file at {server.url}/{TINY} \(404\)"):
        get()
    assert get.part.read_bytes() == CONTENT[:100_000]
    with serving(files={TINY: CONTENT}) as other:
        assert get(url=other.url).read_bytes() == CONTENT
        assert "range" not in other.requests[0]


def test_a_part_longer_than_the_file_is_dropped(server, get):
    get.part.write_bytes(CONTENT + b"more")
    note = {"url": f"{server.url}/{TINY}", "validator": server.etag(CONTENT), "total": None}
    Path(f"{get.part}.json").write_text(json.dumps(note))
    assert get().read_bytes() == CONTENT


def test_a_date_is_as_good_as_an_etag(server, get):
    server.dated, server.answers = True, [Answer(cut=100_000)]
    assert get().read_bytes() == CONTENT
    assert server.requests[1]["range"] == "bytes=100000-" and "GMT" in server.requests[1]["if-range"]


def test_a_weak_etag_continues_nothing(server, get):
    server.weak, server.answers = True, [Answer(cut=100_000)]
    assert get().read_bytes() == CONTENT
    assert [request.get("range") for request in server.requests] == [None, None]


def test_a_server_that_tells_no_length(server, get):
    server.lengths = False
    assert get().read_bytes() == CONTENT
    get.file.unlink()
    server.answers = [Answer(cut=100_000)]
    assert get().read_bytes() == CONTENT  # the catalogue knows the length


def test_a_complete_part_needs_no_connection(server, get):
    server.answers = [Answer(cut=len(CONTENT) - 1)]
    get()
    get.part.write_bytes(get.file.read_bytes())
    note = {"url": f"{server.url}/{TINY}", "validator": server.etag(CONTENT), "total": len(CONTENT)}
    Path(f"{get.part}.json").write_text(json.dumps(note))
    get.file.unlink()
    asked = len(server.requests)
    assert get().read_bytes() == CONTENT
    assert len(server.requests) == asked


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(0, 5000), max_size=12), size=st.integers(1, 20_000), ranges=st.booleans())
def test_however_it_is_cut_the_bytes_are_right(cuts, size, ranges, tmp_path_factory):
    content = random.Random(size).randbytes(size)
    folder = tmp_path_factory.mktemp("cuts")
    with serving(files={"f": content}, answers=[Answer(cut=cut) for cut in cuts], ranges=ranges) as running:
        downloader = ResumingDownloader(
            folder / "f.part", size, patience=RetryPolicy(attempts=13, first_wait_s=0, longest_wait_s=0)
        )
        downloader(f"{running.url}/f", str(folder / "f"))
    assert (folder / "f").read_bytes() == content


# ---- errors


def test_an_overloaded_server_is_asked_again(server, get):
    server.answers = [Answer(500), Answer(503, retry_after="0"), Answer(429)]
    assert get().read_bytes() == CONTENT
    assert len(server.requests) == 4


def test_a_server_that_stays_broken(server, get):
    server.usual = Answer(500)
    with pytest.raises(DownloadError, match=r"cannot be downloaded \(the server answers 500"):
        get()
    assert len(server.requests) == QUICK.attempts


def test_the_server_says_how_long_to_wait(server, get):
    server.answers = [Answer(503, retry_after="1")]
    started = time.monotonic()
    get()
    assert time.monotonic() - started >= 1


def test_a_missing_file_names_the_address_and_is_not_tried_again(server, get):
    server.files.clear()
    with pytest.raises(DownloadError, match=rf"no file at {server.url}/{TINY} \(404\); check the address"):
        get()
    assert len(server.requests) == 1


def test_a_server_that_refuses(server, get):
    server.usual = Answer(403)
    with pytest.raises(DownloadError, match="does not give .* \\(403 Forbidden\\)"):
        get()


def test_other_bytes_are_removed(server, get, tmp_path):
    server.files[TINY] = CONTENT[::-1]
    with pytest.raises(DownloadError, match=r"not the weights of 'sam2.1-tiny' .* and was removed"):
        get()
    assert left_in(tmp_path) == []


def test_a_file_of_another_length_is_refused_before_it_is_downloaded(server, get, tmp_path):
    server.files[TINY], server.usual = CONTENT * 10, Answer(seconds_per_mb=2)
    with pytest.raises(DownloadError, match="is 3000000 bytes long instead of 300000, so it is another file"):
        get()
    assert left_in(tmp_path) == []
    assert server.sent < len(CONTENT) * 10


def test_wrong_bytes_leave_the_old_file_alone(server, get):
    get.file.write_bytes(b"old")
    server.files[TINY] = CONTENT[::-1]
    with pytest.raises(DownloadError, match="SHA-256 differs"):
        get()
    assert get.file.read_bytes() == b"old"


def test_without_a_connection_it_says_what_to_put_where(get, tmp_path):
    with socket.socket() as nobody_listens:
        nobody_listens.bind(("127.0.0.1", 0))
        port = nobody_listens.getsockname()[1]
        with pytest.raises(
            DownloadError, match=rf"{port}/{TINY} cannot be downloaded \(.*refused.*put it into '{tmp_path}'"
        ):
            get(url=f"http://127.0.0.1:{port}")


def test_a_server_that_falls_silent_is_left(server, get):
    server.answers = [Answer(seconds_per_mb=10_000)]
    assert get(patience=replace(QUICK, timeout_s=0.2)).read_bytes() == CONTENT
    assert len(server.requests) == 2


@pytest.mark.parametrize("url", ["ftp://host/x", "file:///etc", "host/x", "https://", "http://elsewhere.org"])
def test_addresses_from_which_nothing_is_downloaded(url):
    with pytest.raises(DownloadError, match="no address to download from"):
        check_url(url, chosen=False)


@pytest.mark.parametrize("chosen", [False, True])
def test_http_is_for_this_machine_and_chosen_mirrors(chosen):
    def allowed(url):
        try:
            check_url(url, chosen=chosen)
        except DownloadError as error:
            assert str(error) == f"'{url}' is no address to download from; give one that starts with https://"
            return False
        return True

    urls = ("https://anywhere.org/x", "http://localhost:8000/x", "http://mirror.institute.org/x", "ftp://localhost/x")
    assert [allowed(url) for url in urls] == [True, True, chosen, False]


def test_a_password_in_an_address_is_neither_shown_nor_stored(server, get, tmp_path):
    assert shown("https://me:secret@host:8/x?y") == "https://host:8/x?y"
    server.answers = [Answer(cut=100_000), Answer(404)]
    with pytest.raises(DownloadError, match=rf"there is no file at {server.url}/{TINY} \(404\)") as caught:
        get(url=server.url.replace("//", "//me:secret@"))
    assert server.requests[0]["authorization"].startswith("Basic ")
    assert "secret" not in str(caught.value)
    assert not any(b"secret" in path.read_bytes() for path in tmp_path.iterdir())


def test_a_redirect_is_followed(server, get):
    with serving(files={"there": CONTENT}) as other:
        server.usual = Answer(302, location=f"{other.url}/there")
        assert get().read_bytes() == CONTENT


# ---- more than the file


@pytest.fixture
def most(monkeypatch):
    """The largest size that the part file had when it was removed."""
    sizes = [0]
    discard = PartialFile.discard
    monkeypatch.setattr(PartialFile, "discard", lambda self: (sizes.append(self.size), discard(self))[1])
    return lambda: max(sizes)


@pytest.mark.parametrize("endless", [True, False], ids=["endless", "twice as long"])
@pytest.mark.parametrize("chunked", [True, False], ids=["chunked", "without a length"])
def test_a_server_that_sends_more_is_cut_off(server, get, tmp_path, most, endless, chunked):
    server.lengths, server.chunked, server.usual = False, chunked, Answer(endless=endless)
    server.files[TINY] = CONTENT * 2
    with pytest.raises(DownloadError, match="sends more than the 300000 bytes that the weights have, .* was cut off"):
        get()
    assert len(server.requests) == 1
    assert len(CONTENT) - CHUNK <= most() <= len(CONTENT)
    assert left_in(tmp_path) == []


def test_a_continued_download_is_cut_off_too(server, get, tmp_path, most):
    server.answers = [Answer(cut=100_000), Answer(endless=True)]
    server.lengths = False
    with pytest.raises(DownloadError, match="sends more than the 300000 bytes"):
        get()
    assert [request.get("range") for request in server.requests] == [None, "bytes=100000-"]
    assert 100_000 < most() <= len(CONTENT)
    assert left_in(tmp_path) == []


def test_a_length_that_is_not_the_files_is_refused_before_the_first_byte(server, get, tmp_path, most):
    server.files[TINY] = CONTENT * 2
    with pytest.raises(DownloadError, match="is 600000 bytes long instead of 300000"):
        get()
    assert most() == 0 and left_in(tmp_path) == []


def test_a_file_in_chunks_arrives_whole(server, get):
    server.chunked = True
    assert get().read_bytes() == CONTENT


# ---- the disk


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_is_reported(server, get, monkeypatch):
    monkeypatch.setattr(PartialFile, "discard", lambda self: None)  # which would take the way to the full disk away
    get.part.symlink_to("/dev/full")
    with pytest.raises(DownloadError, match=r"the download to .* failed: the disk is full; make room"):
        get()


def test_a_disk_without_room_is_reported_before_the_download(server, get, publish, monkeypatch):
    usage = type("Usage", (), {"free": 100_000})
    monkeypatch.setattr("napari_mosam.core.model.download.transfer.shutil.disk_usage", lambda _: usage)
    with pytest.raises(DownloadError, match="the disk is too full: 0 MB are needed in .* and 0 MB are free"):
        get()
    assert not get.part.exists()


def test_a_folder_that_cannot_be_written(get, tmp_path):
    folder = Path("/proc/mosam") if os.getuid() == 0 else tmp_path / "locked"
    if os.getuid():
        folder.mkdir(mode=0o500)
    with pytest.raises(DownloadError, match="cannot write into .*choose another folder"):
        get(folder=folder)


def test_a_file_in_place_of_the_folder(get, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DownloadError, match="cannot write into"):
        get(folder=tmp_path / "file")


# ---- cancelling


def test_a_slow_download_is_cancelled_at_once_kept_and_continued(server, get):
    server.usual = Answer(seconds_per_mb=10)  # 3 s in all
    started, stop = time.monotonic(), threading.Event()
    threading.Timer(0.6, stop.set).start()
    with pytest.raises(DownloadCancelled, match="are kept and will be continued"):
        get(cancelled=stop.is_set)
    assert time.monotonic() - started < 2.5
    kept = get.part.stat().st_size
    assert 0 < kept < len(CONTENT) and not get.file.exists()
    server.usual = Answer()
    assert get().read_bytes() == CONTENT
    assert server.requests[-1]["range"] == f"bytes={kept}-"


def test_the_wait_between_two_attempts_is_cancelled_too(server, get):
    server.usual = Answer(503, retry_after="30")
    started, stop = time.monotonic(), threading.Event()
    threading.Timer(0.2, stop.set).start()
    with pytest.raises(DownloadCancelled, match="cancelled; 0 MB are kept and will be continued"):
        get(cancelled=stop.is_set)
    assert time.monotonic() - started < 2


# ---- several at once


def test_threads_that_want_the_same_file_get_it_once(server, get):
    server.usual = Answer(seconds_per_mb=1)
    paths = []
    threads = [threading.Thread(target=lambda: paths.append(get())) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert [path.read_bytes() for path in paths] == [CONTENT] * 3
    assert len(server.requests) == 1


def test_a_process_that_dies_leaves_no_lock(server, get, tmp_path):
    server.usual = Answer(seconds_per_mb=100)
    code = (
        "import sys; from napari_mosam.core.model.download.model import download_model as d;"
        "d('sam2.1-tiny', folder=sys.argv[1], url=sys.argv[2])"
    )
    content = CONTENT + bytes(156_008_466 - len(CONTENT))  # what that process expects of the file
    server.files[TINY] = content
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path), server.url])
    try:
        end = time.monotonic() + 60
        while not (get.part.exists() and get.part.stat().st_size) and time.monotonic() < end:
            time.sleep(0.05)
        stop = threading.Event()
        threading.Timer(0.3, stop.set).start()
        with pytest.raises(DownloadCancelled, match="another process"):
            get(cancelled=stop.is_set)
    finally:
        process.kill()
        process.wait(10)
    server.usual, server.files[TINY] = Answer(), CONTENT
    assert get().read_bytes() == CONTENT


# ---- hashes that nobody published


def test_an_unknown_hash_is_recorded_and_compared(server, get, publish, tmp_path, caplog):
    publish(CONTENT, known=False)
    with caplog.at_level(logging.WARNING):
        path = get()
    assert f"no SHA-256 is known for '{TINY}'" in caplog.text
    record = json.loads(record_path(path).read_text())
    assert record == {
        "sha256": hashlib.sha256(CONTENT).hexdigest(),
        "size": len(CONTENT),
        "url": f"{server.url}/{TINY}",
    }
    (found,) = verify_models(["sam2.1-tiny"], tmp_path)
    assert found.verdict == "as recorded"
    path.write_bytes(CONTENT[:-1] + b"x")
    (found,) = verify_models(["sam2.1-tiny"], tmp_path)
    assert found.verdict == "damaged" and found.expected == record["sha256"]
    assert get().read_bytes() == CONTENT


def test_other_bytes_than_recorded_are_refused(server, get, publish, tmp_path):
    publish(CONTENT, known=False)
    get().unlink()
    server.files[TINY] = CONTENT[::-1]
    with pytest.raises(DownloadError, match=r"SHA-256 differs.*remove '.*\.sha256\.json' and try again"):
        get()
    record_path(get.file).unlink()
    assert get().read_bytes() == CONTENT[::-1]


def test_verify_tells_every_case_apart(server, get, publish, tmp_path):
    verdicts = lambda: {v.name: v.verdict for v in verify_models(folder=tmp_path)}  # noqa: E731
    assert verdicts()["nano"] == "ok" and verdicts()["sam2.1-tiny"] == "missing"
    get.part.write_bytes(b"a beginning")
    assert verdicts()["sam2.1-tiny"] == "incomplete"
    get()
    assert verdicts()["sam2.1-tiny"] == "ok"
    get.file.write_bytes(b"other")
    assert verdicts()["sam2.1-tiny"] == "damaged"
    publish(CONTENT, known=False)
    (tmp_path / "mine.pt").write_bytes(b"")
    assert verdicts()["sam2.1-tiny"] == verdicts()["mine.pt"] == "unknown"
