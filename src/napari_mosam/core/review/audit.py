"""How many masks of a result are right: a random sample of them, judged by a person, with a confidence interval."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import sqrt
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from napari_mosam.core.config.checks import Refused
from napari_mosam.core.files.journal import Journal

if TYPE_CHECKING:
    from pathlib import Path

    from napari_mosam.core.review.table import ReviewTable

AUDIT = "audit"
"""Attribute of a result in which its audit is kept."""

DRAWN, JUDGED = "audit", "judgement"
"""Kinds of steps of a result in which one is drawn, and a mask of it is judged."""

NO_CHANGE = (DRAWN, JUDGED, "acceptance", "lock", "unlock", "renaming")
"""Kinds of steps that leave every mask as it is."""

RIGHT, WRONG, NOT_SURE = "right", "wrong", "not sure"
"""What a person may say of a mask."""

N_DRAWN = 60
"""Masks that are drawn unless somebody says how many: where 95 % are right, the interval is 12 % wide."""

_Z = 1.959964
"""Standard normal quantile of a two-sided interval of 95 %."""

Place = tuple[int, int]
"""An object, and a frame."""


@dataclass(frozen=True, slots=True)
class Audit:
    """Masks of a result that were drawn at random, and what a person says of them.

    Attributes
    ----------
    n_masks : int
        How many the result had when they were drawn: pairs of an object and a frame on which it has a pixel.
    seed : int
        Of the random numbers.
    places : tuple of (int, int)
        Object and frame, in the order in which they were drawn: the first k of them are a random sample, too.
    verdicts : tuple of str
        'right', 'wrong' or 'not sure', one for each; '' where nobody has judged yet.
    step : int
        Number of the last step of the result's history before they were drawn.
    """

    n_masks: int
    seed: int
    places: tuple[Place, ...]
    verdicts: tuple[str, ...]
    step: int = 0

    @classmethod
    def draw(cls, table: "ReviewTable", n: int = N_DRAWN, seed: int = 0, step: int = 0) -> Self:
        """Draw masks, each as likely as any other and none twice; all of them where there are fewer than `n`.

        Raises
        ------
        ValueError
            If `n` is not positive, or there is no mask.
        """
        frames, columns = np.nonzero(table.found)
        if n < 1:
            raise Refused(f"{n} masks cannot be drawn; give 1 or more, such as {N_DRAWN}")
        if not len(frames):
            raise Refused("the result has no mask yet, so none can be drawn; run first")
        drawn = np.random.default_rng(seed).permutation(len(frames))[:n].tolist()
        places = tuple((table.object_ids[columns[at]], int(frames[at])) for at in drawn)
        return cls(len(frames), seed, places, ("",) * len(places), step)

    def judge(self, object_id: int, frame: int, verdict: str) -> Self:
        """With what a person says of a mask; '' takes it back.

        Raises
        ------
        ValueError
            For a mask that was not drawn, or another word.
        """
        if (object_id, frame) not in self.places:
            raise Refused(f"object {object_id} on frame {frame} is not among the {len(self.places)} masks drawn")
        if verdict not in ("", RIGHT, WRONG, NOT_SURE):
            raise Refused(f"'{verdict}' is no judgement; say '{RIGHT}', '{WRONG}' or '{NOT_SURE}'")
        at = self.places.index((object_id, frame))
        return replace(self, verdicts=(*self.verdicts[:at], verdict, *self.verdicts[at + 1 :]))

    def verdict(self, object_id: int, frame: int) -> str:
        """What was said of a mask that was drawn; '' where nobody has judged yet."""
        return self.verdicts[self.places.index((object_id, frame))]

    def count(self, verdict: str) -> int:
        """Masks of which that was said."""
        return self.verdicts.count(verdict)

    @property
    def n_judged(self) -> int:
        """Masks that a person has judged."""
        return len(self.places) - self.count("")

    @property
    def left(self) -> tuple[Place, ...]:
        """Masks that nobody has judged yet, in the order in which they were drawn."""
        return tuple(place for place, said in zip(self.places, self.verdicts, strict=True) if not said)

    @property
    def interval(self) -> tuple[float, float]:
        """Of the share of right masks: 95 % confidence, by Wilson's score; a mask of which one is not sure is wrong."""
        return wilson(self.count(RIGHT), self.n_judged)

    def sentence(self) -> str:
        """For a methods section; what is to be done where nothing is judged yet."""
        n, right, unclear = self.n_judged, self.count(RIGHT), self.count(NOT_SURE)
        if not n:
            return f"{len(self.places)} masks are drawn at random from {self.n_masks:,}; none is judged yet."
        low, high = (round(100 * share) for share in self.interval)
        verb = "was" if right == 1 else "were"
        counted = f" {unclear} could not be judged and {'counts' if unclear == 1 else 'count'} as wrong." * bool(
            unclear
        )
        return (
            f"Of {n} mask{'s' * (n != 1)} drawn at random from {self.n_masks:,}, {right} {verb} judged correct "
            f"({100 * right / n:.0f} %; 95 % CI {low}-{high} %).{counted}"
        )

    def to_json(self) -> dict[str, Any]:
        """What :meth:`from_json` reads."""
        masks = [[*place, said] for place, said in zip(self.places, self.verdicts, strict=True)]
        return {"n_masks": self.n_masks, "seed": self.seed, "masks": masks, "step": self.step}

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> Self:
        """From the attribute of a result; Refused where that is damaged."""
        try:
            masks = [(int(object_id), int(frame), str(verdict)) for object_id, frame, verdict in said["masks"]]
            n_masks, seed, step = (int(said[name]) for name in ("n_masks", "seed", "step"))
        except (KeyError, TypeError, ValueError) as error:
            raise Refused(f"the audit of the result is damaged ({error}); undo it, or draw another") from error
        return cls(n_masks, seed, tuple(mask[:2] for mask in masks), tuple(mask[2] for mask in masks), step)

    @classmethod
    def among(cls, attributes: Mapping[str, Any]) -> Self | None:
        """That in the attributes of a result; None where none was drawn."""
        return cls.from_json(attributes[AUDIT]) if attributes.get(AUDIT) else None


def wilson(right: int, n: int) -> tuple[float, float]:
    """Wilson's score interval, 95 % confidence, of a share of which `right` of `n` were seen; (0, 1) without any."""
    if not n:
        return 0.0, 1.0
    share, z2 = right / n, _Z**2
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = _Z * sqrt(share * (1 - share) / n + z2 / (4 * n**2)) / (1 + z2 / n)
    return max(0.0, middle - half), min(1.0, middle + half)


def last_step(path: "Path") -> int:
    """Number of the last step of a result's history; 0 without any."""
    return max((entry.number for entry in Journal(path).entries() if entry.state == "done"), default=0)


def changed_since(path: "Path", step: int) -> bool:
    """Whether a mask of a result may be another than after a step of its history."""
    later = [e for e in Journal(path).entries() if e.number > step and e.state in ("open", "done")]
    return any(entry.note.get("kind") not in NO_CHANGE for entry in later)
