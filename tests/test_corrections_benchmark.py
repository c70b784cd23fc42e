"""What the benchmark of corrections keeps and counts."""

import numpy as np
import pytest
from benchmarks.corrections import Person, Scene, finished, js, report, write

from napari_mosam.core.review.queue import ReviewItem


def rows(movie, order, seed, *js_after):
    key = movie, order, "followed", seed
    return {key: [[*key, str(k), "", "", "", f"{j:.4f}"] for k, j in enumerate(js_after)]}


CURVES = (
    rows("thin", "queue", "0", 0.5, 0.6, 0.8)
    | rows("thin", "random", "0", 0.5, 0.5, 0.6)
    | rows("thin", "random", "1", 0.5, 0.6, 0.7)
    | rows("thin", "truth", "0", 0.5, 0.5, 0.6)
)


def test_a_table_comes_back_without_the_curve_that_was_cut_short(tmp_path):
    short = rows("rods", "queue", "0", 0.5, 0.6)
    write(tmp_path / "corrections.csv", CURVES | short)
    assert finished(tmp_path / "corrections.csv", 2) == CURVES
    assert finished(tmp_path / "none.csv", 2) == {}


def test_it_is_told_how_many_corrections_give_what_chance_gives_with_all():
    assert js(CURVES, "thin", "random", "followed").mean(0) == pytest.approx([0.5, 0.55, 0.65])
    *_, line = report(CURVES, 2).splitlines()
    assert line == "| thin | 0.500 | 0.650 | never (0.600) | 2 (0.800) |  |"


class Shown:
    """A session that shows areas of one cell."""

    def __init__(self, area):
        self.result = self
        self.area, self.object_ids = np.array(area)[:, None], (7,)


def test_a_cell_is_rightly_absent_on_the_frames_around_that_show_neither_it_nor_a_mask():
    truth = np.zeros((7, 4, 4), int)
    truth[[0, 6]] = 7
    scene = Scene("any", truth.astype(np.uint16), truth, (7,))

    def absent(area, frame, start=1, stop=7):
        item = ReviewItem(7, start, stop, frame, 0.0, 1.0, "not found")
        return list(Person(scene, Shown(area), "followed").rightly_absent(item))

    nothing = [16, 0, 0, 0, 0, 0, 0]
    assert absent(nothing, 3) == [1, 2, 3, 4, 5]
    assert absent(nothing, 3, start=2, stop=5) == [2, 3, 4]
    assert absent([16, 0, 3, 0, 0, 0, 0], 3) == [3, 4, 5]
    assert absent([16, 0, 0, 3, 0, 0, 0], 3) == []
