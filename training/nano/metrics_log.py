"""The log of a run: one JSON object per line."""

import json
import logging
from collections import defaultdict
from math import isnan
from pathlib import Path

LOGGER = logging.getLogger("training")


class MetricsLog:
    """Means of what was reported since the last line, written to ``log.jsonl``.

    Parameters
    ----------
    path : Path
        Lines are added to what is there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._sums: dict[str, list[float]] = defaultdict(list)
        self.latest: dict[str, float] = {}
        """The means of the last line."""

    def report(self, values: dict[str, float]) -> None:
        """Take note of one batch; NaN stands for nothing measured."""
        for name, value in values.items():
            if not isnan(value):
                self._sums[name].append(value)

    @property
    def is_empty(self) -> bool:
        """Whether nothing was reported since the last line."""
        return not self._sums

    def write(self, step: int, **facts: float) -> dict[str, float]:
        """Write and return a line of means, and forget them."""
        means = {name: round(sum(values) / len(values), 5) for name, values in self._sums.items()}
        line = {"step": step, **facts, **means}
        self.latest = means
        self._sums.clear()
        with self._path.open("a") as file:
            file.write(json.dumps(line) + "\n")
        LOGGER.info("%s", "  ".join(f"{name} {value:.4g}" for name, value in line.items()))
        return line


def read_journal(path: Path) -> list[dict[str, float]]:
    """All lines of a log."""
    return [json.loads(line) for line in path.read_text().splitlines()]
