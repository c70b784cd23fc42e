"""What other programs stumbled over when cells are marked; the others have their test where they belong."""

import numpy as np
import pytest
from tests.widgets.conftest import PLACES, N, box_around
from tests.widgets.test_live_preview import at_first, outlined


def test_prompts_only_on_the_last_frame(open_widget, movie, hands, truth):
    widget = open_widget(movie)
    hands.mark(widget, 1, frame=N - 1)
    labels = hands.run(widget)
    assert all(((labels[t] == 1) & (truth[t] == 1)).sum() > 0.8 * (truth[t] == 1).sum() for t in range(N))


@pytest.mark.parametrize(
    ("axes", "rgb"),
    [("tyx", True), pytest.param("cztyx", False, marks=pytest.mark.slow), pytest.param("tczyx", False)],
)
def test_rgb_and_singleton_axes(open_widget, movie, hands, axes, rgb):
    shape = [{"t": N, "y": 64, "x": 64}.get(letter, 1) for letter in axes]
    data = np.repeat((movie // 8).astype(np.uint8)[..., None], 3, -1) if rgb else movie.reshape(shape)
    widget = open_widget(data, rgb=rgb, live=True, axis_labels=tuple(axes))
    widget.viewer.dims.set_point(axes.index("t"), 0)
    widget.controls.plus.click()
    place = {"t": 0, "y": PLACES[0][1][0], "x": PLACES[0][1][1]}
    widget.prompts.points.add([place.get(letter, 0) for letter in axes])
    assert [(p.frame, p.yx) for p in widget.prompts.prompts(widget.source)] == [(0, (44.0, 40.0))]
    hands.qtbot.wait(1)
    hands.qtbot.waitUntil(lambda: not widget.jobs.live.busy and not widget.jobs.waits, timeout=10_000)
    y, x = np.nonzero(widget.jobs.live.ids_on(0))
    np.testing.assert_allclose((y.mean(), x.mean()), PLACES[0][1], atol=1)
    assert hands.layer(widget, "preview").data.shape == tuple(shape)


@pytest.mark.slow
def test_two_viewers_in_one_process(open_widget, movie, hands):
    first, second = (at_first(open_widget(movie, live=True)) for _ in range(2))
    hands.mark(first, 1)
    hands.mark(second, 2)
    assert outlined(first, hands) == outlined(second, hands) == [1]
    for widget, disk in ((first, 1), (second, 2)):
        y, x = np.nonzero(widget.jobs.live.ids_on(0))
        np.testing.assert_allclose((y.mean(), x.mean()), PLACES[0][disk - 1], atol=1)
    first.prompts.clear()
    assert outlined(first, hands) == [] and outlined(second, hands) == [1]


@pytest.mark.slow
def test_a_layer_of_marks_or_previews_renamed_or_removed(open_widget, movie, hands):
    widget = at_first(open_widget(movie, live=True))
    hands.mark(widget, 1)
    assert outlined(widget, hands) == [1]
    widget.prompts.shapes.name = "mine"
    hands.layer(widget, "preview").name = "theirs"
    hands.mark(widget, 2)
    assert outlined(widget, hands) == [1, 2] and "MoSAM boxes" not in widget.viewer.layers
    widget.viewer.layers.remove("theirs")
    hands.mark(widget, 3)
    assert outlined(widget, hands) == [1, 2, 3]
    widget.viewer.layers.remove("mine")
    hands.settle(widget)
    assert outlined(widget, hands) == [] and not widget.prompts.ids()
    hands.box(widget, 0, *box_around(2, 0))
    assert len(outlined(widget, hands)) == 1
