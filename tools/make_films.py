"""Make the films that put SAM 2's own memory beside the default engine: same weights, same prompts, simulated movies.

Run ``python -m tools.make_films`` (about a minute and a half on one core), or name some of the films.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import gaussian_filter, label
from skimage.measure import find_contours

from napari_mosam.core.api import segment
from napari_mosam.core.config.engine import EngineConfig
from napari_mosam.core.images.movie import Movie
from napari_mosam.core.prompts.collection import Prompts
from napari_mosam.core.results.frame import FrameResult, ObjectState
from napari_mosam.core.simulation import CASES
from napari_mosam.core.windows.sampling import paste

FILMS = {"twins_cross": (1, 1), "long_occlusion": (3, 2)}
"""Case of `napari_mosam.core.simulation` -> seed, and every how many frames one is shown."""
ENGINES = {"SAM 2 memory": EngineConfig.plain(), "MoSAM": EngineConfig()}
LEGEND = "dashed circle: reported lost     red cross: covered by another cell's mask, or mask on no cell"
PANEL, HEAD, FOOT, GAP, MARK, LINE, DASH = 330, 24, 22, 6, 10, 13, 7
FRAME_MS, LAST_MS, GREYS, BLUR, SHARE = 200, 1500, 20, 1.0, 0.15
COLOURS = [(255, 255, 90), (90, 130, 255), (80, 255, 110), (240, 90, 255), (90, 225, 255), (190, 255, 90)]
COLOURS += [(140, 90, 255), (80, 255, 190), (255, 170, 60), (255, 190, 255)]
RED, FAINT, NEAREST = (255, 40, 40), (190, 190, 190), Image.Resampling.NEAREST
Mask = NDArray[np.bool_]
Colours = Mapping[int, tuple[int, int, int]]


@dataclass(frozen=True, slots=True, eq=False)
class Panel:
    """One engine on one frame: masks by id, the (y, x) where objects are lost, and the (y, x) of mistakes."""

    title: str
    t: int
    grey: NDArray[np.floating[Any]]
    masks: dict[int, Mask]
    lost: dict[int, tuple[float, float]]
    wrong: list[NDArray[np.float64]]


def film(images: Any, truth: Any, ids: Sequence[int], path: Path, step: int = 1) -> None:
    """Follow cells with each engine from their true masks on the first frame; write both side by side as a GIF."""
    movie, prompts = Movie.open(images), Prompts.from_labels(np.where(np.isin(truth[0], ids), truth[0], 0))
    runs = [follow(title, config, movie, truth, prompts) for title, config in ENGINES.items()]
    colours = {i: COLOURS[n % len(COLOURS)] for n, i in enumerate(sorted(ids))}
    pictures = [side_by_side(pair, colours) for pair in zip(*runs, strict=True)][::step]
    palette = Image.new("P", (1, 1))
    palette.putpalette([*np.linspace(0, 255, GREYS).round().astype(int).repeat(3).tolist(), *chain(*COLOURS, RED)])
    first, *others = [p.quantize(palette=palette, dither=Image.Dither.NONE) for p in pictures]
    first.save(path, save_all=True, append_images=others, duration=[FRAME_MS] * len(others) + [LAST_MS], loop=0)


def follow(title: str, config: EngineConfig, movie: Movie, truth: Any, prompts: Prompts) -> Iterator[Panel]:
    """Run one engine forward over a whole movie."""
    for result in segment(movie, prompts, direction="forward", config=config):
        masks = masks_of(result, config.compete)
        lost = {o.object_id: o.window.center_yx for o in result.objects if o.state is ObjectState.LOST}
        wrong = list(chain.from_iterable(mistakes(i, mask, truth[result.t]) for i, mask in masks.items()))
        yield Panel(title, result.t, movie[result.t], masks, lost, wrong)


def masks_of(result: FrameResult, competed: bool) -> dict[int, Mask]:
    """Masks that are not empty, by id; those of objects that did not compete overlap, and are shown as they are."""
    masks = {o.object_id: result.labels == o.object_id for o in result.objects}
    for o in () if competed else result.objects:
        region, values = paste(torch.from_numpy(o.logits), o.window, result.labels.shape)
        masks[o.object_id] = np.zeros(result.labels.shape, bool)
        masks[o.object_id][region] = (values > 0).numpy()
    return {i: mask for i, mask in masks.items() if mask.any()}


def mistakes(i: int, mask: Mask, truth: NDArray[Any]) -> Iterator[NDArray[np.float64]]:
    """Middles of the other cells that a mask covers, or its own middle where it lies on no cell."""
    below = np.bincount(truth[mask])
    covered = [j for j in np.flatnonzero(below) if j not in (0, i) and below[j] > np.sum(truth == j) / 2]
    shown = [truth == j for j in covered if below[j] > SHARE * mask.sum()]
    for region in shown if below[1:].sum() > SHARE * mask.sum() else [mask]:
        yield np.argwhere(region).mean(axis=0)


def side_by_side(pair: Sequence[Panel], colours: Colours) -> Image.Image:
    """The panels of one frame in a row, titled, with the legend below."""
    drawn = [draw_panel(panel, colours) for panel in pair]
    width, height = (PANEL + GAP) * len(drawn) - GAP, HEAD + drawn[0].height + FOOT
    canvas = Image.new("RGB", (width, height))
    draw = ImageDraw.Draw(canvas)
    for left, panel, picture in zip(range(0, width, PANEL + GAP), pair, drawn, strict=True):
        canvas.paste(picture, (left, HEAD))
        write(draw, left + 4, HEAD / 2, panel.title, "white", "lm", 14)
        write(draw, left + PANEL - 4, HEAD / 2, f"frame {panel.t}", FAINT, "rm")
    write(draw, width / 2, height - FOOT / 2, LEGEND, FAINT)
    return canvas


def draw_panel(panel: Panel, colours: Colours) -> Image.Image:
    """The enlarged frame with outlines, marks and ids."""
    height, scale = panel.grey.shape[0], PANEL / panel.grey.shape[1]
    steps = np.round(np.clip(gaussian_filter(panel.grey, BLUR), 0, 1) * (GREYS - 1)) * (255 / (GREYS - 1))
    picture = Image.fromarray(steps.astype(np.uint8)).convert("RGB").resize((PANEL, round(height * scale)), NEAREST)
    draw = ImageDraw.Draw(picture)
    draw_outlines(draw, panel.masks, colours, scale)
    for y, x in (np.array(panel.wrong).reshape(-1, 2) + 0.5) * scale:
        draw.line((x - MARK, y - MARK, x + MARK, y + MARK), RED, 3)
        draw.line((x - MARK, y + MARK, x + MARK, y - MARK), RED, 3)
    for i in panel.lost.keys() - panel.masks.keys():
        y, x = (np.array(panel.lost[i]) + 0.5) * scale
        for angle in range(0, 360, 45):
            draw.arc((x - MARK, y - MARK, x + MARK, y + MARK), angle, angle + 27, colours[i], 2)
        write(draw, x, y, str(i), colours[i])
    write_ids(draw, panel.masks, colours, scale)
    return picture


def draw_outlines(draw: Any, masks: Mapping[int, Mask], colours: Colours, scale: float) -> None:
    """Outlines; dashes laid over them let both colours show where two coincide."""
    soft = {i: gaussian_filter(np.pad(mask, 1).astype(float), 0.7) for i, mask in masks.items()}
    found = [(colours[i], (line[:, ::-1] - 0.5) * scale) for i in masks for line in find_contours(soft[i], 0.5)]
    lines = [(colour, [tuple(xy) for xy in line.tolist()]) for colour, line in found]
    for colour, line in lines:
        draw.line(line, colour, 2)
    for colour, line in reversed(lines):
        for k in range(0, len(line) - 1, 2 * DASH):
            draw.line(line[k : k + DASH + 1], colour, 2)


def write_ids(draw: Any, masks: Mapping[int, Mask], colours: Colours, scale: float) -> None:
    """Ids to the right of every large piece of a mask, below each other where masks coincide."""
    taken: list[tuple[float, float]] = []
    for i, mask in masks.items():
        pieces, _ = label(mask)
        for k in np.flatnonzero(np.bincount(pieces[mask]) > SHARE * mask.sum()):
            rows, columns = np.nonzero(pieces == k)
            y, x = rows.mean() * scale, min(columns.max() * scale + 6, PANEL - 10 * len(str(i)))
            for above, beside in sorted(taken):
                y = above + LINE if abs(y - above) < LINE and abs(x - beside) < 2 * LINE else y
            taken.append((y, x))
            write(draw, x, y, str(i), colours[i], "lm")


def write(draw: Any, x: float, y: float, text: str, colour: Any, anchor: str = "mm", px: int = 12) -> None:
    """Text with a dark rim."""
    draw.text((x, y), text, colour, ImageFont.load_default(px), anchor, stroke_width=2, stroke_fill="black")


if __name__ == "__main__":
    for name in sys.argv[1:] or FILMS:
        seed, step = FILMS[name]
        movie, path = CASES[name](seed), Path(__file__).parents[1] / "docs" / "images" / f"{name}_plain_and_mosam.gif"
        film(movie.images, movie.labels, np.unique(movie.labels[0])[1:].tolist(), path, step)
