"""Numbers of pictures, where they are known; and the tables made of them."""

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from benchmarks import realism
from benchmarks.realism import Comparison, Sample, Summary, compare, from_json, measure, table, to_json
from benchmarks.realism_measures import (
    DIAMETER,
    View,
    beside,
    crowding,
    depth,
    diameters_of,
    edges,
    frame_measures,
    looks,
    overlaps,
    radial_power,
    seams,
    shape,
    slope_of,
    spectrum,
    texture,
    view_of,
)

SIDE = 120


def disk(side: int, y: float, x: float, radius: float) -> np.ndarray:
    rows, columns = np.mgrid[:side, :side]
    return np.hypot(rows - y, columns - x) <= radius


def two_halves() -> np.ndarray:
    """Two cells that touch along a vertical line of 40 px, and background around them."""
    labels = np.zeros((SIDE, SIDE), int)
    labels[40:80, 30:60], labels[40:80, 60:90] = 1, 2
    return labels


# --- views ----------------------------------------------------------------------------------------------------------


def test_the_window_around_a_cell_has_it_in_the_middle_and_at_its_size() -> None:
    own = disk(400, 190, 205, 36)
    view = view_of(own.astype(np.float32), own * 7, 7)
    assert view.image.shape == view.labels.shape == (120, 120) and view.cell == 7
    assert view.own.sum() == pytest.approx(np.pi / 4 * DIAMETER**2, rel=0.05)
    rows, columns = np.nonzero(view.own)
    assert rows.mean() == pytest.approx(59.5, abs=0.6) and columns.mean() == pytest.approx(59.5, abs=0.6)
    assert np.abs(view.image - view.own).mean() < 0.01 and set(np.unique(view.labels)) == {0, 7}


def test_what_lies_outside_of_the_frame_is_told_from_background() -> None:
    labels = disk(100, 50, 50, 20).astype(int)
    assert (view_of(labels.astype(np.float32), labels, 1).labels == -1).mean() == pytest.approx(0.75, abs=0.02)


def test_cells_at_the_border_have_no_diameter() -> None:
    labels = disk(100, 50, 50, 20) * 1 + disk(100, 0, 0, 9) * 2
    assert diameters_of(labels) == pytest.approx({1: 40.0}, rel=0.02)


def test_a_long_cell_is_as_large_as_its_box_says() -> None:
    labels = np.zeros((100, 100), int)
    labels[50:54, 20:80] = 1
    assert diameters_of(labels) == pytest.approx({1: 42.0})


# --- spectrum -------------------------------------------------------------------------------------------------------


def waves(cycles_per_diameter: float, side: int = SIDE) -> np.ndarray:
    return 0.5 + 0.4 * np.sin(2 * np.pi * cycles_per_diameter * np.arange(side) / DIAMETER) * np.ones((side, 1))


@pytest.mark.parametrize(("cycles", "band"), [(1.4, "coarse"), (3.0, "middle"), (7.0, "fine")])
def test_the_power_of_a_wave_lies_in_its_band(cycles: float, band: str) -> None:
    found = spectrum(View(waves(cycles), np.zeros((SIDE, SIDE), int), 1))
    assert found[f"{band} share"] > 0.95
    assert sum(found[f"{name} share"] for name in ("coarse", "middle", "fine")) == pytest.approx(1)


@pytest.mark.parametrize("exponent", [0.0, -2.0])
def test_the_slope_of_a_power_law_is_found(exponent: float) -> None:
    noise = np.fft.fft2(np.random.default_rng(0).standard_normal((240, 240)))
    axis = np.fft.fftfreq(240)
    away = np.hypot(axis[:, None], axis)
    away[0, 0] = 1
    image = np.fft.ifft2(noise * away ** (exponent / 2)).real
    assert slope_of(*radial_power(image)) == pytest.approx(exponent, abs=0.1)


def test_a_window_that_leaves_the_frame_near_its_middle_has_no_spectrum() -> None:
    labels = np.zeros((SIDE, SIDE), int)
    labels[:40] = -1
    assert all(np.isnan(value) for value in spectrum(View(waves(3), labels, 1)).values())


# --- edges and seams ------------------------------------------------------------------------------------------------


def test_the_contrast_of_an_edge_is_the_difference_of_its_sides() -> None:
    labels = two_halves()
    image = np.select([labels == 1, labels == 2], [0.8, 0.5], 0.2)
    found = edges(View(image, labels, 1))
    assert found["edge contrast"] == pytest.approx(0.6, abs=0.01)
    assert found["step at seams"] == pytest.approx(0.3, abs=0.01)


def test_the_sign_of_an_edge_may_change_along_it() -> None:
    labels = disk(SIDE, 60, 60, 12).astype(int)
    relief = 0.5 + 0.3 * labels * np.sign(np.arange(SIDE) - 60.0)
    assert edges(View(relief, labels, 1))["edge contrast"] == pytest.approx(0.3, abs=0.04)


def test_a_cell_alone_has_no_seam() -> None:
    view = View(waves(3), disk(SIDE, 60, 60, 12).astype(int), 1)
    assert np.isnan(edges(view)["step at seams"]) and np.isnan(seams(view)["seam contrast"])


def test_a_line_between_cells_stands_out_of_their_insides() -> None:
    labels = two_halves()
    image = np.where(labels > 0, 0.5, 0.2) + 0.01 * np.random.default_rng(0).standard_normal(labels.shape)
    plain, lined = image.copy(), image.copy()
    lined[40:80, 58:62] += 0.3
    without, with_line = (seams(View(picture, labels, 1)) for picture in (plain, lined))
    assert with_line["seam contrast"] == pytest.approx(0.3, abs=0.05) and with_line["seam over texture"] > 20
    assert without["seam contrast"] < 0.02 and without["seam over texture"] == pytest.approx(1, abs=0.5)


def test_neighbours_are_found_on_all_four_sides() -> None:
    mask, other = np.zeros((5, 5), bool), np.zeros((5, 5), bool)
    mask[1:4, 1:4], other[0, 2], other[2, 4] = True, True, True
    assert np.argwhere(beside(mask, other)).tolist() == [[1, 2], [2, 3]]


def test_depth_is_the_distance_to_the_next_other_id() -> None:
    assert depth(np.array([[1, 1, 1, 2, 2]])).tolist() == [[3, 2, 1, 1, 2]]


# --- texture, crowding, shape, motion -------------------------------------------------------------------------------


def test_texture_is_the_deviation_inside_and_an_edge_is_none() -> None:
    labels = disk(SIDE, 60, 60, 20).astype(int)
    noise = np.random.default_rng(0).standard_normal(labels.shape)
    found = texture(View(np.where(labels > 0, 0.8 + 0.1 * noise, 0.2 + 0.02 * noise), labels, 1))
    assert found["texture inside"] == pytest.approx(0.1, rel=0.15)
    assert found["background roughness"] == pytest.approx(0.02, rel=0.15)
    assert found["texture over background"] == pytest.approx(5, rel=0.2)


def test_without_background_there_is_no_roughness_of_it() -> None:
    found = texture(View(waves(3), np.ones((SIDE, SIDE), int), 1))
    assert np.isnan(found["background roughness"]) and np.isnan(found["texture over background"])


def test_the_shared_outline_is_the_share_that_touches_another_cell() -> None:
    labels = two_halves()
    assert crowding(View(waves(3), labels, 1))["shared outline"] == pytest.approx(40 / (2 * 40 + 2 * 30 - 4))
    assert crowding(View(waves(3), np.where(labels == 1, 1, 0), 1))["shared outline"] == 0


def test_solidity_is_the_share_of_the_hull() -> None:
    corner = np.zeros((SIDE, SIDE), int)
    corner[20:80, 20:40] = corner[60:80, 20:80] = 1
    assert shape(View(waves(3), corner, 1))["solidity"] == pytest.approx(2000 / (2000 + 800), rel=0.05)
    assert shape(View(waves(3), two_halves(), 1))["solidity"] == pytest.approx(1, abs=0.02)


def test_a_frame_is_described_by_its_whole_cells() -> None:
    labels = two_halves()
    labels[100:110, 50:60] = 3
    labels[0:10, 0:10] = 4
    sizes = np.sqrt([1200, 1200, 100])
    assert frame_measures(labels) == pytest.approx(
        {"touching": 2 / 3, "size variation": sizes.std() / sizes.mean(), "cover": 2600 / SIDE**2}
    )


def test_overlaps_are_those_of_cells_that_show_whole_on_both_frames() -> None:
    before, after = np.zeros((2, 50, 50), int)
    before[10:20, 10:20], after[10:20, 15:25] = 1, 1
    before[30:40, 30:40], after[30:40, 40:50] = 2, 2
    assert overlaps(before, after) == pytest.approx([1 / 3])


def test_everything_is_measured_of_a_cell() -> None:
    labels = two_halves()
    image = np.where(labels > 0, 0.5, 0.2) + 0.01 * np.random.default_rng(0).standard_normal(labels.shape)
    assert len(found := looks(View(image, labels, 1))) == 12 and np.isfinite(list(found.values())).all()


# --- comparisons ----------------------------------------------------------------------------------------------------


def test_a_summary_says_where_values_lie() -> None:
    found = Summary.of(list(np.arange(101.0)))
    assert (found.n, found.low, found.quarter, found.median, found.three_quarters, found.high) == (
        101,
        5,
        25,
        50,
        75,
        95,
    )
    assert found.spread == pytest.approx(50 / 1.349)


def test_measures_are_compared_in_units_of_the_real_spread() -> None:
    real, drawn = list(np.arange(101.0)), list(50 + np.arange(101.0))
    found = compare(Sample({"a": real, "b": [1.0]}), Sample({"a": drawn}))
    assert found.keys() == {"a"}
    assert found["a"].off == pytest.approx(1.349) and found["a"].within == pytest.approx(46 / 101)


def test_a_real_measure_that_does_not_vary_has_no_unit() -> None:
    one, other = Summary.of([0.0, 0.0]), Summary.of([1.0, 2.0])
    assert np.isnan(Comparison(one, other, 0.0).off)
    assert "| - | 0.00 |" in table({"DIC": {"touching": Comparison(one, other, 0.0)}}, {})


def test_what_cannot_be_measured_is_left_out() -> None:
    sample = Sample()
    sample.add({"a": np.nan, "b": 2.0})
    assert sample.values == {"b": [2.0]}


def comparisons() -> realism.Comparisons:
    return {"DIC": compare(Sample({"edge": [1.0, 2.0, 3.0]}), Sample({"edge": [1.0, 4.0, 5.0]}))}


def test_numbers_survive_the_file() -> None:
    assert from_json(to_json(comparisons())) == comparisons()


def test_the_table_shows_what_was_before() -> None:
    plain, both = table(comparisons(), {}), table(comparisons(), comparisons())
    assert "| edge | 2.00 (1.50 to 2.50) | 4.00 (2.50 to 4.50) | +2.7 | 0.67 |" in plain
    assert both.count("4.00 (2.50 to 4.50)") == 2 and "simulated before" in both


# --- real and simulated pictures ------------------------------------------------------------------------------------


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "stills" / "t98g"
    folder.mkdir(parents=True)
    labels = np.pad(two_halves(), 60).astype(np.uint16)
    image = (1000 * (labels > 0) + np.random.default_rng(0).integers(0, 50, labels.shape)).astype(np.uint16)
    for k in range(8):
        tifffile.imwrite(folder / f"t{k:03}_image.tif", image)
        tifffile.imwrite(folder / f"t{k:03}_mask.tif", labels)
    return tmp_path


def test_only_the_training_part_of_stills_is_read(data: Path) -> None:
    from training.data.stills import is_test

    pictures = list(realism.real_pictures(realism.KINDS["phase contrast"], data))
    assert 0 < len(pictures) == sum(not is_test("t98g", f"t{k:03}") for k in range(8)) < 8
    assert measure(pictures).values["touching"] == [1.0] * len(pictures)


def test_movies_that_judge_weights_give_no_shapes_of_cells(tmp_path: Path) -> None:
    folder = tmp_path / "timelapse" / "dic_hela_01"
    folder.mkdir(parents=True)
    labels = np.stack([np.pad(two_halves(), 60)] * 3).astype(np.uint16)
    for name in ("images", "masks"):
        tifffile.imwrite(folder / f"{name}.tif", labels, photometric="minisblack")
    found = measure(realism.real_pictures(realism.KINDS["DIC"], tmp_path)).values
    assert found["overlap with the next frame"] == [1.0, 1.0] and "edge contrast" in found
    assert "solidity" not in found


def test_simulated_pictures_are_of_the_wanted_modality(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(realism, "N_MOVIES", 2)
    monkeypatch.setattr(realism, "SIDE", 96)
    kind = realism.KINDS["thin, phase contrast"]
    pictures, again = (list(realism.simulated_pictures(kind)) for _ in range(2))
    assert len(pictures) == 2 and pictures[0].image.shape == (96, 96)
    assert all(np.array_equal(a.image, b.image) for a, b in zip(pictures, again, strict=True))


def test_the_tables_are_written(data: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(realism, "N_MOVIES", 3)
    monkeypatch.setattr(realism, "SIDE", 128)
    out = tmp_path / "table.md"
    words = ["realism", "--out", str(out), "--data", str(data), "--kinds", "phase contrast"]
    monkeypatch.setattr("sys.argv", words)
    realism.main()
    assert "**phase contrast**" in out.read_text()
    assert json.loads(out.with_suffix(".json").read_text())["phase contrast"]["cover"]["simulated"]["n"] == 3
