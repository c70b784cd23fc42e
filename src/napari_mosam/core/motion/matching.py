"""Normalised cross-correlation of many patches at once, each with its own scale, weights and search.

Pixels outside a frame count as unknown, not as grey: every sum runs over what both frames show (the masked
correlation of Padfield, "Masked object registration in the Fourier domain", IEEE TIP 2012, here with weights).
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from napari_mosam.core.windows.devices import put, rows_on
from napari_mosam.core.windows.pyramid import Pyramid
from napari_mosam.core.windows.sampling import alike, read_places

if TYPE_CHECKING:
    from collections.abc import Sequence

Known = tuple[Tensor, Tensor] | None
"""Which rows and which columns of searches (N, S) are known, 1 or 0; None where all are."""

MIN_OVERLAP = 0.5
"""Share of a template's weight that must lie on the other frame; not measured."""

MIN_VARIANCE, MIN_SHARE = 1e-7, 1e-5
"""A patch is flat, and matches nothing, if the variance of its grey values (frames in [0, 1]) is below `MIN_VARIANCE`
or below `MIN_SHARE` of the mean square of the search: less is the rounding of the Fourier transform."""

MAX_DEPTH = 12
"""Halvings of a frame at most: a frame of 4096 px is one px then."""

TENSORS_PER_PATCH = 30
"""Tensors of the size of the search that are alive at once, an estimate: it sizes batches."""


def read_patches(frame: Pyramid, centers: Tensor, steps: Tensor, half: int) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Square patches of 2 * half + 1 samples.

    Parameters
    ----------
    frame : Pyramid
        One frame, float, in [0, 1]; the patches were looked for, see :meth:`Pyramid.look`.
    centers : Tensor, shape (N, 2)
        Middles (y, x), px; on the frame's device.
    steps : Tensor, shape (N,)
        Distance of the samples, px; in main memory.
    half : int
        Samples on either side of the middle.

    Returns
    -------
    values : Tensor, shape (N, P, P)
        Grey values; the frame's edge is repeated outside.
    known : tuple of Tensor of bool, shape (N, P)
        Which rows and which columns of the samples lie in the frame.
    """
    offsets = put(torch.arange(-half, half + 1) * steps[:, None], centers.device)
    places = [centers[:, k, None] + offsets for k in (0, 1)]
    in_rows, in_columns = ((p > -0.5) & (p < side - 0.5) for p, side in zip(places, frame.shape_yx, strict=True))
    values = centers.new_empty((len(steps), 2 * half + 1, 2 * half + 1))
    for depth, rows in alike(depths(steps)):
        chosen = rows_on(centers.device, rows)
        image, scale = frame.level(depth)
        y, x = ((p[chosen] + 0.5) / scale - 0.5 for p in places)
        values[chosen] = read_places(image, y[:, :, None], x[:, None])[:, 0]
    return values, (in_rows, in_columns)


def depths(steps: Tensor) -> Tensor:
    """How often a frame is halved before it is sampled at these distances (N,), px."""
    return steps.log2().add(1e-4).floor().clamp(0, MAX_DEPTH)


@dataclass(frozen=True, slots=True, eq=False)
class Patches:
    """What is looked for.

    Attributes
    ----------
    centers : Tensor, shape (N, 2)
        Middles (y, x) on the earlier frame, px.
    steps : Tensor, shape (N,)
        Distance of the samples, px; in main memory, the others on the device of the frames.
    weights : Tensor, shape (N, P, P)
        What each sample of the template counts, 0 or more; P is odd.
    shifts : Tensor, shape (N, 2)
        Expected motion (dy, dx), px: the middle of the search.
    """

    centers: Tensor
    steps: Tensor
    weights: Tensor
    shifts: Tensor

    def part(self, chosen: slice) -> "Patches":
        """Some of the patches."""
        return Patches(self.centers[chosen], self.steps[chosen], self.weights[chosen], self.shifts[chosen])

    def turned_back(self, shifts: Tensor) -> "Patches":
        """The patches where they were found, to be looked for on the earlier frame within the same distance."""
        return Patches(self.centers + shifts, self.steps, self.weights, -self.shifts)


@dataclass(frozen=True, slots=True, eq=False)
class Matches:
    """What was found.

    Attributes
    ----------
    shifts : Tensor, shape (N, 2)
        Motion (dy, dx), px, to a fraction of a sample; the expected one where nothing was found.
    peaks : Tensor, shape (N,)
        Correlation there, in [0, 1]; 0 where nothing was found: no detail, no frame, or the best place is on the edge
        of the search.
    misses : Tensor, shape (N,)
        Distance from where the search backwards ended to where the patch had come from, px; inf where nothing was
        found either way.
    """

    shifts: Tensor
    peaks: Tensor
    misses: Tensor

    @classmethod
    def joined(cls, parts: "Sequence[Matches]") -> "Matches":
        """One after the other."""
        columns = zip(*((part.shifts, part.peaks, part.misses) for part in parts), strict=True)
        return cls(*(torch.cat(column) for column in columns))


def match(before: Pyramid, after: Pyramid, patches: Patches, reach: int, chunk_mib: int = 64) -> Matches:
    """Follow patches from one frame to the next and back.

    Parameters
    ----------
    before, after : Pyramid
        Two frames of the same shape on the same device. What the patches may reach was looked for on both, see
        :meth:`Pyramid.look`.
    patches : Patches
        What to look for.
    reach : int
        Farthest motion from the expected one along each axis, samples.
    chunk_mib : int
        Memory that a batch may take, MiB.
    """
    side = _fast_side(patches.weights.shape[-1] + 2 * reach)
    size = max(1, chunk_mib * 2**20 // (4 * TENSORS_PER_PATCH * side**2))
    starts = range(0, max(1, len(patches.steps)), size)
    return Matches.joined([_match(before, after, patches.part(slice(a, a + size)), reach) for a in starts])


def _match(before: Pyramid, after: Pyramid, patches: Patches, reach: int) -> Matches:
    shifts, peaks = find(before, after, patches, reach)
    back, back_peaks = find(after, before, patches.turned_back(shifts), reach)
    misses = (shifts + back).norm(dim=1)
    return Matches(shifts, peaks, misses.masked_fill((peaks <= 0) | (back_peaks <= 0), float("inf")))


def find(before: Pyramid, after: Pyramid, patches: Patches, reach: int) -> tuple[Tensor, Tensor]:
    """Motion (N, 2) in px of patches and the correlation (N,) there; see :class:`Matches`."""
    half = patches.weights.shape[-1] // 2
    # whole pixels, so that both frames are interpolated at the same places between their pixels
    middle, steps = patches.shifts.round(), put(patches.steps, patches.centers.device)
    template, (rows, columns) = read_patches(before, patches.centers, patches.steps, half)
    search, known = read_patches(after, patches.centers + middle, patches.steps, half + reach)
    surface = correlations(template, patches.weights * rows[:, :, None] * columns[:, None], search, known)
    offsets, peaks = _peak(surface)
    found = (peaks > 0)[:, None]
    return (middle + (offsets - reach) * steps[:, None]).where(found, patches.shifts), peaks


def correlations(template: Tensor, weights: Tensor, search: Tensor, known: tuple[Tensor, Tensor]) -> Tensor:
    """Weighted correlation of templates with every place in their searches.

    Parameters
    ----------
    template, weights : Tensor, shape (N, P, P)
        Grey values and what they count.
    search : Tensor, shape (N, S, S)
        Grey values; S >= P.
    known : tuple of Tensor of bool, shape (N, S)
        Rows and columns of the search where they are real.

    Returns
    -------
    Tensor, shape (N, S - P + 1, S - P + 1)
        In [-1, 1]; 0 where a patch is flat, -1 where too little of the template lies on what is known.
    """
    if search.device.type != "cpu":  # which patches are simpler is not asked: the answer would have to be waited for
        return _correlated(template, weights, search, (known[0].to(search), known[1].to(search)), even=False)
    surface = search.new_empty((len(search), *[search.shape[-1] - template.shape[-1] + 1] * 2))
    inside, even = known[0].all(1) & known[1].all(1), (weights == 1).flatten(1).all(1)
    for kind, some in alike(inside + 2 * even.int()):
        shown = None if kind & 1 else (known[0][some].to(search.dtype), known[1][some].to(search.dtype))
        surface[some] = _correlated(template[some], weights[some], search[some], shown, even=bool(kind & 2))
    return surface


def _correlated(template: Tensor, weights: Tensor, search: Tensor, known: Known, *, even: bool) -> Tensor:
    """What :func:`correlations` says, of patches whose samples all count as 1 ('even'), or of others."""
    # sums of squares of values around zero lose no digits
    weight = weights.sum((1, 2), keepdim=True)
    level = (template * weights).sum((1, 2), keepdim=True) / weight.clamp_min(1e-6)
    f, g = template - level, search - level
    squares = g * g
    least = MIN_VARIANCE + MIN_SHARE * squares.mean((1, 2), keepdim=True)
    wf = f if even else weights * f
    n, sf, sff = _over_known(known, weights, wf, wf * f)
    if known is not None:
        shown = known[0][:, :, None] * known[1][:, None]
        g, squares = g * shown, squares * shown
    sg, sgg, sfg = _over_search(weights, wf, g, squares, even=even)
    total = n.clamp_min(1e-6)
    variances = (sff / total - (sf / total) ** 2).clamp_min(0), (sgg / total - (sg / total) ** 2).clamp_min(0)
    covariance = sfg / total - sf * sg / total**2
    ncc: Tensor = (covariance / (variances[0] * variances[1]).sqrt().clamp_min(MIN_VARIANCE)).clamp(-1, 1)
    enough = n >= MIN_OVERLAP * weight.clamp_min(1)
    return ncc.masked_fill(torch.minimum(*variances) < least, 0).masked_fill(~enough, -1)


def _over_known(known: Known, *images: Tensor) -> list[Tensor]:
    """Sums of templates (N, P, P) over what is known at every place of the search; (N, 1, 1) where all is."""
    if known is None:
        return [image.sum((1, 2), keepdim=True) for image in images]
    rows, columns = (line.unfold(1, images[0].shape[-1], 1) for line in known)  # (N, places, P)
    return [rows @ image @ columns.mT for image in images]


def _over_search(
    weights: Tensor, weighted: Tensor, g: Tensor, squares: Tensor, *, even: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Weighted sums of g, g² and f g at every place of the search, (N, places, places); by boxes or by spectra."""
    side, places = _fast_side(g.shape[-1]), g.shape[-1] - weights.shape[-1] + 1

    def spectrum(image: Tensor) -> Tensor:
        return torch.as_tensor(torch.fft.rfft2(image, (side, side)))

    def sums(turned: Tensor, other: Tensor) -> Tensor:
        return torch.as_tensor(torch.fft.irfft2(turned * other, (side, side)))[..., :places, :places]

    wf, vg = spectrum(weighted).conj_physical_(), spectrum(g)
    if even:
        box = weights.shape[-1]
        return box_sums(g, box), box_sums(squares, box), sums(wf, vg)
    w = spectrum(weights).conj_physical_()
    return sums(w, vg), sums(w, spectrum(squares)), sums(wf, vg)


def box_sums(images: Tensor, side: int) -> Tensor:
    """Sums of images (N, Y, X) over every box of side x side samples that lies in them, (N, Y - side + 1, …)."""
    return _line_sums(_line_sums(images, side, 1), side, 2)


def _line_sums(images: Tensor, n: int, axis: int) -> Tensor:
    """Sums of `n` neighbours along an axis: those of 1, 2, 4, … neighbours, and of these the ones that make `n`."""
    places, done, parts = images.shape[axis] - n + 1, 0, []
    for power in range(n.bit_length()):
        if n >> power & 1:
            parts.append(images.narrow(axis, done, places))
            done += 2**power
        longer = images.shape[axis] - 2**power
        if n >> power > 1:
            images = images.narrow(axis, 0, longer) + images.narrow(axis, 2**power, longer)
    return sum(parts[1:], parts[0])


def _fast_side(least: int) -> int:
    from scipy.fft import next_fast_len

    return int(next_fast_len(least, real=True))


def _peak(surface: Tensor) -> tuple[Tensor, Tensor]:
    """Place (row, column) of the largest value (N, 2), refined by a parabola along each axis; 0 high at the edge."""
    n, side, _ = surface.shape
    best = surface.reshape(n, -1).argmax(1)
    row, column = best // side, best % side
    inner = (torch.minimum(row, column) > 0) & (torch.maximum(row, column) < side - 1)
    r, c, each = row.clamp(1, side - 2), column.clamp(1, side - 2), torch.arange(n, device=surface.device)
    top = surface[each, r, c]
    dy = _vertex(surface[each, r - 1, c], top, surface[each, r + 1, c])
    dx = _vertex(surface[each, r, c - 1], top, surface[each, r, c + 1])
    return torch.stack([r + dy, c + dx], 1), top.clamp_min(0) * inner


def _vertex(left: Tensor, top: Tensor, right: Tensor) -> Tensor:
    """Where a parabola through three values one sample apart is highest, relative to the middle one."""
    offset: Tensor = (right - left) / (2 * (2 * top - left - right).clamp_min(1e-9))
    return offset.clamp(-0.5, 0.5)
