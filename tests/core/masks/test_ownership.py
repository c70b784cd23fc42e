"""Who holds which pixel, worked out around the objects alone, against the same on whole frames."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_mosam.core.masks.label_frames import regions_of
from napari_mosam.core.masks.overlap import NO_OBJECT, resolve_overlaps
from napari_mosam.core.windows.sampling import NO_LOGIT, paste, sample
from napari_mosam.core.windows.window import Window

SHAPE = (160, 192)
"""A multiple of 64 pixels: torch computes the last few of others in another way."""


class WholeFrames:
    """The plain way: two logits and a winner for every pixel of the frame."""

    def __init__(self, logits, windows, denied):
        self.best, self.second = torch.full(SHAPE, NO_LOGIT), torch.full(SHAPE, NO_LOGIT)
        self.winner = torch.full(SHAPE, -1, dtype=torch.int32)
        for row, (own, window) in enumerate(zip(logits, windows, strict=True)):
            region, values = paste(own, window, SHAPE)
            if not values.numel():
                continue
            if row in denied:
                values = values.masked_fill(torch.from_numpy(denied[row]), NO_LOGIT)
            values = values.clamp(min=NO_LOGIT)
            best, second = self.best[region], self.second[region]
            wins = values > best
            second.copy_(torch.where(wins, best, torch.maximum(second, values)))
            best.copy_(torch.where(wins, values, best))
            self.winner[region][wins] = row

    def labels(self, ids):
        labels = np.array([*ids, 0], np.uint16)[self.winner.numpy()]
        labels[(self.best <= 0).numpy()] = 0
        return labels

    def confidence(self, qualities):
        confidence = self.best.sigmoid() * torch.tensor([*qualities, 0.0])[self.winner]
        return confidence.masked_fill(self.best <= 0, 0.0).numpy()

    def rivals(self, row, window, size):
        rows, columns = window.pixels(SHAPE)
        if rows.start == rows.stop or columns.start == columns.stop:
            return torch.full((size, size), NO_LOGIT)
        rival = torch.where(self.winner == row, self.second, self.best)[rows, columns]
        local = Window((window.center_yx[0] - rows.start, window.center_yx[1] - columns.start), window.size_yx)
        return sample(rival[None, None], local, size)[0]


@st.composite
def scenes(draw):
    """Objects anywhere, in windows that share pixels or do not, or lie outside; some absent, some denied pixels."""
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    n = draw(st.integers(0, 7))
    windows = [Window.square(tuple(rng.uniform(-40, 220, 2)), rng.uniform(3, 90)) for _ in range(n)]
    logits = [torch.from_numpy(rng.normal(0, 6, (s, s)).astype(np.float32)) for s in rng.integers(2, 20, n)]
    logits = [torch.full_like(own, NO_OBJECT) if rng.random() < 0.2 else own for own in logits]
    denied = {}
    for row, window in enumerate(windows):
        rows, columns = window.pixels(SHAPE)
        if rng.random() < 0.3:
            denied[row] = rng.random((rows.stop - rows.start, columns.stop - columns.start)) < 0.4
    return logits, windows, denied


def same(one, other):
    """Whether two arrays have the same bits."""
    return one.dtype == other.dtype and np.array_equal(one, other)


@settings(max_examples=150, deadline=None)
@given(scenes())
def test_the_parts_have_the_bits_of_the_whole_frame(scene):
    logits, windows, denied = scene
    owners, whole = resolve_overlaps(logits, windows, SHAPE, denied), WholeFrames(logits, windows, denied)
    ids, qualities = [5 * row + 2 for row in range(len(windows))], [0.3 + 0.1 * row for row in range(len(windows))]
    held = owners.over((slice(0, SHAPE[0]), slice(0, SHAPE[1])))
    assert torch.equal(held.best, whole.best) and torch.equal(held.second, whole.second)
    assert same(owners.labels(ids), whole.labels(ids))
    assert same(owners.confidence(qualities), whole.confidence(qualities))
    views = {**dict(enumerate(windows)), -2: Window.square((75.0, 95.0), 130.0)}
    found = owners.rivals(list(views), list(views.values()), 32)
    for own, (row, window) in zip(found, views.items(), strict=True):
        assert torch.equal(own, whole.rivals(row, window, 32))
    told = regions_of(whole.labels(ids), ids, windows)
    for found, wanted in zip(owners.regions(windows), told, strict=True):
        assert (found is None) == (wanted is None)
        assert found is None or (found.box == wanted.box and np.array_equal(found.mask, wanted.mask))


def test_what_is_held_takes_memory_where_the_objects_are_and_nowhere_else():
    windows = [Window.square((60, 60), 50), Window.square((80, 70), 50), Window.square((3000, 3900), 50)]
    lost = Window.full((4096, 4096))
    logits = [*(torch.full((8, 8), 3.0) for _ in windows), torch.full((8, 8), NO_OBJECT)]
    owners = resolve_overlaps(logits, [*windows, lost], (4096, 4096))
    assert [part.best.shape for part in owners.parts] == [(70, 60), (50, 50)]
    image = owners.label_image([1, 2, 3, 4])
    assert sum(pixels.size for _, pixels in image.parts) == 70 * 60 + 50 * 50
    assert np.array_equal(np.unique(image.full()), [0, 1, 2, 3])
