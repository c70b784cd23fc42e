"""Marks in layers are prompts and back: nothing is lost, nothing moves, and every mask has a mark of its own."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import Phase, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from napari.components import ViewerModel

from napari_mosam.core.prompts.collection import BoxPrompt, MaskPrompt, PointPrompt, Prompts
from napari_mosam.widgets.layers.marks import masks_of
from napari_mosam.widgets.layers.prompts import PromptLayers
from napari_mosam.widgets.layers.source import MovieSource

PLAIN = {}
PLACED = {"scale": (3, 0.25, 0.5), "translate": (10, -7, 20), "rotate": 30}
LEFT, RIGHT = np.zeros((48, 64), bool), np.zeros((48, 64), bool)
LEFT[5:15, 4:20], RIGHT[5:15, 30:50] = True, True


def prompt_layers(viewer, on_change):
    return PromptLayers(viewer, on_change, lambda *_: None, lambda: 0, lambda frame: None, lambda: None)


class Marked:
    """Layers of marks on a movie, in a viewer without a window."""

    def __init__(self, shape=(6, 48, 64), **placed):
        self.viewer = ViewerModel()
        self.image = self.viewer.add_image(np.broadcast_to(np.uint8(0), shape), **placed)
        self.changes = 0
        self.layers = prompt_layers(self.viewer, self._changed)
        self.layers.show_movie(self.image)
        self.source = MovieSource.from_layer(self.image, self.viewer.dims.point)

    def _changed(self):
        self.changes += 1

    @property
    def prompts(self):
        return self.layers.prompts(self.source)

    def apply(self, *wanted):
        self.layers.apply(self.source, Prompts(wanted))
        assert Counter(self.prompts) == Counter(wanted)  # layers keep an order of their own

    def draw(self):
        """One mark of each kind, by hand: two clicks, a box, an ellipse, a polygon and masks."""
        self.layers.use_points(self.source, "+")
        self.layers.points.add((2, 10.123, 12.004))
        self.layers.use_points(self.source, "-")
        self.layers.points.add((2, 20.5, 22))
        self.layers.use_boxes(self.source)
        corners = np.array([(1, 10, 10), (1, 10, 30), (1, 20, 30), (1, 20, 10)], float)
        for kind, shift in (("rectangle", 0), ("ellipse", 7.777), ("polygon", 14)):
            self.layers.shapes.add(corners + np.array([0, shift, 0]), shape_type=kind)
        self.seed(3, np.where(LEFT, 7, 0) + np.where(RIGHT, 9, 0))

    def seed(self, frame, labels):
        shown = np.zeros((6, 48, 64), np.uint16)
        shown[frame] = labels
        layer = self.viewer.add_labels(shown, **self.source.placement())
        self.layers.seed(self.source, layer, [frame])
        self.viewer.layers.remove(layer)

    def seen(self):
        """Everything that can be seen of the marks."""
        layers = [self.layers.points, self.layers.shapes]
        places = [np.concatenate([*layer.data]).tolist() if len(layer.data) else [] for layer in layers]
        return places, [layer.features.to_dict() for layer in layers], list(layers[1].shape_type)

    def rows(self, sign):
        return set(np.flatnonzero(self.layers.points.features["sign"] == sign).tolist())

    def delete(self, rows):
        self.layers.points.selected_data = set(rows)
        self.layers.points.remove_selected()


@pytest.mark.parametrize("placed", [PLAIN, PLACED], ids=["plain", "placed"])
def test_what_is_there_stays_as_it_was_drawn(placed):
    marked = Marked(**placed)
    marked.draw()
    seen, prompts, changes = marked.seen(), marked.prompts, marked.changes
    kinds = [type(p).__name__ for p in prompts]
    assert sorted(kinds) == ["BoxPrompt"] * 2 + ["MaskPrompt"] * 3 + ["PointPrompt"] * 2
    marked.apply(*prompts)
    assert marked.changes == changes
    marked.apply(*reversed(prompts.items))
    assert marked.seen() == seen
    marked.apply(*(p for p in prompts if p.object_id != 9))
    marked.apply(*prompts)
    assert marked.seen()[2] == ["rectangle", "ellipse", "polygon"], "they are not drawn anew"


@pytest.mark.parametrize("placed", [PLAIN, PLACED], ids=["plain", "placed"])
def test_all_marks_go_and_come_back(placed):
    marked = Marked(**placed)
    marked.draw()
    prompts = marked.prompts
    marked.apply()
    assert marked.layers.counts() == {"box": 0, "outline": 0, "scribble": 0, "click": 0, "mask": 0}
    assert not len(marked.layers.points.data) and not masks_of(marked.image)
    marked.apply(*prompts)
    assert marked.layers.counts() == {"box": 2, "outline": 0, "scribble": 0, "click": 2, "mask": 3}
    assert marked.layers.ids() == {p.object_id for p in prompts}


def test_of_some_marks_only_the_others_are_removed():
    marked = Marked()
    marked.draw()
    for gone in list(marked.prompts):
        before = list(marked.prompts)
        left = [p for p in before if p != gone]
        marked.apply(*left)
        marked.apply(*before)
        marked.apply(*left)
    assert len(marked.prompts) == 0


def test_of_equal_marks_as_many_stay_as_are_wanted():
    marked, click, box = Marked(), PointPrompt(1, 0, (5, 6)), BoxPrompt(2, 1, (1, 2, 9, 9))
    for n in (1, 3, 2):
        marked.apply(*[click] * n, box)
        assert len(marked.layers.points.data) == n
    box_now = marked.layers.shapes.data[0]
    marked.apply(box)
    assert marked.layers.shapes.data[0] is box_now or np.array_equal(marked.layers.shapes.data[0], box_now)


coordinate = st.integers(0, 409_500).map(lambda n: n / 100)
marks = st.lists(
    st.one_of(
        st.builds(PointPrompt, st.integers(1, 9), st.integers(0, 5), st.tuples(coordinate, coordinate), st.booleans()),
        st.builds(
            lambda i, t, y, x, h, w: BoxPrompt(i, t, (y, x, round(y + h, 2), round(x + w, 2))),
            *(st.integers(1, 9), st.integers(0, 5), coordinate, coordinate, coordinate, coordinate),
        ),
    ),
    max_size=6,
)


@hypothesis_settings(max_examples=8, phases=[Phase.explicit, Phase.generate])
@given(marks)
def test_places_are_stable_to_a_hundredth_of_a_pixel(wanted):
    marked = Marked((6, 4096, 4096), **PLACED)
    for _ in range(2):
        marked.apply()
        marked.apply(*wanted)
        assert sorted(map(repr, marked.prompts)) == sorted(map(repr, wanted))  # to the bit


def test_places_finer_than_that_are_rounded_once():
    marked = Marked(**PLACED)
    marked.layers.use_points(marked.source, "+")
    marked.layers.points.add((2, 10.12345, 12.00499))
    (click,) = marked.prompts
    assert click.yx == (10.12, 12.0)
    marked.apply()
    marked.apply(click)
    assert list(marked.prompts) == [click]


# ---- masks


def test_every_mask_has_a_mark_in_its_middle_which_is_no_click():
    marked = Marked(**PLACED)
    marked.seed(3, np.where(LEFT, 7, 0) + np.where(RIGHT, 900, 0))
    points = marked.layers.points
    assert list(points.features["sign"]) == ["mask"] * 2 and list(points.features["object_id"]) == [7, 900]
    places = np.round(marked.source.to_tyx(points, points.data)).astype(int)
    assert places[:, 0].tolist() == [3, 3]
    assert LEFT[tuple(places[0, 1:])] and RIGHT[tuple(places[1, 1:])]
    assert [(m.object_id, m.frame) for m in marked.prompts] == [(7, 3), (900, 3)]
    np.testing.assert_array_equal(marked.prompts.items[1].to_frame((48, 64)), RIGHT)
    assert marked.layers.counts() == {"box": 0, "outline": 0, "scribble": 0, "click": 0, "mask": 2}


def test_deleting_the_mark_of_a_mask_deletes_the_mask_and_no_other():
    marked = Marked()
    marked.layers.use_points(marked.source, "+")
    marked.layers.points.add((3, 40, 40))
    marked.seed(3, np.where(LEFT, 7, 0) + np.where(RIGHT, 9, 0))
    before = marked.prompts
    (row,) = np.flatnonzero(marked.layers.points.features["object_id"] == 7)
    marked.delete({int(row)})
    assert [(type(p).__name__, p.object_id) for p in marked.prompts] == [("PointPrompt", 1), ("MaskPrompt", 9)]
    marked.apply(*before)
    assert marked.rows("mask") == {1, 2} and marked.rows("+") == {0}
    np.testing.assert_array_equal(marked.prompts.of(7)[3][0].to_frame((48, 64)), LEFT)


def test_a_mask_that_is_another_gets_the_new_pixels_and_one_mark():
    marked = Marked()
    for mask in (LEFT, RIGHT, LEFT | RIGHT):
        marked.apply(MaskPrompt.from_frame(7, 3, mask))
        assert len(marked.layers.points.data) == 1
    marked.apply(MaskPrompt.from_frame(7, 3, LEFT), MaskPrompt.from_frame(7, 4, RIGHT))
    assert len(marked.layers.points.data) == 2


def test_a_polygon_comes_back_as_a_mask_of_the_same_pixels():
    marked = Marked()
    marked.layers.use_boxes(marked.source)
    corners = np.array([(1, 10, 10), (1, 10, 30), (1, 20, 30), (1, 20, 10)], float)
    marked.layers.shapes.add(corners, shape_type="polygon")
    (mask,) = marked.prompts
    marked.apply()
    assert not len(marked.layers.shapes.data)
    marked.apply(mask)
    assert marked.layers.counts()["mask"] == 1 and list(marked.prompts) == [mask]


def test_outlines_and_a_mask_of_an_object_on_a_frame_are_one_mask():
    marked = Marked()
    marked.apply(MaskPrompt.from_frame(1, 1, RIGHT))
    marked.layers.object_id = 1
    marked.layers.use_boxes(marked.source)
    corners = np.array([(1, 8, 28), (1, 8, 52), (1, 30, 52), (1, 30, 28)], float)  # around most of the mask
    marked.layers.shapes.add(corners, shape_type="polygon")
    (mask,) = marked.prompts
    pixels = mask.to_frame((48, 64))
    assert pixels[RIGHT].all() and pixels[25, 40] and pixels.sum() > RIGHT.sum() + 150
    marked.apply(mask)
    assert marked.layers.counts() == {"box": 0, "outline": 1, "scribble": 0, "click": 0, "mask": 1}
    marked.apply(MaskPrompt.from_frame(1, 1, LEFT))
    assert marked.layers.counts() == {"box": 0, "outline": 0, "scribble": 0, "click": 0, "mask": 1}


def test_marks_on_a_stack_with_channels_and_planes_are_about_its_frames():
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((2, 6, 3, 48, 64), np.uint8), axis_labels=("c", "t", "z", "y", "x"))
    viewer.dims.set_point((0, 2), (1, 2))
    layers = prompt_layers(viewer, lambda: None)
    layers.show_movie(image)
    source = MovieSource.from_layer(image, viewer.dims.point)
    assert source.plane == (1, 0, 2)
    wanted = Prompts([PointPrompt(1, 4, (5, 6)), BoxPrompt(2, 3, (1, 2, 9, 9)), MaskPrompt.from_frame(3, 5, LEFT)])
    layers.apply(source, wanted)
    assert layers.prompts(source) == wanted
    assert {tuple(row[:3]) for row in layers.points.data} == {(1, 4, 2), (1, 5, 2)}
