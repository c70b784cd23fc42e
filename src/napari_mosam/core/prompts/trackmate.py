"""Spots of TrackMate as records: of its table of spots, and of its XML file, which knows outlines and splits too.

TrackMate counts tracks from 0, so that object ids are those of tracks + 1. Its frames count from 0, as ours do.
"""

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from napari_mosam.core.config.checks import Refused
from napari_mosam.core.config.json_files import read_text
from napari_mosam.core.images.calibration import Calibration
from napari_mosam.core.prompts.kinds import PromptError

PIXEL_UNITS = ("pixel", "pixels", "px")

Sizes = tuple[float, float]
"""Of a pixel along y and x, in the unit of the spots."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Spot:
    """A spot of a track.

    Attributes
    ----------
    number : int
        Of its record in the file, from 1.
    track : int
        From 0.
    frame : float
        From 0.
    yx : tuple of float
        Position, in the unit of the file.
    outline : sequence of (y, x)
        Corners, relative to the position; empty where none were kept.
    """

    number: int
    track: float
    frame: float
    yx: tuple[float, float]
    outline: Sequence[tuple[float, float]] = ()


def sizes_of(unit: str | None, pixel_um: Sizes | None) -> Sizes:
    """How large a pixel of the movie is in a unit of length; `pixel_um` is its size in µm, where that is known.

    Raises
    ------
    PromptError
        Where that is not known.
    """
    if unit in PIXEL_UNITS:
        return 1.0, 1.0
    um = Calibration.of(1, 1, unit or "", None, "").pixel_um
    if um is None or pixel_um is None:
        unknown = ", and how large a pixel of the movie is is not known" if um else ""
        raise PromptError(
            f"the positions of the spots are in {unit or 'an unknown unit'}, but prompts are in pixels{unknown}; "
            f"{'give its size (--pixel-size UM), or ' if um else ''}in Fiji set Image > Properties to 'pixel', 1 x 1, "
            "run TrackMate, and save the spots again"
        )
    return pixel_um[0] / um[0], pixel_um[1] / um[1]


def spot_records(spots: Iterable[Spot], sizes: Sizes) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Points, or polygons where there are outlines, in pixels, of the objects that tracks are."""
    there = list(spots)
    if not there:
        raise PromptError("none of the spots belongs to a track; link them in TrackMate, and save them again")
    logger.warning("objects are the tracks of TrackMate, and their ids those of tracks + 1; frames count from 0")
    for spot in there:
        record: dict[str, Any] = {"object": spot.track + 1, "frame": spot.frame}
        y, x = (value / size for value, size in zip(spot.yx, sizes, strict=True))
        corners = [[y + dy / sizes[0], x + dx / sizes[1]] for dy, dx in spot.outline]
        yield spot.number, record | ({"polygon": corners} if corners else {"point": [y, x]})


def refuse_splits(spots: Sequence[Spot]) -> None:
    """PromptError for a track that is in two places at once, where nothing says which is whose."""
    places = Counter((spot.track, spot.frame) for spot in spots)
    if places and max(places.values()) > 1:
        (track, frame), n = places.most_common(1)[0]
        raise PromptError(
            f"track {track:g} has {n} spots on frame {frame:g}, since it splits or merges, and a table does not say "
            "which is whose; give the XML file that TrackMate saves, or take its splits away there"
        )


# --- XML -------------------------------------------------------------------------------------------------------------


def xml_records(path: Path, pixel_um: Sizes | None, max_bytes: int) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """The spots of all tracks that the filters left; where a track splits, each branch is an object of its own.

    A track that does not split keeps its number. Of one that does, the first branch keeps it; others get numbers above
    those of all tracks.

    Raises
    ------
    PromptError
        For what is no file of TrackMate, and for positions whose unit is not known.
    """
    root = _root(path, max_bytes)
    model = root.find("Model")
    if root.tag != "TrackMate" or model is None:
        raise PromptError(f"holds <{root.tag:.40}>, which is no file of TrackMate; allowed: its XML file, with a model")
    try:
        spots = _spots(model)
        tracks = _branches(model, spots)
        found = [_spot(n, spots[i], track) for n, (i, track) in enumerate(tracks.items(), 1)]
        sizes = _sizes(root, model, pixel_um)
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, PromptError):
            raise
        raise PromptError(f"is no whole file of TrackMate ({type(error).__name__}: {error}); save it again") from error
    return spot_records(found, sizes)


def _root(path: Path, max_bytes: int) -> ElementTree.Element:
    try:
        text = read_text(path, max_bytes)
        if "<!DOCTYPE" in text or "<!ENTITY" in text:
            raise PromptError("defines a document type or entities of its own, which are not read; TrackMate has none")
        return ElementTree.fromstring(text)
    except (Refused, ElementTree.ParseError) as error:
        raise PromptError(f"is not valid XML ({error}); save it again") from error


def _sizes(root: ElementTree.Element, model: ElementTree.Element, pixel_um: Sizes | None) -> Sizes:
    """The file knows how large a pixel of its movie is; where it does not, its unit has to do."""
    image = root.find("Settings/ImageData")
    if image is None:
        return sizes_of(model.get("spatialunits"), pixel_um)
    height, width = float(image.attrib["pixelheight"]), float(image.attrib["pixelwidth"])
    if not (0 < height < float("inf") and 0 < width < float("inf")):
        raise PromptError(f"says that a pixel has the size {height:g} x {width:g}; allowed: above 0")
    return height, width


def _spots(model: ElementTree.Element) -> dict[str, ElementTree.Element]:
    return {spot.attrib["ID"]: spot for spot in model.iterfind("AllSpots/SpotsInFrame/Spot")}


def _spot(number: int, spot: ElementTree.Element, track: int) -> Spot:
    place = float(spot.attrib["POSITION_Y"]), float(spot.attrib["POSITION_X"])
    numbers = [float(word) for word in (spot.text or "").split()]
    n_corners = int(spot.get("ROI_N_POINTS", 0))
    flat = n_corners > 2 and len(numbers) == 2 * n_corners  # other shapes of TrackMate are not flat
    outline = list(zip(numbers[1::2], numbers[::2], strict=True)) if flat else ()
    return Spot(number, track, _frame(spot), place, outline)


def _frame(spot: ElementTree.Element) -> float:
    return float(spot.attrib["FRAME"])


def _branches(model: ElementTree.Element, spots: Mapping[str, ElementTree.Element]) -> dict[str, int]:
    """The track of each spot, every branch having a number of its own, in the order of tracks and frames."""
    tracks = {int(track.attrib["TRACK_ID"]): track for track in model.iterfind("AllTracks/Track")}
    kept = model.find("FilteredTracks")
    names = tracks if kept is None else [int(one.attrib["TRACK_ID"]) for one in kept.iterfind("TrackID")]
    found: dict[str, int] = {}
    fresh = max(tracks, default=0) + 1
    for name in sorted(names):
        edges = [_edge(edge, spots) for edge in tracks[name].iterfind("Edge")]
        branches = _unbranched(edges, spots)
        for k, branch in enumerate(branches):
            found |= dict.fromkeys(branch, name if k == 0 else fresh + k - 1)
        fresh += max(len(branches) - 1, 0)
    return found


def _edge(edge: ElementTree.Element, spots: Mapping[str, ElementTree.Element]) -> tuple[str, str]:
    """Both of its spots, the earlier first."""
    a, b = sorted((edge.attrib["SPOT_SOURCE_ID"], edge.attrib["SPOT_TARGET_ID"]), key=lambda i: _frame(spots[i]))
    return a, b


def _unbranched(edges: Sequence[tuple[str, str]], spots: Mapping[str, ElementTree.Element]) -> list[list[str]]:
    """Chains of spots that neither split nor merge, by their first frames."""
    leaving, arriving = Counter(a for a, _ in edges), Counter(b for _, b in edges)
    following = {a: b for a, b in edges if leaving[a] == 1 and arriving[b] == 1}
    inner = set(following.values())
    starts = [spot for spot in dict.fromkeys(i for edge in edges for i in edge) if spot not in inner]
    chains = [_chain(start, following) for start in starts]
    return sorted(chains, key=lambda chain: _frame(spots[chain[0]]))


def _chain(start: str, following: Mapping[str, str]) -> list[str]:
    chain = [start]
    while chain[-1] in following:
        chain.append(following[chain[-1]])
    return chain
