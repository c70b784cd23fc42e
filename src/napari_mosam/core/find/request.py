"""What is asked of a search for the cells of a frame, checked before anything is loaded."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from napari_mosam.core.config.checks import Refused, require
from napari_mosam.core.config.run import RunConfig
from napari_mosam.core.images.movie import Movie
from napari_mosam.core.masks.region import Region
from napari_mosam.core.runs.request import open_movie

MIN_SCORE = 0.4
"""Score from which a mask is proposed: recall and precision are .61 and .85, .64 and .96, .86 and .94 on three sets of
stills of nuclei, and with .35 .68 and .71, .72 and .78, .88 and .78 (before larger masks were preferred)."""


@dataclass(frozen=True, slots=True, eq=False)
class FindRequest:
    """A frame in which every cell is to be found; only :meth:`build` makes one.

    Attributes
    ----------
    movie : Movie
    frame : int
    config : RunConfig
        Of which model, device, the diameter of a typical cell and the windows count.
    covered : ndarray of int, shape (Y, X), or None
        Ids of what is known already, and not proposed again.
    min_score : float
        Score from which a mask is proposed, in [0, 1].
    down_to : float
        Score down to which masks are proposed too where no surer one lies; not above `min_score`.
    """

    movie: Movie
    frame: int
    config: RunConfig
    covered: NDArray[np.integer] | None
    min_score: float
    down_to: float

    @classmethod
    def build(
        cls,
        movie: Any,
        frame: int,
        config: RunConfig,
        covered: NDArray[Any] | None = None,
        min_score: float | None = None,
        down_to: float | None = None,
    ) -> Self:
        """Check everything that a search is given. Reads no frame, loads no model and no torch.

        Raises
        ------
        MovieError, ValueError
            With what was given, what is allowed and what to do.
        """
        opened = open_movie(movie, config.movie)
        last, score = opened.n_frames - 1, MIN_SCORE if min_score is None else min_score
        if not 0 <= frame <= last:
            raise Refused(f"there is no frame {frame}; {opened.name} has frames 0 to {last}")
        weakest = score if down_to is None else min(score, down_to)
        require(0 <= score <= 1, "min_score", score, "a number from 0 to 1")
        require(0 <= weakest, "down_to", weakest, "a number from 0 to 1")
        return cls(opened, int(frame), config, _ids(covered, opened.frame_shape), score, weakest)

    def known(self) -> list[Region]:
        """The pixels of each object that is known already."""
        from scipy.ndimage import find_objects

        if self.covered is None:
            return []
        ids, ranks = np.unique(self.covered, return_inverse=True)
        places = find_objects(ranks.reshape(self.covered.shape) + 1)
        cut = [(self.covered[place] == i, place) for i, place in zip(ids, places, strict=True) if i]
        found = [Region.from_mask(mask, (rows.start, columns.start)) for mask, (rows, columns) in cut]
        return [region for region in found if region is not None]


def _ids(covered: NDArray[Any] | None, shape_yx: tuple[int, int]) -> NDArray[np.integer] | None:
    if covered is None:
        return None
    given = np.asarray(covered)
    if given.shape != shape_yx or given.dtype.kind not in "iu":
        raise Refused(f"what is covered is {given.dtype} {given.shape}; give ids (Y, X) of shape {shape_yx}")
    return given
