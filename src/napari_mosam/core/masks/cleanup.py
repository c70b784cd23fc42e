"""One mask by itself: its stray pieces, its holes, and how nearly it has fallen into two."""

from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_mosam.core.masks.overlap import SUPPRESSED

if TYPE_CHECKING:
    from torch import Tensor

FILLED = 1.0
"""Logit given to the holes of a mask: cells have none, but a rival that sits in one keeps it; not measured."""


def prune(logits: "Tensor", expected: "Tensor | None") -> "Tensor":
    """Drop the pieces of a mask that do not continue the last one, and fill its holes.

    A cell is connected, so a separate piece that lies where the object was not is a neighbour. The piece that covers
    most of the expected mask stays, and every piece that lies mostly inside it; where nothing is expected, or no
    piece meets it, the largest piece stays.

    Parameters
    ----------
    logits : Tensor, shape (h, w)
        Mask logits over a window.
    expected : Tensor, shape (h, w), or None
        Coverage of the same window by the last mask, moved by the estimated motion, in [0, 1]; None after the
        object was lost.

    Returns
    -------
    Tensor, shape (h, w)
        Logits, at most -10 on dropped pieces and 1 in holes.
    """
    from scipy.ndimage import binary_fill_holes, label

    pieces, n_pieces = label((logits > 0).cpu().numpy())
    if n_pieces == 0:
        return logits
    inside = np.zeros(pieces.shape, bool) if expected is None else expected.cpu().numpy() > 0.5
    covered = np.bincount(pieces[inside], minlength=n_pieces + 1)[1:]
    sizes = np.bincount(pieces.ravel(), minlength=n_pieces + 1)[1:]
    stays = covered > 0.5 * sizes
    stays[covered.argmax() if covered.any() else sizes.argmax()] = True
    kept = np.array([False, *stays])[pieces]
    dropped = torch.from_numpy((pieces > 0) & ~kept).to(logits.device)
    holes = torch.from_numpy(binary_fill_holes(kept) & ~kept).to(logits.device)
    return torch.where(dropped, logits.clamp(max=SUPPRESSED), torch.where(holes, FILLED, logits))


def division_evidence(logits: "Tensor", expected: "Tensor | None") -> float:
    """How nearly a mask has fallen into two equal pieces where the object was, in [0, 1].

    Same parameters as :func:`prune`. The area of the second largest piece that meets the expected mask over that of
    the largest; 0 for a single piece, and where nothing is expected.
    """
    from scipy.ndimage import label

    if expected is None:
        return 0.0
    pieces, n_pieces = label((logits > 0).cpu().numpy())
    met = np.unique(pieces[expected.cpu().numpy() > 0.5])
    sizes = np.sort(np.bincount(pieces.ravel(), minlength=n_pieces + 1)[met[met > 0]])
    return float(sizes[-2] / sizes[-1]) if len(sizes) > 1 else 0.0
