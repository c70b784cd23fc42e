"""Which objects of a result seem to divide, and when: the masks say where to look, the model whether there are two."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mosam.core.config.checks import Refused
from napari_mosam.core.config.run import RunConfig
from napari_mosam.core.images.movie import Movie
from napari_mosam.core.lineage.events import SHRUNK, Track, tracks_of
from napari_mosam.core.lineage.pairs import HERE, Pair, cell_at, find_pair, joined
from napari_mosam.core.lineage.proposals import DivisionProposal
from napari_mosam.core.masks.region import Region
from napari_mosam.core.model.protocol import Segmenter
from napari_mosam.core.prompts.collection import PointPrompt, Prompts
from napari_mosam.core.runs.request import RunRequest
from napari_mosam.core.runs.run import preview_frame
from napari_mosam.core.store.lineage.edits import denied_of
from napari_mosam.core.store.result import Result
from napari_mosam.core.tracking.frames import open_frame
from napari_mosam.core.windows.pyramid import Pyramid

BACK, ON = 8, 2
"""Frames before a look on which the daughters may have been apart already, and behind it, on one of which both have
to be seen again. A mask covers both daughters for up to six frames (simulated movies)."""

WHOLE_BEFORE = 2
"""Frames before the first on which daughters are apart, on which one cell has to be seen."""

NEAR = 3
"""Frames from a division that was denied within which it is not proposed again."""

OF_A_NEIGHBOUR = 0.5
"""Share of a daughter that lies on another object from which on she is that object."""

Progress = Callable[[int, int], None]


def propose_divisions(
    result: Result,
    movie: Movie,
    model: Segmenter,
    *,
    objects: Collection[int] | None = None,
    progress: Progress | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> tuple[DivisionProposal, ...]:
    """Propose divisions of a result's objects, by frame; nothing changes.

    Objects that have daughters already are not looked at, nor are divisions proposed that a person denied.

    Parameters
    ----------
    result : Result
    movie : Movie
        It was made from, with the grey limits that it was made with.
    model : Segmenter
    objects : collection of int, optional
        The only mothers; all by default.
    progress : callable, optional
        Told of the number of objects that were looked at, and of their total.
    stopped : callable, optional
        Asked after every look; where it is so, what was found until then is returned.
    """
    mothers = {*result.parents.values()}
    every = tracks_of(result, stopped)
    tracks = [one for one in every if one.object_id not in mothers and (objects is None or one.object_id in objects)]
    births = {one.object_id: int(np.argmax(one.seen)) for one in every if one.seen.any()}
    look = DivisionFinder(result, movie, model, births)
    found: list[DivisionProposal] = []
    for done, track in enumerate(tracks, 1):
        found += look.at(track, denied_of(result.attrs).get(track.object_id, ()), stopped)
        if stopped():
            break
        if progress is not None:
            progress(done, len(tracks))
    return tuple(sorted(found, key=lambda one: (one.frame, one.mother)))


@dataclass(eq=False)
class DivisionFinder:
    """Looks at frames of a movie for the daughters of an object."""

    result: Result
    movie: Movie
    model: Segmenter
    births: dict[int, int]
    _frames: dict[int, tuple[Pyramid, NDArray[Any]]] = field(default_factory=dict)

    def at(self, track: Track, denied: Collection[int], stopped: Callable[[], bool]) -> list[DivisionProposal]:
        """The first division of an object, if it seems to divide."""
        search = _Search(self, track)
        for t, why in track.worth_a_look().items():
            if stopped():
                break
            start = search.division_near(t)
            if start is not None and not any(abs(start - other) <= NEAR for other in denied):
                pair = search.pair(start)
                found = None if pair is None else self.proposal(track.object_id, start, pair, _words(t, start, why))
                if found is not None:
                    return [found]
        return []

    def proposal(self, mother: int, frame: int, pair: Pair, why: str) -> DivisionProposal | None:
        """The division into a pair; None where one of them is an object that was there before, or both are one."""
        one, other = (self.known_at(region, frame, mother) for region in (pair.one, pair.other))
        if 0 in (one, other) or (one is not None and one == other):
            return None
        return DivisionProposal(mother, frame, (pair.one, pair.other), (one, other), pair.score, why)

    def known_at(self, region: Region, t: int, mother: int) -> int | None:
        """The object that holds most of a daughter: None for nobody, or the mother; 0 for one that was there before."""
        y0, x0, y1, x1 = region.box
        ids, counts = np.unique(self.frame(t)[1][y0 : y1 + 1, x0 : x1 + 1][region.mask], return_counts=True)
        most = {int(i): n for i, n in zip(ids, counts, strict=True) if i not in (0, mother)}
        if not most:
            return None
        other = max(most, key=lambda i: most[i])
        if most[other] < OF_A_NEIGHBOUR * region.area:
            return None
        return other if self.births.get(other, 0) >= t else 0

    def frame(self, t: int) -> tuple[Pyramid, NDArray[Any]]:
        """A frame and its labels; the last few stay."""
        if t not in self._frames:
            pyramid = Pyramid.of(open_frame(self.movie, t), self.model.device)
            self._frames[t] = pyramid, np.asarray(self.result.labels[t])
            while len(self._frames) > BACK + ON + 3:
                del self._frames[next(iter(self._frames))]
        return self._frames[t]


@dataclass(eq=False)
class _Search:
    """What is known of one object: the pairs in its place, by frame, each looked for once."""

    finder: DivisionFinder
    track: Track
    _known: dict[int, Pair | None] = field(default_factory=dict)

    def division_near(self, t: int) -> int | None:
        """The first frame of a division that is seen on `t` and behind it, and not before; None without one."""
        pair = self.pair(t)
        if pair is None or not self._stays(t, pair):
            return None
        first = t
        while first > 1 and first > t - BACK and self.pair(first - 1) is not None:
            first -= 1
        before = [s for s in range(first - 1, first - 1 - WHOLE_BEFORE, -1) if s >= 0 and self._mask(s) is not None]
        whole = len(before) == WHOLE_BEFORE and all(self.pair(s) is None for s in before)
        return first if whole and self._both_new(first) else None

    def _both_new(self, t: int) -> bool:
        """Whether neither of a pair was seen on the frame before, beside the mother."""
        pair, last = self.pair(t), self._mask(t - 1)
        if pair is None or last is None:
            return True
        beside = [one for one in (pair.one, pair.other) if one.overlap(last) < HERE * one.area]
        frame, area = self.finder.frame(t - 1)[0], self.track.usual_area(t)
        cells = (cell_at(self.finder.model, frame, one, area) for one in beside)
        return not any(cell is not None and cell.overlap(last) < 0.5 * cell.area for cell in cells)

    def pair(self, t: int) -> Pair | None:
        """The two cells where the object is on a frame, and was before; None where there are not two."""
        if t not in self._known:
            place, area = self._place(t), self.track.usual_area(t)
            found = self._ask(t, place, area) if place is not None and np.isfinite(area) else None
            small = np.nan_to_num(self.track.area[t]) < SHRUNK * area
            if found is None and small and place is not None and t:
                found = self._ask(t, self._mask(t) or place, area, self._last_mask(t))
            self._known[t] = found
        return self._known[t]

    def _stays(self, t: int, pair: Pair) -> bool:
        """Whether both are seen behind, too."""
        area, last = self.track.usual_area(t), len(self.track.area) - 1
        behind = range(t + 1, min(t + ON, last) + 1)
        return any(
            (self._ask(later, pair.both, area) or self._ask(later, pair.both, area, pair.both)) is not None
            for later in behind
        )

    def _ask(self, t: int, place: Region, area: float, last: Region | None = None) -> Pair | None:
        return find_pair(self.finder.model, self.finder.frame(t)[0], place, area, last=last)

    def _last_mask(self, t: int) -> Region | None:
        """Where it was on the last frame before on which it was seen whole."""
        usual = self.track.usual_area(t)
        whole = [s for s in self.track.before(t).tolist() if self.track.area[s] >= SHRUNK * usual]
        return self._mask(whole[-1]) if whole else None

    def _place(self, t: int) -> Region | None:
        """Where the object is, and was on the last frame on which it was seen."""
        regions = [mask for s in (*self.track.before(t)[-1:].tolist(), t) if (mask := self._mask(s)) is not None]
        return joined(regions) if regions else None

    def _mask(self, t: int) -> Region | None:
        return Region.from_mask(self.finder.frame(t)[1] == self.track.object_id)


def propose_division(
    result: Result, movie: Movie, model: Segmenter, mother: int, frame: int
) -> DivisionProposal | None:
    """The two cells that are seen in the place of an object on a frame; None where there are not two.

    Raises
    ------
    ValueError
        If the object is unknown, or was not seen before that frame.
    IndexError
        For a frame outside the movie.
    """
    result.timeline(mother, slice(0, 0))
    result.locked(frame)
    every = {one.object_id: one for one in tracks_of(result)}
    births = {i: int(np.argmax(one.seen)) for i, one in every.items() if one.seen.any()}
    if births.get(mother, frame) >= frame:
        raise Refused(
            f"object {mother} is not seen before frame {frame}, so it cannot divide there; choose a later one"
        )
    finder = DivisionFinder(result, movie, model, births)
    search = _Search(finder, every[mother])
    pair = search.pair(frame)
    return None if pair is None else finder.proposal(mother, frame, pair, "you asked for it")


def masks_at(
    movie: Movie, config: RunConfig, mother: int, frame: int, places: Sequence[tuple[float, float]], model: Segmenter
) -> list[NDArray[np.bool_]]:
    """The pixels (Y, X) of daughters that were clicked, each with the other clicks as places where it is not.

    What is wrong with a place is said of the mother, since the daughters have no ids yet.
    """
    Prompts(PointPrompt(mother, frame, (float(y), float(x))) for y, x in places).check(movie.shape)
    clicks = [
        PointPrompt(i, frame, (float(y), float(x)), i == k)
        for i in range(1, len(places) + 1)
        for k, (y, x) in enumerate(places, 1)
    ]
    found = preview_frame(RunRequest.build(movie, Prompts(clicks), config), frame, model)
    return [np.asarray(found.labels == i) for i in range(1, len(places) + 1)]


def _words(t: int, start: int, why: str) -> str:
    when = "" if t == start else f" on frame {t}"
    return f"{why}{when}; two cells are seen in its place from frame {start} on"
