"""Means of clustered tracks, and how sure they are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Clusters = Mapping[str, Sequence[float]]
"""Cluster -> one value per track."""

N_RESAMPLED = 2000


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean and its 95 % bootstrap interval."""

    mean: float
    low: float
    high: float


def movies_mean(movies: Sequence[Clusters]) -> float:
    """Mean over movies of the mean over their tracks: every movie counts the same."""
    return float(np.mean([np.mean(_joined(clusters)) for clusters in movies]))


def standard_error(movies: Sequence[Clusters]) -> float:
    """Of :func:`movies_mean`, tracks taken as independent; NaN where a movie has a single track."""
    tracks = [_joined(clusters) for clusters in movies]
    variances = [np.var(values, ddof=1) / len(values) if len(values) > 1 else np.nan for values in tracks]
    total: float = np.sum(np.array(variances, np.float64))
    return float(np.sqrt(total) / len(movies))


def interval(movies: Sequence[Clusters], seed: int = 0) -> Interval:
    """Two-stage bootstrap of :func:`movies_mean`: clusters within each movie, then tracks within each cluster."""
    rng = np.random.default_rng(seed)
    means = np.mean([_resampled_means(clusters, rng) for clusters in movies], axis=0)
    low, high = np.percentile(means, (2.5, 97.5))
    return Interval(movies_mean(movies), float(low), float(high))


def _resampled_means(clusters: Clusters, rng: np.random.Generator) -> Floats:
    values = [np.asarray(v, float) for v in clusters.values()]
    sums, counts = np.zeros(N_RESAMPLED), np.zeros(N_RESAMPLED)
    for _ in values:
        chosen = rng.integers(len(values), size=N_RESAMPLED)
        for k, tracks in enumerate(values):
            drawn = tracks[rng.integers(len(tracks), size=(N_RESAMPLED, len(tracks)))].sum(axis=1)
            sums += np.where(chosen == k, drawn, 0)
            counts += np.where(chosen == k, len(tracks), 0)
    return np.asarray(sums / counts)


def _joined(clusters: Clusters) -> Floats:
    return np.concatenate([np.asarray(values, float) for values in clusters.values()])
