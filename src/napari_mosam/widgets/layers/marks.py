"""The marks in the layers of a movie, as prompts and back."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_mosam.core.prompts.collection import BoxPrompt, MaskPrompt, PointPrompt, Prompts, polygon_mask
from napari_mosam.widgets.layers.outputs import Later, at_once
from napari_mosam.widgets.layers.saved_clicks import MASK, POINT_PX, POINTS, color_of_sign, id_text
from napari_mosam.widgets.layers.tags import layer_name, movie_id, put_tag, tagged
from napari_mosam.widgets.picture.colors import colors_on, object_color

if TYPE_CHECKING:
    from napari.layers import Image, Layer, Points, Shapes
    from numpy.typing import NDArray

    from napari_mosam.widgets.layers.source import MovieSource

BOXES = "boxes"
MASKS = "napari-mosam masks"
FILLED = ("polygon",)  # shapes whose outline is the object's; rectangles and ellipses give their bounds
SCRIBBLES = ("path", "line")  # drawn over an object: clicks along them
CLICKS = 6
"""Clicks that stand for a scribble. Mean J of 22 DIC cells, 12 nuclei and 16 phase contrast cells: 6 clicks .62, .93,
.62; 4: .60, .92, .62; 2: .59, .92, .59; one click .61, .91, .56; the line as a mask with 3 clicks .55, .91, .70."""

Key = tuple[int, int]


def marked(viewer: Any, source: "MovieSource") -> Iterator[PointPrompt | BoxPrompt | MaskPrompt]:
    """All marks of a movie; what is drawn and painted of an object on a frame is one mask."""
    for layer in layers_of(viewer, POINTS, source.image):
        yield from (click for click, sign in _clicks(source, layer) if sign != MASK)
    outlines: dict[Key, NDArray[np.bool_]] = {}
    for shape in chain.from_iterable(map(outlines_of, layers_of(viewer, BOXES, source.image))):
        key, drawn = _of_shape(source, *shape)
        if drawn:
            yield from drawn
        else:
            outline = polygon_mask(source.to_tyx(shape[0], shape[1])[:, 1:], source.shape[1:])
            outlines[key] = outlines[key] | outline if key in outlines else outline
    masks = masks_of(source.image)
    yield from (mask for key, mask in masks.items() if key not in outlines)
    for key, outline in outlines.items():
        whole = outline | masks[key].to_frame(source.shape[1:]) if key in masks else outline
        yield MaskPrompt.from_frame(*key, whole)


def apply(viewer: Any, source: "MovieSource", wanted: Prompts, layer_of: Callable[[str], Any]) -> None:
    """Let the layers hold these marks; one that is right already stays as it was drawn.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    source : MovieSource
    wanted : Prompts
    layer_of : callable
        Gives the layer of 'points' or 'boxes' in which is drawn, a new one where there is none.
    """
    _drop_others(viewer, source, wanted)
    there = Prompts(marked(viewer, source))
    missing = [*(Counter(_drawn(wanted)) - Counter(_drawn(there))).elements()]
    clicks = [(p.frame, p.yx, p.object_id, "+" if p.positive else "-") for p in missing if isinstance(p, PointPrompt)]
    _add_points(source, clicks, layer_of)
    _add_boxes(source, [p for p in missing if isinstance(p, BoxPrompt)], layer_of)
    known = _masks(there)
    masks_of(source.image).update({key: mask for key, mask in _masks(wanted).items() if key not in known})
    mark_masks(viewer, source, layer_of)


def click_at(source: "MovieSource", layer: "Points", row: int, object_id: int) -> PointPrompt:
    """The click in a row of a layer, as one of an object."""
    frame, y, x = source.to_tyx(layer, layer.data[[row]])[0]
    return PointPrompt(object_id, round(frame), (_px(y), _px(x)))


def box_at(source: "MovieSource", layer: "Shapes", row: int, object_id: int) -> BoxPrompt:
    """The bounds of a shape in a row of a layer, as a box of an object."""
    return _bounds(source.to_tyx(layer, layer.data[row]), object_id)


def mark_masks(viewer: Any, source: "MovieSource", layer_of: Callable[[str], Any]) -> None:
    """Have one mark among the clicks for each mask, so that it can be seen, chosen and deleted."""
    missing = dict(masks_of(source.image))
    for layer in layers_of(viewer, POINTS, source.image):
        keys = _mask_keys(source, layer)
        _remove(layer, {row for row, key in keys.items() if missing.pop(key, None) is None})
    _add_points(source, [(t, inside(mask), i, MASK) for (i, t), mask in missing.items()], layer_of)


def forget_masks(viewer: Any, source: "MovieSource") -> None:
    """Masks whose mark was deleted are gone."""
    masks, points = masks_of(source.image), layers_of(viewer, POINTS, source.image)
    seen = {key for layer in points for key in _mask_keys(source, layer).values()}
    for key in set(masks) - seen:
        del masks[key]


def masks_of(image: "Image") -> dict[Key, MaskPrompt]:
    """Masks of a movie by object and frame; change them there."""
    owner, masks = image.metadata.get(MASKS, ("", {}))
    if owner != movie_id(image):  # a copy of another image brings its metadata
        masks = {}
        image.metadata[MASKS] = (movie_id(image), masks)
    found: dict[Key, MaskPrompt] = masks
    return found


def layers_of(viewer: Any, role: str, image: "Image | None") -> list[Any]:
    """Layers of clicks or of boxes of a movie; the first is drawn in, others were saved and opened again."""
    return [] if image is None else list(tagged(viewer, role, movie_id(image)))


def outlines_of(layer: "Shapes") -> "Iterator[tuple[Shapes, Any, str, int]]":
    """Layer, corners, kind and object of each shape."""
    return zip(repeat(layer, layer.nshapes), layer.data, layer.shape_type, layer.features["object_id"], strict=True)


def set_features(
    layer: "Layer", rows: Iterable[int], object_id: int | Sequence[int], sign: str | Sequence[str]
) -> None:
    """Say which object marks belong to; one for all, or one for each."""
    table, chosen = layer.features.copy(), list(rows)
    table["object_id"] = table["object_id"].fillna(0).astype(int)
    table.loc[table.index[chosen], "object_id"] = object_id
    table.loc[table.index[chosen], "sign"] = sign
    layer.features = table


def recolor(layer: "Layer") -> None:
    """Give every shape the colour of its object."""
    others = colors_on(layer)
    layer.edge_color = np.asarray([object_color(int(i), others) for i in layer.features["object_id"]])


def inside(mask: MaskPrompt) -> tuple[float, float]:
    """The pixel (y, x) of a mask that is nearest to its middle; that of its crop where it has none."""
    places = np.argwhere(mask.mask)
    if not len(places):
        return float(mask.origin[0]), float(mask.origin[1])
    y, x = places[np.square(places - places.mean(0)).sum(1).argmin()] + mask.origin
    return float(y), float(x)


def new_layer(viewer: Any, source: "MovieSource", role: str, *, seen: bool, later: Later = at_once) -> Any:
    """A layer of 'points' or 'boxes' of a movie, on top and chosen, seen now or `later`, and its numbers after that.

    napari takes as long to add a layer as to draw it, or its first text, for the first time.
    """
    from napari.layers import Points, Shapes

    unit, text = max(source.shape[1:]), {**id_text(), "visible": False}
    told = {"features": {"object_id": np.empty(0, int), "sign": np.empty(0, object)}, "text": text}
    layer: Any
    if role == POINTS:
        name = layer_name(viewer, "MoSAM points", POINTS, source.image)
        size = max(3.0, 0.012 * unit)
        layer = Points(ndim=source.image.ndim, name=name, size=size, border_color="white", **told, **source.placement())
        layer.canvas_size_limits = POINT_PX
    else:
        name, width = layer_name(viewer, "MoSAM boxes", BOXES, source.image), max(1.0, 0.003 * unit)
        look = {"face_color": "transparent", "edge_color": "white", "opacity": 1.0, "edge_width": width}
        layer = Shapes(ndim=source.image.ndim, name=name, **look, **told, **source.placement())
    layer.visible = seen
    put_tag(layer, role, movie_id(source.image))
    viewer.add_layer(layer)
    if not seen:
        later(partial(setattr, layer, "visible", True))
    later(partial(setattr, layer.text, "visible", True))
    return layer


def _drop_others(viewer: Any, source: "MovieSource", wanted: Prompts) -> None:
    """Remove the marks that are not wanted, and outlines of objects whose mask is to be another."""
    masks, mine = _masks(wanted), _masks(marked(viewer, source))
    wrong = {key for key, mask in mine.items() if masks.get(key) != mask}
    for key in wrong & set(masks_of(source.image)):
        del masks_of(source.image)[key]
    left = Counter(_drawn(wanted))
    for layer in layers_of(viewer, POINTS, source.image):
        clicks = enumerate(_clicks(source, layer))
        _remove(layer, {row for row, (click, sign) in clicks if sign != MASK and not _take(left, click)})
    for layer in layers_of(viewer, BOXES, source.image):
        shapes = [_of_shape(source, *shape) for shape in outlines_of(layer)]
        gone = {row for row, (key, drawn) in enumerate(shapes) if not drawn and key in wrong}
        _remove(layer, gone | {row for row, (_, drawn) in enumerate(shapes) if not _take_all(left, drawn)})


def _add_points(
    source: "MovieSource", rows: "list[tuple[int, tuple[float, float], int, str]]", layer_of: Callable[[str], Any]
) -> None:
    """Add clicks, or marks of masks: frame, place (y, x), object and sign of each."""
    if not rows:
        return
    layer: Points = layer_of(POINTS)
    layer.selected_data = set()
    layer.add(np.array([(*source.corner(frame)[:-2], *yx) for frame, yx, _, _ in rows], float))
    new = range(len(layer.data) - len(rows), len(layer.data))
    set_features(layer, new, [object_id for _, _, object_id, _ in rows], [sign for *_, sign in rows])
    layer.face_color = np.array([color_of_sign(sign) for sign in layer.features["sign"]])
    layer.selected_data = set()


def _add_boxes(source: "MovieSource", boxes: list[BoxPrompt], layer_of: Callable[[str], Any]) -> None:
    if not boxes:
        return
    layer: Shapes = layer_of(BOXES)
    layer.add([_corners(source, box) for box in boxes], shape_type="rectangle")
    new = range(layer.nshapes - len(boxes), layer.nshapes)
    set_features(layer, new, [box.object_id for box in boxes], "+")
    recolor(layer)
    layer.selected_data = set()


def _corners(source: "MovieSource", box: BoxPrompt) -> "NDArray[np.float64]":
    (y0, x0, y1, x1), corner = box.box, source.corner(box.frame)[:-2]
    return np.array([(*corner, y, x) for y, x in ((y0, x0), (y0, x1), (y1, x1), (y1, x0))], float)


def _clicks(source: "MovieSource", layer: "Points") -> Iterator[tuple[PointPrompt, str]]:
    places, features = source.to_tyx(layer, layer.data).tolist(), layer.features
    for (frame, y, x), object_id, sign in zip(places, features["object_id"].fillna(0), features["sign"], strict=True):
        yield PointPrompt(int(object_id), round(frame), (_px(y), _px(x)), sign == "+"), sign


def _of_shape(
    source: "MovieSource", layer: "Shapes", vertices: "NDArray[Any]", kind: str, object_id: int
) -> tuple[Key, list[BoxPrompt | PointPrompt]]:
    """Object and frame of a shape, and its box, or the clicks of a scribble; none for an outline."""
    tyx = source.to_tyx(layer, vertices)
    key = int(object_id), round(tyx[0, 0])
    if kind in FILLED:
        return key, []
    if kind in SCRIBBLES:
        return key, [PointPrompt(*key, (_px(y), _px(x))) for y, x in along(tyx[:, 1:], CLICKS)]
    return key, [_bounds(tyx, int(object_id))]


def _bounds(tyx: "NDArray[np.float64]", object_id: int) -> BoxPrompt:
    y0, x0, y1, x1 = (_px(v) for v in (*tyx[:, 1:].min(0), *tyx[:, 1:].max(0)))
    return BoxPrompt(object_id, round(tyx[0, 0]), (y0, x0, y1, x1))


def along(places_yx: "NDArray[np.float64]", n: int) -> "NDArray[np.float64]":
    """`n` places in the middles of equal parts of a line, shape (n, 2)."""
    way = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(places_yx, axis=0).T))])
    at = (np.arange(n) + 0.5) / n * way[-1]
    return np.stack([np.interp(at, way, column) for column in places_yx.T], 1)


def _mask_keys(source: "MovieSource", layer: "Points") -> dict[int, Key]:
    """Object and frame of the masks that are marked in a layer, by row."""
    clicks = enumerate(_clicks(source, layer))
    return {row: (click.object_id, click.frame) for row, (click, sign) in clicks if sign == MASK}


def _masks(prompts: Iterable[Any]) -> dict[Key, MaskPrompt]:
    return {(p.object_id, p.frame): p for p in prompts if isinstance(p, MaskPrompt)}


def _drawn(prompts: Iterable[Any]) -> Iterator[PointPrompt | BoxPrompt]:
    return (p for p in prompts if not isinstance(p, MaskPrompt))


def _take(left: "Counter[Any]", wanted: object) -> bool:
    """Take one out of those that are left; whether it was there."""
    there = left[wanted] > 0
    left[wanted] -= there
    return there


def _take_all(left: "Counter[Any]", wanted: "Sequence[Any]") -> bool:
    """Take all out of those that are left, or none; whether they were there."""
    there = all(left[one] >= n for one, n in Counter(wanted).items())
    left.subtract(wanted if there else ())
    return there


def _remove(layer: Any, rows: set[int]) -> None:
    if rows:
        layer.selected_data = rows
        layer.remove_selected()


def _px(coordinate: float) -> float:
    """A place as it is kept: finer than a mouse, coarser than what rounds in the layers."""
    return round(float(coordinate), 2) + 0.0  # of -0.0 too: it would be written another way
