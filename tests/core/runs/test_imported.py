"""Labels of another program as a result: ids, parents and pixels stay, and objects can be corrected and followed."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from tests.support.fake_model import FakeSegmenter, disks, iou

from napari_mosam.cli import main as cli
from napari_mosam.core.api import import_labels
from napari_mosam.core.api_results import replay, rerun
from napari_mosam.core.config.engine import EngineConfig, MotionConfig
from napari_mosam.core.images.label_images.labels import LabelError
from napari_mosam.core.prompts.collection import PromptError
from napari_mosam.core.store.result import Result
from napari_mosam.core.store.tracks import open_tracks

N = 8
CENTERS = [[(30, 30 + t), (66, 70), (30, 50 + t)] for t in range(N)]
IMAGES, DISKS = disks(CENTERS, radius=6)
QUICK = EngineConfig(motion=MotionConfig.off())


def challenge(folder: Path) -> np.ndarray:
    """A result in the form of the challenge: object 7 comes late, and from frame 4 on object 300 is not found."""
    labels = np.array([0, 7, 300, 2], np.uint16)[DISKS]
    labels[:3][labels[:3] == 7] = 0
    labels[4:][labels[4:] == 300] = 0
    folder.mkdir()
    for t, frame in enumerate(labels):
        tifffile.imwrite(folder / f"mask{t:03d}.tif", frame)
    (folder / "res_track.txt").write_text("2 0 7 0\n7 3 7 2\n300 0 3 0\n")
    return labels


@pytest.fixture
def imported(tmp_path):
    challenge(tmp_path / "RES")
    out = tmp_path / "out.zarr"
    return import_labels(IMAGES, tmp_path / "RES", out=out, model=FakeSegmenter(), config=QUICK)


def test_ids_parents_and_pixels_stay(imported, tmp_path):
    labels = challenge(tmp_path / "again")
    np.testing.assert_array_equal(imported.labels[:], labels)
    assert imported.object_ids == (2, 7, 300) and imported.complete
    assert open_tracks(imported.path).labels.parents == {7: 2}
    assert [(p.object_id, p.frame) for p in imported.prompts] == [(2, 0), (300, 0), (7, 3)]
    assert [imported.locked(t) for t in (0, 3, 7)] == [(2, 300), (2, 7, 300), (2, 7, 300)]
    np.testing.assert_array_equal(imported.area[:, 2], (labels == 300).sum((1, 2)))
    assert list(imported.state[:, 1]) == ["", "", "", *["present"] * 5] and imported.state[5, 2] == "lost"
    assert "imported from" in imported.describe()


def test_an_object_is_corrected_and_followed_and_the_others_keep_their_pixels(imported):
    imported.lock_frames(300, range(4, N), lock=False)
    before = imported.labels[:]
    fixed = imported.correct(300, 4, DISKS[4] == 2)
    after = rerun(fixed, IMAGES, fixed.prompts, changed_frames={300: [4]}, model=FakeSegmenter())
    for t in range(N):
        assert iou(after.labels[t] == 300, DISKS[t] == 2) > 0.8
        others = DISKS[t] != 2
        np.testing.assert_array_equal(after.labels[t][others] * (after.labels[t][others] != 300), before[t][others])
    with pytest.raises(ValueError, match="imported from .*RES, so no run can make it again"):
        replay(after, after.path.with_name("b.zarr"), movie=IMAGES, model=FakeSegmenter())


def test_what_is_no_tracks_of_the_movie_is_refused(tmp_path):
    options = {"out": tmp_path / "out.zarr", "model": FakeSegmenter(), "config": QUICK}
    with pytest.raises(LabelError, match="are not of one movie"):
        import_labels(IMAGES, DISKS[:4], **options)
    (tmp_path / "SEG").mkdir()
    tifffile.imwrite(tmp_path / "SEG" / "man_seg003.tif", DISKS[3])
    with pytest.raises(PromptError, match="segmentation truth, which numbers the objects of every frame anew"):
        import_labels(IMAGES, tmp_path / "SEG", **options)
    with pytest.raises(PromptError, match="nothing is marked"):
        import_labels(IMAGES, DISKS * 0, **options)
    assert not options["out"].exists()


def test_the_command_does_the_same(tmp_path, capsys):
    labels = challenge(tmp_path / "RES")
    tifffile.imwrite(tmp_path / "movie.tif", IMAGES, metadata={"axes": "TYX"})
    out = tmp_path / "out.zarr"
    line = ["import", str(tmp_path / "movie.tif"), str(tmp_path / "RES"), "-o", str(out)]
    assert cli.main(line) == 0
    assert "3 objects on 8 frames, all of them locked" in capsys.readouterr().out
    np.testing.assert_array_equal(Result.open(out).labels[:], labels)
    assert cli.main(line) == 2 and "--overwrite" in capsys.readouterr().err
    assert cli.main([*line[:-1], str(tmp_path / "RES")]) == 2
