"""Transactions on the files of a folder: all or nothing, back and forth, at every point where a process may die."""

import json
import shutil
from unittest.mock import patch

import pytest
from tests.support.crashes import Killed, content, content_but_journal, dying_at

from napari_mosam.core.config.checks import Refused
from napari_mosam.core.files import disk
from napari_mosam.core.files import journal as journal_module
from napari_mosam.core.files.entries import seal_of
from napari_mosam.core.files.journal import Journal, Transaction
from napari_mosam.core.files.manifest import MANIFEST, Expected, Verifier, manifest_of, merged_manifest

FIRST = {"a/c/0": b"old a", "b/c/0": b"old b", "head": b"old head"}


@pytest.fixture(autouse=True, scope="module")
def quick():
    """Nothing waits for the disk: what matters is what was begun."""
    with patch.object(disk, "sync"):
        yield


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "root"
    for key, value in {**FIRST, MANIFEST: b"{}"}.items():
        path = folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(value)
    (folder / MANIFEST).write_bytes(manifest_of(folder))
    return folder


def change(root, *batches, note=None):
    """A whole transaction."""
    transaction = Transaction.begin(root, note or {"kind": "test"})
    for batch in batches:
        for key, value in batch.items():
            transaction.stage(key, value)
        transaction.publish({"n": len(batch)})
    transaction.stage(MANIFEST, merged_manifest(root, transaction.batches()))
    transaction.publish({})
    transaction.commit()
    return transaction.entry


TWO = ({"a/c/0": b"new a", "c/c/0": b"new c"}, {"a/c/0": b"newer a", "b/c/0": None, "d": b"new d"})
AFTER = {"a/c/0": b"newer a", "c/c/0": b"new c", "d": b"new d", "head": b"old head"}


def files(root):
    found = content_but_journal(root)
    found.pop(MANIFEST)
    return found


def test_a_transaction_changes_what_it_says(root):
    change(root, *TWO)
    assert files(root) == AFTER
    assert json.loads((root / MANIFEST).read_bytes()) == {
        key: list(seal_of(value)) for key, value in AFTER.items() if "/c/" in key
    }


def test_undo_gives_every_byte_back_and_redo_again(root):
    before = content_but_journal(root)
    change(root, *TWO)
    after, journal = content_but_journal(root), Journal(root)
    for _ in range(2):
        journal.undo(journal.last("done"))
        assert content_but_journal(root) == before
        journal.redo(journal.next_undone())
        assert content_but_journal(root) == after


def test_several_steps_are_undone_from_the_last_and_redone_from_the_first(root):
    states = [files(root)]
    for n in range(4):
        change(root, {"a/c/0": b"%d" % n, f"x{n}": b"x"})
        states.append(files(root))
    journal = Journal(root)
    for state in states[-2::-1]:
        journal.undo(journal.last("done"))
        assert files(root) == state
    assert journal.last("done") is None
    for state in states[1:]:
        journal.redo(journal.next_undone())
        assert files(root) == state
    assert journal.next_undone() is None


def test_a_new_step_forgets_what_was_undone(root):
    change(root, {"x": b"1"})
    journal = Journal(root)
    journal.undo(journal.last("done"))
    change(root, {"y": b"1"})
    assert journal.next_undone() is None
    assert files(root) == {**FIRST, "y": b"1"}


def test_what_is_rolled_back_leaves_nothing(root):
    before = content(root)
    transaction = Transaction.begin(root, {})
    for batch in TWO:
        for key, value in batch.items():
            transaction.stage(key, value)
        transaction.publish({})
    transaction.journal.roll_back(transaction.entry)
    assert content(root) == before


def test_old_steps_go_and_that_is_said(root, caplog, monkeypatch):
    for n in range(journal_module.MOST_KEPT + 2):
        change(root, {"x": b"%d" % n})
    assert len(Journal(root).entries()) == journal_module.MOST_KEPT
    assert "1 older step(s) can no longer be undone" in caplog.text
    monkeypatch.setattr(journal_module, "MOST_BYTES", 0)
    change(root, {"x": b"last"})
    assert len(Journal(root).entries()) == 1
    journal = Journal(root)
    journal.undo(journal.last("done"))
    assert files(root)["x"] == b"%d" % (journal_module.MOST_KEPT + 1)


# ---- a crash at every operation


def settled(root):
    Journal(root).settle()
    assert Journal(root).is_settled()
    return root


def copy(root, tmp_path, name):
    shutil.rmtree(tmp_path / name, ignore_errors=True)
    shutil.copytree(root, tmp_path / name)
    return tmp_path / name


def n_operations(root, tmp_path, action):
    with dying_at(None) as seen:
        action(copy(root, tmp_path, "counted"))
    return len(seen.operations)


def each_crash(root, tmp_path, action):
    """The folder after a crash at every operation, whole and torn."""
    for n in range(n_operations(root, tmp_path, action)):
        for torn in (False, True):
            crashed = copy(root, tmp_path, "crashed")
            with dying_at(n, torn=torn), pytest.raises(Killed):
                action(crashed)
            yield crashed


def test_a_crash_while_a_transaction_is_written_leaves_whole_batches(root, tmp_path):
    allowed = [FIRST, {**FIRST, **TWO[0]}, AFTER]
    seen = set()
    for crashed in each_crash(root, tmp_path, lambda folder: change(folder, *TWO)):
        found = files(settled(crashed))
        assert found in allowed
        seen.add(allowed.index(found))
        entry = Journal(crashed).last("open")
        if entry is not None:
            Journal(crashed).roll_back(entry)
            assert content(crashed) == content(root)
    assert seen == {0, 1, 2}


def test_a_crash_while_a_crash_is_made_up_for_changes_nothing(root, tmp_path):
    for crashed in each_crash(root, tmp_path, lambda folder: change(folder, *TWO)):
        once = content(settled(copy(crashed, tmp_path, "once")))
        with dying_at(None) as seen:
            Journal(copy(crashed, tmp_path, "counted")).settle()
        for n in range(len(seen.operations)):
            twice = copy(crashed, tmp_path, "twice")
            with dying_at(n), pytest.raises(Killed):
                Journal(twice).settle()
            assert content(settled(twice)) == once


def test_a_crash_in_undo_and_redo_is_gone_on_with(root, tmp_path):
    before = files(root)
    change(root, *TWO)
    journal = Journal(root)
    for crashed in each_crash(root, tmp_path, lambda f: Journal(f).undo(Journal(f).last("done"))):
        found = files(settled(crashed))
        assert found == (AFTER if Journal(crashed).last("done") else before)
    journal.undo(journal.last("done"))
    for crashed in each_crash(root, tmp_path, lambda f: Journal(f).redo(Journal(f).next_undone())):
        found = files(settled(crashed))
        assert found == (AFTER if Journal(crashed).last("done") else before)


def test_a_crash_when_something_else_is_done_forgets_what_was_undone_or_keeps_it_possible(root, tmp_path):
    change(root, *TWO)
    journal = Journal(root)
    journal.undo(journal.last("done"))
    seen = set()
    for crashed in each_crash(root, tmp_path, lambda folder: change(folder, {"e": b"other"})):
        entry = Journal(settled(crashed)).last("open")
        if entry is not None:
            Journal(crashed).roll_back(entry)
        undone = Journal(crashed).next_undone()
        if undone is not None:
            Journal(crashed).redo(undone)
        assert files(crashed) == (AFTER if undone else {**FIRST, "e": b"other"})
        seen.add(undone is None)
    assert seen == {True, False}


def test_a_crash_in_a_roll_back_is_gone_on_with(root, tmp_path):
    before = content(root)
    transaction = Transaction.begin(root, {})
    transaction.stage("a/c/0", b"new")
    transaction.stage("new", b"new")
    transaction.publish({})
    for crashed in each_crash(root, tmp_path, lambda f: Journal(f).roll_back(Journal(f).last("open"))):
        entry = Journal(settled(crashed)).last("open")
        if entry is not None:
            assert files(crashed)["a/c/0"] == b"new"
            Journal(crashed).roll_back(entry)
        assert content(crashed) == before


# ---- what is expected of chunks


def test_chunks_are_what_was_written(root):
    change(root, *TWO)
    expected = Expected.of(root)
    assert expected.fits("a/c/0", b"newer a") and not expected.fits("a/c/0", b"old a")
    assert not expected.fits("a/c/0", None)
    assert expected.fits("b/c/0", None) and expected.fits("never/c/9", None)


def test_an_open_transaction_counts_too(root):
    transaction = Transaction.begin(root, {})
    transaction.stage("a/c/0", b"new")
    transaction.publish({})
    assert Expected.of(root).fits("a/c/0", b"new") and not Expected.of(root).fits("a/c/0", b"old a")


def test_a_missing_or_damaged_chunk_is_named(root):
    change(root, *TWO)
    (root / "c/c/0").unlink()
    verifier = Verifier.find(root)
    with pytest.raises(Refused, match=r"root' cannot be read: c/c/0 is missing \(is it damaged"):
        verifier.verified("c/c/0", lambda: None)
    with pytest.raises(Refused, match="a/c/0 is not what was written"):
        verifier.verified("a/c/0", lambda: b"newer A")


def test_a_chunk_in_a_writers_hands_is_looked_at_again(root):
    verifier, told = Verifier.find(root), [b"half", b"new"]
    assert verifier.verified("a/c/0", lambda: b"old a") == b"old a"
    change(root, {"a/c/0": b"new"})
    assert verifier.verified("a/c/0", lambda: told.pop(0)) == b"new"


def test_a_lost_manifest_is_said(root):
    (root / MANIFEST).unlink()
    with pytest.raises(Refused, match="has lost its manifest"):
        Expected.of(root)


# ---- journals of strangers


@pytest.mark.parametrize(
    "key", ["../stolen", "/etc/stolen", "a/../../stolen", "journal/0001.done/log", "a//b", "a\\b", ""]
)
def test_a_journal_that_leads_out_of_the_folder_is_refused(root, tmp_path, key):
    entry = change(root, {"x": b"new"})
    line = json.dumps({"note": {}, "files": {key: [3, 1]}, "old": {key: 3}}).encode()
    entry.log.write_bytes(b"{}\n" + line + b"\n")
    (entry.path / "before").mkdir(exist_ok=True)
    with pytest.raises(Refused, match="its journal"):
        Journal(root).undo(entry)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["root"]


def test_links_out_of_the_folder_are_not_followed(root, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_bytes(b"mine")
    entry = change(root, {"sub/precious": b"new"})
    shutil.rmtree(root / "sub")
    (root / "sub").symlink_to(outside)
    with pytest.raises(Refused, match="leads out of"):
        Journal(root).undo(entry)
    assert (outside / "precious").read_bytes() == b"mine"


def test_other_folders_in_the_journal_are_left_alone(root):
    for name in ("notes", "0001.txt", "x.done"):
        (root / "journal" / name).mkdir(parents=True)
    assert Journal(root).entries() == []
    change(root, {"x": b"1"})
    assert (root / "journal" / "notes").is_dir()


@pytest.mark.parametrize(
    "log", [b"[1]\n", b"{\n", b'{}\n{"files": 3}\n', b"\xff\xff\n", b'{}\n{"note":{},"files":{"a":[1]},"old":{}}\n']
)
def test_a_damaged_journal_is_refused_in_words(root, log):
    entry = change(root, {"x": b"new"})
    entry.log.write_bytes(log)
    with pytest.raises(Refused):
        assert entry.note is None or Journal(root).undo(entry)
