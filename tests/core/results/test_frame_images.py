"""Labels, confidence and flow of a frame that are made when somebody looks at them."""

import pickle
import pydoc
from dataclasses import replace

import numpy as np
import pytest

from napari_mosam.core.results.frame import FrameResult, when_asked
from napari_mosam.core.windows.sparse import SparseImage

BOX = (slice(2, 4), slice(1, 4))


class Counted:
    """Counts how often it was made."""

    def __init__(self, image):
        self.image, self.made = image, 0

    def full(self):
        self.made += 1
        return self.image.full()


def image(value, dtype):
    return SparseImage((6, 5), dtype, ((BOX, np.full((2, 3), value, dtype)),))


@pytest.fixture
def labels():
    return Counted(image(7, np.uint16))


def result_of(labels):
    flow = Counted(SparseImage.of(np.ones((6, 5), np.float32)))
    return FrameResult(3, "forward", when_asked(labels), when_asked(image(0.5, np.float32)), (), when_asked(flow))


def test_an_array_is_made_once_and_only_when_asked_for(labels):
    result = result_of(labels)
    assert (result.t, labels.made) == (3, 0)
    assert result.labels[3, 2] == 7 and result.labels.sum() == 42
    assert result.labels is result.labels and labels.made == 1
    assert result.confidence.dtype == np.float32 and result.flow.shape == (6, 5)


def test_arrays_that_are_given_stay_those_arrays():
    given = np.zeros((6, 5), np.uint16), np.zeros((6, 5), np.float32)
    result = FrameResult(0, "backward", *given, ())
    assert result.labels is given[0] and result.confidence is given[1] and result.flow is None
    assert all(held.full() is own for held, own in zip(result.held, given, strict=True))


def test_what_is_held_is_told_without_the_whole_frame():
    result = FrameResult(0, "forward", when_asked(image(7, np.uint16)), when_asked(image(0.5, np.float32)), ())
    assert [[part for part, _ in held.parts] for held in result.held] == [[BOX], [BOX]]
    assert "labels" not in vars(result)
    assert result.labels.any() and result.held[0].parts[0][0] == BOX


def test_copies_have_the_arrays(labels):
    for copied in (pickle.loads(pickle.dumps(result_of(labels))), replace(result_of(labels), t=3)):
        assert isinstance(copied.labels, np.ndarray) and copied.labels.sum() == 42
        assert copied.flow.all() and copied.drift_yx == (0, 0)
    assert hasattr(FrameResult, "labels") and "direction" in pydoc.render_doc(FrameResult)
    with pytest.raises(AttributeError, match="outline"):
        result_of(labels).outline  # noqa: B018
