"""Colours of neighbours can be told apart, by eyes that lack a cone too, and stay what they are."""

from itertools import combinations

import numpy as np
import pytest
from skimage.color import deltaE_ciede2000, rgb2lab
from skimage.segmentation import expand_labels

from napari_mosam.widgets.layers.marks import recolor
from napari_mosam.widgets.picture.colors import COLORS, PALETTE, kept, label_colors, object_color, own_color, told_apart

APART = 9.9
"""CIEDE2000 between the colours of any two neighbours: a just noticeable difference is about 1."""

OVER_BLACK = 5
"""The same where they are drawn over black with an opacity of .6."""

EYES = {
    "normal": np.eye(3),
    "deuteranopic": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "protanopic": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
}
"""Linear RGB as these eyes see it (Machado, Oliveira and Fernandes 2009, severity 1)."""


def seen(rgb, eyes):
    """CIELAB of sRGB colours (N, 3), as some eyes see them."""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    changed = np.clip(linear @ np.transpose(EYES[eyes]), 0, 1)
    srgb = np.where(changed <= 0.0031308, 12.92 * changed, 1.055 * changed ** (1 / 2.4) - 0.055)
    return rgb2lab(srgb[None])[0]


def distance(pairs, colors, eyes):
    """The smallest CIEDE2000 of pairs of ids; `colors` (N, 3) by id."""
    lab = seen(np.asarray(colors, float), eyes)
    one, other = np.transpose(pairs)
    return deltaE_ciede2000(lab[one], lab[other]).min()


def crowd(n_frames=12, seed=3):
    """Middles (T, 100, 2) of cells that jostle in a layer without gaps, and labels of these frames."""
    rng = np.random.default_rng(seed)
    start = np.stack(np.mgrid[:10, :10], -1).reshape(-1, 2) * 12.0 + 8
    places = start + np.cumsum(rng.normal(0, 2.0, (n_frames, 100, 2)), 0)
    order = rng.permutation(100)
    labels = np.zeros((n_frames, 140, 140), np.int32)
    for t in range(n_frames):
        y, x = np.clip(places[t].round().astype(int), 0, 139).T
        labels[t, y, x] = order + 1
    return places[:, np.argsort(order)].astype(np.float32), np.stack([expand_labels(frame, 12) for frame in labels])


def touching(frame):
    """Pairs of ids that touch on a frame."""
    beside = [(frame[1:], frame[:-1]), (frame[:, 1:], frame[:, :-1])]
    pairs = np.concatenate([np.stack([a.ravel(), b.ravel()], 1) for a, b in beside])
    return np.unique(np.sort(pairs[(pairs[:, 0] != pairs[:, 1]) & (pairs.min(1) > 0)]), axis=0)


@pytest.mark.parametrize("eyes", EYES)
def test_neighbours_in_a_crowd_can_be_told_apart_on_every_frame(eyes):
    places, labels = crowd()
    colors = label_colors(told_apart(range(1, 101), places, {})).map(np.arange(101))[:, :3]
    pairs = np.unique(np.concatenate([touching(frame) for frame in labels]), axis=0)
    assert len(pairs) > 250
    assert distance(pairs, colors, eyes) >= APART
    assert distance(pairs, colors * 0.6, eyes) >= OVER_BLACK
    black = deltaE_ciede2000(seen(colors[1:] * 0.6, eyes), seen(np.zeros((1, 3)), eyes))
    assert black.min() > 12, "none is lost on black"


def test_colors_by_id_alone_would_not_do():
    _, labels = crowd()
    own = [own_color(i) for i in range(101)]
    assert any(own[a] == own[b] for a, b in np.concatenate([touching(frame) for frame in labels]))


def test_any_two_colors_of_the_palette_can_be_told_apart():
    colors = [object_color(i + 1)[:3] for i in range(len(PALETTE))]
    for eyes in EYES:
        assert distance(list(combinations(range(len(PALETTE)), 2)), colors, eyes) >= APART


def test_colors_stay_when_a_result_is_made_again_and_objects_are_added():
    places, _ = crowd()
    first = told_apart(range(1, 61), places[:, :60], {})
    assert first and told_apart(range(1, 61), places[:, :60], first) == first
    more = told_apart(range(1, 101), places, first)
    assert {i: color for i, color in more.items() if i <= 60} == first
    assert told_apart(range(1, 61), np.full((3, 60, 2), np.nan, np.float32), first) == first, "nothing is known yet"


@pytest.mark.parametrize("said", [[1], {"one": 2}, {"1": None}, "all"])
def test_damaged_colors_of_a_session_are_none(said):
    assert kept({COLORS: said}) == {}


def test_labels_marks_and_table_show_one_color(after_a_run, qtbot):
    widget, layer = after_a_run(1, 2)
    view = widget.jobs.view
    view.session.view = {}
    view._edits.start(lambda: {2: own_color(7)}, view._colors_found)
    view._edits.drain()
    qtbot.waitUntil(lambda: view.colors == {2: own_color(7)}, timeout=10_000)
    assert np.allclose(layer.get_color(2), object_color(7)) and np.allclose(layer.get_color(1), object_color(1))
    recolor(widget.prompts.shapes)
    assert np.allclose(widget.prompts.shapes.edge_color, [object_color(1), object_color(7)])
