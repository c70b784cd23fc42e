"""The rule of the stored labels, apart from any viewer: what differs from what runs wrote last is a person's."""

from types import SimpleNamespace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.ndimage import label

from napari_mosam.widgets.layers.label_store import STORE, LabelStore, StoredLabels

SHAPE = (6, 7)
FRAMES = arrays(np.uint8, SHAPE, elements=st.integers(0, 4))
EDITS = st.tuples(arrays(bool, SHAPE), st.integers(0, 4))
RUNS = st.tuples(FRAMES, st.sets(st.integers(1, 4)))


def store_of(stored, written):
    """A layer of one frame, and where runs write it."""
    own = StoredLabels(stored[None].copy(), written[None].copy())
    layer = SimpleNamespace(data=own.labels, metadata={STORE: own})
    source = SimpleNamespace(index=lambda t: (t,), layer_shape=(1, *SHAPE))
    return LabelStore(layer, source), own


@given(st.lists(st.one_of(EDITS, RUNS), max_size=8))
def test_no_run_changes_a_pixel_or_an_object_that_a_person_drew(steps):
    store, own = store_of(np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, np.uint8))
    for first, second in steps:
        if isinstance(second, int):
            own.labels[0][first] = second
            continue
        before, painted = own.labels[0].copy(), store.painted(0)
        store.write(0, first, second, as_is=second)
        after = own.labels[0]
        np.testing.assert_array_equal(after[painted.pixels], before[painted.pixels])
        for kept in set(range(1, 5)) - (second - painted.ids):
            np.testing.assert_array_equal(after == kept, before == kept)
        for followed in second - painted.ids:
            free = ~painted.pixels & ~np.isin(before, sorted(set(range(1, 5)) - (second - painted.ids)))
            np.testing.assert_array_equal(after[free] == followed, first[free] == followed)
        np.testing.assert_array_equal(store.painted(0).pixels, painted.pixels)


@given(FRAMES, FRAMES, RUNS)
def test_what_is_forgotten_stays_as_it_is_until_the_next_run(stored, written, run):
    store, own = store_of(stored, written)
    n_pixels = int((stored != written).sum())
    assert store.forget(0) == n_pixels
    np.testing.assert_array_equal(own.labels[0], stored)
    assert store.painted(0).n_pixels == 0 and store.forget(0) == 0
    store.write(0, *run, as_is=run[1])
    for followed in run[1]:
        free = np.isin(stored, [0, *run[1]])
        np.testing.assert_array_equal(own.labels[0][free] == followed, run[0][free] == followed)


def test_ids_that_are_negative_or_large_cost_no_memory_and_are_kept():
    stored = np.zeros(SHAPE, np.int64)
    stored[0, :3] = (-5, 2**40, 2)
    store, own = store_of(stored, stored)
    labels = np.zeros(SHAPE, np.uint32)
    labels[0], labels[1] = 2, 2
    store.write(0, labels, [2])
    assert own.labels[0][0].tolist() == [-5, 2**40, 2, 2, 2, 2, 2] and (own.labels[0][1] == 2).all()


@given(FRAMES, FRAMES, RUNS)
def test_what_a_stroke_or_another_object_cuts_keeps_its_largest_piece(stored, written, run):
    labels, followed = run
    store, own = store_of(stored, written)
    plain, beside = store_of(stored, written)
    painted = store.write(0, labels, followed)
    plain.write(0, labels, followed, as_is=followed)
    for i in followed - painted.ids:
        whole, kept = beside.labels[0] == i, own.labels[0] == i
        assert not (kept & ~whole).any()
        if (labels == i).sum() == whole.sum():
            np.testing.assert_array_equal(kept, whole)
        else:
            sizes = np.bincount(label(whole, np.ones((3, 3)))[0].ravel())[1:]
            assert kept.sum() == max(sizes, default=0) and label(kept, np.ones((3, 3)))[1] <= 1
