"""Real stills: which are used, how they are split, how they are cut into objects."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from hypothesis import given
from hypothesis import strategies as st
from training.data import stills as module
from training.data.pseudo import PseudoMovies
from training.data.stills import (
    SOURCES,
    Source,
    Still,
    StillFile,
    StillsError,
    find_stills,
    is_test,
    normalised,
    read_still,
    separated,
    stills_folder,
)

CPU = torch.device("cpu")
FIXED = [
    "dsb2018/t002",
    "dsb2018/t005",
    "dsb2018/t010",
    "dsb2018/t011",
    "dsb2018/t012",
    "dsb2018/t013",
    "dsb2018/t014",
    "dsb2018/t024",
    "dsb2018/t025",
    "dsb2018_b/t005",
    "dsb2018_b/t006",
    "dsb2018_b/t007",
    "dsb2018_b/t012",
    "dsb2018_b/t021",
    "dsb2018_b/t027",
    "dsb2018_b/t029",
    "bbbc039/t003",
    "bbbc039/t009",
    "bbbc039/t023",
    "bbbc039/t028",
    "t98g/t002",
    "t98g/t005",
    "t98g/t013",
    "t98g/t014",
    "t98g/t016",
    "t98g/t026",
]

FIXED_SAMPLES = {
    "microglia": ["1_3", "2_4", "5_2"],
    "tissue_nuclei": ["1_3", "1_4", "2_5", "3_5"],
}


def write(folder: Path, source: str, names: list[str]) -> None:
    (folder / source).mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    labels = np.zeros((64, 64), np.uint16)
    labels[10:22, 12:30], labels[40:55, 35:50] = 1, 2
    for name in names:
        image = (1000 * (labels > 0) + rng.normal(300, 20, labels.shape)).astype(np.uint16)
        tifffile.imwrite(folder / source / f"{name}_image.tif", image)
        tifffile.imwrite(folder / source / f"{name}_mask.tif", labels)


NAMES = [f"t{k:03d}" for k in range(12)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for source in ("dsb2018", "t98g", "psc", "fluo_hela_01"):
        write(tmp_path, source, NAMES)
    return tmp_path


def test_only_folders_whose_licence_allows_it_are_read(folder):
    found = {file.source.folder for part in ("train", "test") for file in find_stills(folder, part)}
    assert found == {"dsb2018", "t98g"}
    assert "psc" not in {source.folder for source in SOURCES}
    assert sum(source.share for source in SOURCES) == pytest.approx(1)


def test_the_parts_are_disjoint_and_together_everything(folder):
    train, test = ({file.image for file in find_stills(folder, part)} for part in ("train", "test"))
    assert train
    assert test
    assert not train & test
    assert len(train | test) == 2 * len(NAMES)


def test_the_split_is_fixed():
    """These never change: weights have been trained by them."""
    by_image = [s.folder for s in SOURCES if not s.samples][:4]
    assert [f"{f}/t{k:03d}" for f in by_image for k in range(30) if is_test(f, f"t{k:03d}")] == FIXED
    by_sample = {s.folder: [name for name, _ in s.samples if is_test(s.folder, name)] for s in SOURCES if s.samples}
    assert by_sample == FIXED_SAMPLES


def test_planes_of_one_stack_are_on_one_side(tmp_path):
    write(tmp_path, "microglia", [f"t{k:03d}" for k in range(35)])
    sides = {part: {f.source.sample_of(f.name) for f in find_stills(tmp_path, part)} for part in ("train", "test")}
    assert not sides["train"] & sides["test"]
    assert sides["test"] == set(FIXED_SAMPLES["microglia"])
    assert sum(len(find_stills(tmp_path, part)) for part in sides) == 35


def test_frames_of_movies_that_judge_are_not_read(tmp_path):
    write(tmp_path, "yeast_bf", [f"t{k:03d}" for k in range(14)])
    assert {f.name for f in find_stills(tmp_path, "train")} == {"t000", "t001", "t002", "t008"}


@given(st.text("abct0123456789_", min_size=1, max_size=12))
def test_the_split_depends_on_the_name_alone(name):
    assert is_test("t98g", name) == is_test("t98g", name)


def test_about_a_fifth_is_held_out():
    assert 0.15 < np.mean([is_test("dsb2018", f"t{k:03d}") for k in range(1000)]) < 0.25


def test_another_part_is_refused(folder):
    with pytest.raises(StillsError, match="'train' or 'test'"):
        find_stills(folder, "all")


def test_an_image_without_masks_is_reported(folder):
    (folder / "t98g" / "t000_mask.tif").unlink()
    with pytest.raises(StillsError, match="t000_mask.tif"):
        find_stills(folder, "train")


def test_a_folder_without_sources_is_refused(tmp_path):
    with pytest.raises(StillsError, match="holds none of"):
        stills_folder(tmp_path)


def test_without_a_folder_there_are_no_stills(monkeypatch):
    monkeypatch.delenv(module.DATA_VARIABLE, raising=False)
    assert stills_folder(None) is None


def test_the_folder_comes_from_the_environment_or_the_command_line(folder, tmp_path, monkeypatch):
    monkeypatch.setenv(module.DATA_VARIABLE, str(folder / "elsewhere"))
    assert stills_folder(None) is None
    assert stills_folder(folder) == folder


def test_an_id_used_twice_becomes_two_and_specks_are_dropped():
    masks = np.zeros((40, 40), np.uint16)
    masks[2:10, 2:10], masks[20:30, 20:30], masks[35:37, 2:5] = 7, 7, 9
    labels = separated(masks)
    assert sorted(np.unique(labels)) == [0, 1, 2]
    assert (labels > 0).sum() == 64 + 100


def test_touching_objects_stay_two():
    masks = np.zeros((20, 20), np.uint16)
    masks[2:18, 2:10], masks[2:18, 10:18] = 1, 2
    assert separated(masks).max() == 2


def test_colour_is_averaged_and_flat_images_are_refused():
    grey = normalised(np.random.default_rng(0).integers(0, 255, (20, 30, 3), dtype=np.uint8))
    assert grey is not None
    assert grey.shape == (20, 30)
    assert (grey.min(), grey.max()) == (0, 1)
    assert normalised(np.full((8, 8), 7)) is None


def find_all(folder: Path, source: Source) -> list[StillFile]:
    return [f for part in ("train", "test") for f in find_stills(folder, part) if f.source is source]


def test_real_stills_are_found_and_split(mosam_data):
    folder = stills_folder(mosam_data)
    assert folder is not None
    parts = {part: find_stills(folder, part) for part in ("train", "test")}
    by_source = {s.folder: sum(f.source is s for f in parts["test"]) for s in SOURCES}
    assert all(by_source[s.folder] for s in SOURCES if len(find_all(folder, s)) >= 12)
    still = next(s for f in parts["train"] if f.source.folder == "bbbc039" and (s := read_still(f)))
    assert np.bincount(still.labels.ravel())[1:].min() >= module.MIN_OBJECT


# ---- pseudo-movies


def still() -> Still:
    rng = np.random.default_rng(1)
    labels = np.zeros((90, 110), np.int32)
    labels[20:40, 25:45], labels[20:40, 45:62], labels[60:80, 70:95] = 1, 2, 3
    image = np.clip(0.15 + 0.2 * labels + rng.normal(0, 0.01, labels.shape), 0, 1).astype(np.float32)
    return Still(SOURCES[0], image, labels)


@pytest.fixture(scope="module")
def source():
    return PseudoMovies([still(), still()])


def test_the_same_seed_gives_the_same_movies(source):
    one, same, other = (source.movies(seed, 3, 4, 64, CPU) for seed in ("a", "a", "b"))
    assert torch.equal(one.images, same.images)
    assert torch.equal(one.labels, same.labels)
    assert not torch.equal(one.labels, other.labels)


def test_movies_keep_their_ids_and_their_object_in_the_middle(source):
    movies = source.movies("ids", 12, 6, 96, CPU)
    assert movies.images.shape == movies.labels.shape == (12, 6, 96, 96)
    assert movies.images.min() >= 0
    assert movies.images.max() <= 1
    assert set(movies.labels.unique().tolist()) <= {0, 1, 2, 3}
    assert all((labels > 0).any() for labels in movies.labels[:, 0])


def test_objects_move_smoothly_and_neither_divide_nor_jump(source):
    labels = source.movies("smooth", 12, 6, 96, CPU).labels
    compared = 0
    for movie in labels:
        for before, after in itertools.pairwise(movie):
            for i in set(before.unique().tolist()) & set(after.unique().tolist()) - {0}:
                one, two = before == i, after == i
                whole = min(int(one.sum()), int(two.sum())) > 150
                compared += whole
                assert not whole or float((one & two).sum() / (one | two).sum()) > 0.35
    assert compared > 20


def test_image_and_masks_are_warped_together(monkeypatch):
    """Where nothing changes the appearance, an object's grey level tells its id, on every frame."""
    monkeypatch.setattr("training.data.pseudo.change_appearance", lambda images, seed: images)
    movies = PseudoMovies([still()]).movies("grey", 6, 5, 96, CPU)
    for i in (1, 2, 3):
        grey = movies.images[movies.labels == i]
        if len(grey):
            assert abs(float(grey.median()) - (0.15 + 0.2 * i)) < 0.03
