"""The measures of the Cell Tracking Challenge, by the libraries that compute them."""

import io
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from napari_mosam.core.evaluation.overlaps import LabelFrame, LabelPair, Overlaps

MAJORITY = 0.5
"""A track finds a truth object where it covers more than this share of it, as the challenge defines it."""

Node = tuple[int, int]


@dataclass(frozen=True, slots=True)
class CtcMeasures:
    """Measures of the Cell Tracking Challenge, each in [0, 1], 1 is best; NaN where the truth holds nothing.

    Attributes
    ----------
    tra : float
        Tracking accuracy: objects and links, with divisions.
    det : float
        Detection accuracy: objects only.
    seg : float
        Mean IoU of the truth objects with the track that covers the most of them.
    """

    tra: float
    det: float
    seg: float


def ctc_measures(
    labels: Any,
    truth: Any,
    *,
    frames: Iterable[int] | None = None,
    parents: Mapping[int, int] | None = None,
    truth_parents: Mapping[int, int] | None = None,
) -> CtcMeasures:
    """Compute TRA, DET and SEG.

    All objects count, whatever their ids: a track finds a truth object on a frame where it covers more than half of
    it. Frames are read once, one at a time. TRA and DET are computed by traccuracy, SEG by py-ctcmetrics.

    Parameters
    ----------
    labels, truth : array_like of int, shape (T, Y, X)
        Object ids, 0 = background.
    frames : range or iterable of int, optional
        Frames to read, in any order; all by default.
    parents, truth_parents : mapping of int to int, optional
        Daughter id -> mother id. A mother that is still there when her daughter appears, or never, is left out.

    Returns
    -------
    CtcMeasures

    Raises
    ------
    ImportError
        If the libraries are not installed.
    ValueError
        For stacks that are unlike, hold other than ids, or lack one of `frames`.

    References
    ----------
    Matula et al., Cell Tracking Accuracy Measurement Based on Comparison of Acyclic Oriented Graphs, PLOS ONE 2015.
    """
    require_libraries()
    seen = FrameMatches()
    pair = LabelPair(labels, truth, None if frames is None else sorted(set(frames)))
    for t, tracks, true in pair:
        seen.add(t, tracks, true)
    tra, det = _tra_det(seen, parents or {}, truth_parents or {})
    return CtcMeasures(tra, det, _seg(seen))


def require_libraries() -> None:
    """Import the libraries.

    Raises
    ------
    ImportError
        With what to install.
    """
    try:
        import ctc_metrics  # noqa: F401
        import traccuracy  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"the CTC measures need traccuracy and py-ctcmetrics ({error}); pip install 'napari-mosam[evaluate]'"
        ) from error


@dataclass(eq=False)
class FrameMatches:
    """Objects of all frames, and which track covers which truth object with which IoU."""

    tracks: dict[int, list[int]] = field(default_factory=dict)
    truth: dict[int, list[int]] = field(default_factory=dict)
    found: list[tuple[Node, Node, float]] = field(default_factory=list)

    def add(self, t: int, tracks: LabelFrame, true: LabelFrame) -> None:
        """Take in one frame."""
        for frames, frame in ((self.tracks, tracks), (self.truth, true)):
            for object_id in frame.ids.tolist():
                frames.setdefault(object_id, []).append(t)
        overlaps = Overlaps.of(tracks, true)
        for pair in (overlaps.shared > MAJORITY * overlaps.truth_areas).nonzero()[0]:
            nodes = (int(overlaps.truth_ids[pair]), t), (int(overlaps.track_ids[pair]), t)
            self.found.append((*nodes, float(overlaps.ious[pair])))


def _tra_det(seen: FrameMatches, parents: Mapping[int, int], truth_parents: Mapping[int, int]) -> tuple[float, float]:
    from traccuracy.matchers import Matched
    from traccuracy.metrics import CTCMetrics

    pairs = [(true, track) for true, track, _ in seen.found]
    graphs = _graph(seen.truth, truth_parents), _graph(seen.tracks, parents)
    # A track may cover several truth objects, never the other way round.
    matched = Matched(*graphs, pairs, {"name": "majority", "matching type": "many-to-one"})
    with _quietly():
        found = CTCMetrics().compute(matched).results
    return float(found["TRA"]), float(found["DET"])


def _graph(frames_of: Mapping[int, list[int]], parents: Mapping[int, int]) -> Any:
    import networkx as nx
    from traccuracy import TrackingGraph

    graph = nx.DiGraph()
    for object_id, frames in frames_of.items():
        graph.add_nodes_from(((object_id, t), {"t": t, "segmentation_id": object_id}) for t in frames)
        graph.add_edges_from(((object_id, t), (object_id, after)) for t, after in pairwise(frames))
    for daughter, mother in parents.items():
        if daughter in frames_of and mother in frames_of and frames_of[mother][-1] < frames_of[daughter][0]:
            graph.add_edge((mother, frames_of[mother][-1]), (daughter, frames_of[daughter][0]))
    return TrackingGraph(graph, location_keys=())


def _seg(seen: FrameMatches) -> float:
    from ctc_metrics.metrics import seg

    objects = [[object_id] * len(frames) for object_id, frames in seen.truth.items()]
    return float(seg(objects, [[iou for *_, iou in seen.found]])) if objects else float("nan")


@contextmanager
def _quietly() -> Iterator[None]:
    """Without progress bars, and without warnings that one frame has no links."""
    with redirect_stderr(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
