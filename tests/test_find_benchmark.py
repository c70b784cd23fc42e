"""What the benchmark of found cells counts."""

import numpy as np
import pytest
from benchmarks.find import Score, overlaps, row, side_by_side, spread, true_diameter

from napari_mosam import Proposals
from napari_mosam.core.masks.region import Region


def square(y, x, side):
    return Region((y, x), np.ones((side, side), bool))


def test_a_proposal_counts_where_it_overlaps_a_cell_by_more_than_half():
    truth = np.zeros((30, 30), np.int32)
    truth[0:10, 0:10], truth[15:25, 15:25] = 1, 2
    found = Proposals.of(0, (30, 30), [(square(0, 0, 9), 0.9), (square(20, 20, 8), 0.8), (square(0, 20, 5), 0.7)], 9.0)
    assert overlaps(found, truth) == [pytest.approx(0.81)]


def test_cells_of_all_images_count_the_same():
    scores = [Score(10, 5, (0.8,) * 4, 1.0, 1.0, 2.0), Score(2, 3, (0.6,) * 2, 2.0, 3.0, 4.0)]
    assert row(scores) == ["2", "12", "8", "6", "0.500", "0.750", "0.733", "1.50", "2.0", "3.0"]


def test_images_are_put_side_by_side_with_cells_of_their_own():
    labels = np.zeros((300, 600), np.int32)
    labels[10:20, 10:20] = 1
    image, truth = side_by_side([(labels * 10, labels)])
    assert image.shape == truth.shape == (1024, 1024)
    assert truth.max() == 4 * 2
    assert true_diameter(truth) == pytest.approx(11.3, abs=0.1)


def test_indices_are_spread_evenly():
    assert spread(10, 4) == [0, 3, 6, 9]
    assert spread(2, 4) == [0, 1]
