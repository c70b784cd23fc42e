"""Images of which only some rectangles hold anything."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from napari_mosam.core.windows.sparse import SparseImage, disjoint_boxes, inside, moved

SPANS = st.tuples(st.integers(0, 40), st.integers(0, 15)).map(lambda span: slice(span[0], sum(span)))
PARTS = st.lists(st.tuples(SPANS, SPANS), max_size=9)


def count(parts):
    """How many parts cover each pixel."""
    covered = np.zeros((60, 60), int)
    for part in parts:
        covered[part] += 1
    return covered


@given(PARTS, st.randoms())
def test_boxes_cover_all_parts_and_share_no_pixel_whatever_their_order(parts, random):
    boxes = disjoint_boxes(parts)
    assert count(boxes).max(initial=0) <= 1
    for part in parts:
        if count([part]).any():
            assert [inside(part, box) for box in boxes].count(True) == 1
    assert disjoint_boxes(random.sample(parts, len(parts))) == boxes


@given(PARTS)
def test_boxes_are_no_larger_than_the_parts_ask_for(parts):
    boxes = disjoint_boxes(parts)
    for box in boxes:
        own = [part for part in parts if count([part]).any() and inside(part, box)]
        assert (min(p[0].start for p in own), min(p[1].start for p in own)) == (box[0].start, box[1].start)
        assert (max(p[0].stop for p in own), max(p[1].stop for p in own)) == (box[0].stop, box[1].stop)
    assert len(boxes) <= len(parts)


@given(PARTS, st.integers(0, 999))
def test_an_image_is_what_its_parts_hold_and_0_elsewhere(parts, seed):
    frame = np.random.default_rng(seed).integers(0, 9, (60, 60)).astype(np.uint16)
    boxes = disjoint_boxes(parts)
    sparse = SparseImage((60, 60), np.uint16, tuple((box, frame[box]) for box in boxes))
    wanted = np.where(count(boxes) > 0, frame, 0)
    assert sparse.full().dtype == np.uint16 and np.array_equal(sparse.full(), wanted)
    doubled = sparse.mapped(lambda pixels: (pixels * 0.5).astype(np.float32), np.float32)
    assert np.array_equal(doubled.full(), (wanted * 0.5).astype(np.float32))


def test_an_array_is_one_part_and_stays_the_same_array():
    frame = np.arange(12).reshape(3, 4)
    assert SparseImage.of(frame).full() is frame
    assert SparseImage.of(SparseImage.of(frame)).full() is frame
    part = (slice(1, 3), slice(2, 4))
    assert np.array_equal(frame[1:, 1:][moved(part, (slice(1, 3), slice(1, 4)))], frame[part])
