"""SAM 2's own video predictor beside the engine: the same weights, pictures and prompts on both sides.

The predictor keeps memory in bfloat16, so the engine's memory is rounded likewise here; nothing of the predictor is
changed. Its postprocessing (holes, overlaps, the choice by stability) is off, as it is by default.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias
from unittest.mock import patch

import numpy as np
import torch
from numpy.typing import NDArray
from sam2.sam2_video_predictor import SAM2VideoPredictor

from napari_mosam.core.api import segment
from napari_mosam.core.config.engine import EngineConfig, WindowConfig
from napari_mosam.core.images.movie import Movie
from napari_mosam.core.model.build import load_weights
from napari_mosam.core.model.protocol import ImageFeatures
from napari_mosam.core.model.sam2 import IMAGENET_MEAN, IMAGENET_STD, Sam2Segmenter
from napari_mosam.core.prompts.collection import BoxPrompt, MaskPrompt, PointPrompt, Prompt
from napari_mosam.core.tracking.conditioning import PAINTED_CLAIM
from napari_mosam.core.windows.pyramid import Pyramid
from napari_mosam.core.windows.window import Window

Logits: TypeAlias = dict[tuple[int, int], NDArray[np.float32]]
"""Mask logits by object and frame."""

Session: TypeAlias = dict[str, Any]
"""What the predictor calls its inference state."""

WHOLE_FRAME = replace(EngineConfig.plain(), window=WindowConfig(mode="full"))
"""The engine with every part of its own off: SAM 2."""


class Rounded(Sam2Segmenter):
    """The engine's model, with memory in the precision in which the predictor keeps its own."""

    def encode_memory(
        self,
        features: ImageFeatures,
        mask_logits: torch.Tensor,
        object_score: torch.Tensor,
        *,
        from_points: bool = False,
    ) -> torch.Tensor:
        """See :meth:`Sam2Segmenter.encode_memory`."""
        return super().encode_memory(features, mask_logits, object_score, from_points=from_points).bfloat16().float()


@dataclass
class Pair:
    """The same weights on both sides."""

    model: Sam2Segmenter
    predictor: SAM2VideoPredictor

    @classmethod
    def of(
        cls,
        build: Callable[[], Any],
        weights: Path | None = None,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        chunk: int = 16,
    ) -> "Pair":
        """`build` makes a network; its class is the predictor's on the other side."""
        network = build()
        if weights is not None:
            load_weights(network, weights)
        with patch("napari_mosam.core.model.sam2_blocks.SAM2Base", SAM2VideoPredictor):
            predictor = build()
        predictor.load_state_dict(network.state_dict(), strict=True)
        predictor.add_all_frames_to_correct_as_cond = True
        if (predictor.fill_hole_area, predictor.non_overlap_masks) != (0, False):
            raise RuntimeError("this predictor fills holes or keeps masks apart; compare with one that does neither")
        if predictor.sam_mask_decoder.dynamic_multimask_via_stability:
            raise RuntimeError("this predictor chooses masks by their stability; compare with one that does not")
        for side in (network, predictor):
            side.to(device).eval()
        return cls(Rounded(network, "pair", dtype=dtype, chunk=chunk), predictor)


@contextmanager
def quiet() -> Iterator[None]:
    """No progress bars of the predictor."""
    with patch("sam2.sam2_video_predictor.tqdm", lambda frames, desc: frames):
        yield


def engine_masks(
    pair: Pair,
    movie: Any,
    prompts: Sequence[Prompt],
    direction: Any = "forward",
    model: Sam2Segmenter | None = None,
    **options: Any,
) -> Logits:
    """The engine's logits; the factor of painted masks in the contest is taken out."""
    painted = {(p.object_id, p.frame) for p in prompts if isinstance(p, MaskPrompt)}
    painted -= {(p.object_id, p.frame) for p in prompts if isinstance(p, PointPrompt)}
    model = model or pair.model
    results = segment(movie, prompts, model=model, config=WHOLE_FRAME, direction=direction, **options)
    found = {(o.object_id, r.t): o.logits for r in results for o in r.objects}
    return {key: logits / PAINTED_CLAIM if key in painted else logits for key, logits in found.items()}


def stock_masks(
    pair: Pair,
    movie: Movie,
    prompts: Sequence[Prompt],
    direction: str = "forward",
    corrections: Sequence[Prompt] = (),
) -> Logits:
    """The predictor's logits, from the first prompt on or from the last one down."""
    reverse = direction == "backward"
    frames = [p.frame for p in prompts]
    state = stock_state(pair.predictor, movie)
    for start, given in ((max(frames) if reverse else min(frames), prompts), *by_frame(corrections, reverse)):
        prompt_stock(pair.predictor, state, given, Window.full(movie.frame_shape))
        list(pair.predictor.propagate_in_video(state, start_frame_idx=start, reverse=reverse))
    return {
        (state["obj_idx_to_id"][row], t): output["pred_masks"][0, 0].float().cpu().numpy()
        for row, outputs in state["output_dict_per_obj"].items()
        for kind in ("cond_frame_outputs", "non_cond_frame_outputs")
        for t, output in outputs[kind].items()
    }


def by_frame(corrections: Sequence[Prompt], reverse: bool) -> list[tuple[int, list[Prompt]]]:
    """In the order in which the frames are reached."""
    frames = sorted({p.frame for p in corrections}, reverse=reverse)
    return [(t, [p for p in corrections if p.frame == t]) for t in frames]


def stock_state(predictor: SAM2VideoPredictor, movie: Movie) -> Session:
    """A fresh session on the engine's own pictures."""
    size, device = predictor.image_size, predictor.device
    whole = [Window.full(movie.frame_shape)]
    grey = torch.stack([Pyramid.of(movie[t], device).crop(whole, size) for t in range(len(movie))])
    mean, std = (torch.tensor(v, device=device).view(1, 3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    pictures = (grey.expand(-1, 3, -1, -1) - mean) / std
    with patch("sam2.sam2_video_predictor.load_video_frames", lambda **_: (pictures, size, size)):
        state: Session = predictor.init_state("the engine's frames")
    return state


def prompt_stock(predictor: SAM2VideoPredictor, state: Session, prompts: Sequence[Prompt], window: Window) -> None:
    """All points and the box of an object on a frame in one call, after its mask."""
    for object_id, t in dict.fromkeys((p.object_id, p.frame) for p in prompts):
        own = [p for p in prompts if (p.object_id, p.frame) == (object_id, t)]
        for mask in (p for p in own if isinstance(p, MaskPrompt)):
            predictor.add_new_mask(state, t, object_id, painted(mask, window, state))
        points = [p for p in own if isinstance(p, PointPrompt)]
        boxes = [xy_of([p.box[:2], p.box[2:]], window, predictor).ravel() for p in own if isinstance(p, BoxPrompt)]
        if points or boxes:
            predictor.add_new_points_or_box(
                state,
                t,
                object_id,
                points=xy_of([p.yx for p in points], window, predictor) if points else None,
                labels=[int(p.positive) for p in points] if points else None,
                box=boxes[0] if boxes else None,
            )


def painted(prompt: MaskPrompt, window: Window, state: Session) -> NDArray[np.bool_]:
    """A mask on the predictor's frame, whose pixels are those of the window where both are equally large."""
    shape = tuple(round(side) for side in window.size_yx)
    whole = np.zeros(shape, bool)
    height, width = prompt.mask.shape
    whole[prompt.origin[0] : prompt.origin[0] + height, prompt.origin[1] : prompt.origin[1] + width] = prompt.mask
    rows, columns = (
        ((np.arange(side) + 0.5) * n / side).astype(int)
        for side, n in zip((state["video_height"], state["video_width"]), shape, strict=True)
    )
    return whole[np.ix_(rows, columns)]


def xy_of(yx: Sequence[Sequence[float]], window: Window, predictor: SAM2VideoPredictor) -> NDArray[np.float32]:
    """Points (y, x) of the frame as the predictor takes them."""
    return np.asarray(window.to_model(np.array(yx), predictor.image_size)[:, ::-1], np.float32)
