"""Any SAM 2 behind the :class:`Segmenter` protocol, driven part by part.

The parts are sam2's own modules, or layers of this package that compute the same faster from the same weights; the
order of their calls is decided here, because ``track_step`` hides the
predicted IoU and ties prompts to memory (Ravi et al. 2024, arXiv 2408.00714, section 4).
"""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from copy import copy
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from napari_mosam.core.config.checks import require
from napari_mosam.core.model.device import CPU_CHUNK, Found, Room, Workers, side_by_side
from napari_mosam.core.model.fast.parts import FastParts
from napari_mosam.core.model.memory_attention import key_bias
from napari_mosam.core.model.protocol import ImageFeatures, MaskCandidates, MemorySelection, PointPrompts
from napari_mosam.core.model.sam2_parts import IMAGENET_MEAN, IMAGENET_STD, MemoryBatch, Sam2Parts
from napari_mosam.core.windows.devices import put, rows_on

if TYPE_CHECKING:
    from sam2.modeling.sam2_base import SAM2Base

__all__ = ["IMAGENET_MEAN", "IMAGENET_STD", "Sam2Segmenter"]

Network = Literal["fast", "plain"]
"""What computes a network: layers of this package, or sam2's modules."""

FEWEST_CALLS = 4
"""Into which rows are cut on a processor, two for each at least; they take a twentieth more time than calls of 8."""

FEATURE_WEIGHTS = ("image_encoder.", "sam_mask_decoder.conv_s0.", "sam_mask_decoder.conv_s1.")


class Sam2Segmenter:
    """A SAM 2 network on one device; records nothing for gradients.

    Parameters
    ----------
    network : SAM2Base
        In evaluation mode, on its device, weights loaded.
    name : str
        For messages and provenance.
    dtype : torch.dtype
        float32, or bfloat16 through autocast.
    chunk : int
        Windows per call of the network, at most. What the other windows of a call show does not change the bits of
        one; how many there are does, and where in the call it stands may.
    fast : bool
        Whether this package's own layers compute it, if they know all its parts; or sam2's modules.
    """

    def __init__(
        self,
        network: "SAM2Base",
        name: str,
        *,
        dtype: torch.dtype = torch.float32,
        chunk: int = CPU_CHUNK,
        fast: bool = False,
    ) -> None:
        self.network: Any = network.eval()
        self.parts = (FastParts if fast and FastParts.takes(network) else Sam2Parts)(network, dtype)
        self.name = name
        self.dtype = dtype
        self.image_size: int = network.image_size
        self.num_maskmem: int = network.num_maskmem
        self.device: torch.device = self.parts.device
        self.chunk = chunk
        self._workers = Workers()
        self.room = Room()
        self._sizes: dict[tuple[int, Network], Sam2Parts] = {}  # shared by the copies of this model

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the weights and the input size that make image features: what reads them is trained for these."""
        digest = hashlib.sha256(str(self.image_size).encode())
        for name, tensor in sorted(self.network.state_dict().items()):
            if name.startswith(FEATURE_WEIGHTS):
                digest.update(name.encode() + tensor.float().cpu().numpy().tobytes())
        return digest.hexdigest()

    @cached_property
    def weights_sha256(self) -> str:
        """SHA-256 of all weights, by name, in the type that they have here."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self.network.state_dict().items()):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
        return digest.hexdigest()

    def in_chunks_of(self, chunk: int) -> "Sam2Segmenter":
        """The same network with another number of windows per call; ValueError below 1."""
        require(chunk >= 1, "chunk", chunk, "1 or more windows per call of the network")
        other = copy(self)
        other.chunk = chunk
        return other

    def side_by_side(self, workers: int, threads: int) -> "Sam2Segmenter":
        """The same network that computes so many calls at a time, each with so many threads."""
        other = copy(self)
        other._workers = Workers(workers, threads)
        return other

    def at_size(self, image_size: int) -> "Sam2Segmenter":
        """The same weights for windows of another side, px; ModelError if that is no multiple of 32."""
        key = image_size, self.computed
        if key not in self._sizes:
            self._sizes[key] = self.parts.at_size(image_size)
        other = copy(self)
        other.parts, other.network, other.image_size = self._sizes[key], self._sizes[key].network, image_size
        other.__dict__.pop("fingerprint", None)
        return other

    @property
    def computed(self) -> Network:
        """What computes the network."""
        return "fast" if isinstance(self.parts, FastParts) else "plain"

    def computed_by(self, network: Network) -> "Sam2Segmenter":
        """The same weights, computed in that way."""
        if network == self.computed:
            return self
        other = copy(self)
        other.parts = (FastParts if network == "fast" else Sam2Parts)(self.network, self.dtype)
        return other

    @torch.no_grad()
    def encode_image(self, images: Tensor) -> ImageFeatures:
        """See :meth:`Segmenter.encode_image`."""
        return ImageFeatures.join(self._calls(lambda rows: self.parts.encode_image(images[_cut(rows)]), len(images)))

    @torch.no_grad()
    def attend_memory(self, features: ImageFeatures, recalls: Sequence[MemorySelection], n_frames: int) -> Tensor:
        """See :meth:`Segmenter.attend_memory`. Objects with the same number of memories share a call."""
        conditioned = torch.empty_like(features.vision, dtype=torch.float32)

        def attend(rows: Sequence[int]) -> None:
            some = [recalls[row] for row in rows]
            memory = self.batched(some)
            n_tokens = memory.distances.shape[1] * (self.network.hidden_dim // self.network.mem_dim)
            part = self.parts.attend(features.take(rows), memory, n_frames, key_bias(some, n_tokens))
            conditioned[rows_on(self.device, rows)] = part.float()

        self._answers(attend, self._buckets(recalls))
        return conditioned

    @torch.no_grad()
    def without_memory(self, features: ImageFeatures) -> Tensor:
        """See :meth:`Segmenter.without_memory`."""
        return self.parts.without_memory(features)

    @torch.no_grad()
    def decode_masks(
        self,
        features: ImageFeatures,
        conditioned: Tensor,
        *,
        points: PointPrompts | None = None,
        mask_logits: Tensor | None = None,
        multimask: bool = True,
    ) -> MaskCandidates:
        """See :meth:`Segmenter.decode_masks`."""

        def decode(rows: Sequence[int]) -> MaskCandidates:
            cut = _cut(rows)
            some = None if points is None else PointPrompts(points.xy[cut], points.labels[cut])
            logits = None if mask_logits is None else mask_logits[cut]
            return self.parts.decode_masks(
                features.take(rows), conditioned[cut], points=some, mask_logits=logits, multimask=multimask
            )

        parts = self._calls(decode, len(features))
        return MaskCandidates(*(torch.cat([getattr(p, f) for p in parts]) for f in MaskCandidates.__slots__))

    @torch.no_grad()
    def object_pointers(self, tokens: Tensor, object_score: Tensor) -> Tensor:
        """See :meth:`Segmenter.object_pointers`."""
        cuts = map(_cut, self._cuts(len(tokens)))
        return torch.cat([self.parts.object_pointers(tokens[cut], object_score[cut]) for cut in cuts])

    @torch.no_grad()
    def object_pointers_of_masks(self, features: ImageFeatures, masks: Tensor) -> Tensor:
        """See :meth:`Segmenter.object_pointers_of_masks`."""

        def pointers(rows: Sequence[int]) -> Tensor:
            return self.parts.object_pointers_of_masks(features.take(rows), masks[_cut(rows)])

        return torch.cat([one for rows in self._cuts(len(features)) for one in self._fitting(pointers, rows)])

    @torch.no_grad()
    def encode_memory(
        self, features: ImageFeatures, mask_logits: Tensor, object_score: Tensor, *, from_points: bool = False
    ) -> Tensor:
        """See :meth:`Segmenter.encode_memory`."""

        def encode(rows: Sequence[int]) -> Tensor:
            cut = _cut(rows)
            return self.parts.encode_memory(
                features.vision[cut], mask_logits[cut], object_score[cut], from_points=from_points
            )

        return torch.cat(self._calls(encode, len(features)))

    def batched(self, recalls: Sequence[MemorySelection]) -> MemoryBatch:
        """The memory of recalls that have the same number of frames and of pointers."""
        # channels last, as the fast path writes them: then no copy turns them round
        tokens = [frame.features.permute(1, 2, 0) for r in recalls for _, frame in r.frames]
        features = torch.unflatten(torch.stack(tokens), 0, (len(recalls), -1)).permute(0, 1, 4, 2, 3)
        slots = put(torch.tensor([[slot for slot, _ in r.frames] for r in recalls]), self.device)
        distances = put(torch.tensor([[d for d, _ in r.pointers] for r in recalls]), self.device)
        if not recalls[0].pointers:
            nothing = torch.zeros(len(recalls), 0, self.network.hidden_dim, device=self.device)
            return MemoryBatch(features, slots, nothing, distances.long())
        pointers = torch.stack([torch.stack([frame.pointer for _, frame in r.pointers]) for r in recalls])
        return MemoryBatch(features, slots, pointers, distances)

    def _buckets(self, recalls: Sequence[MemorySelection]) -> list[list[int]]:
        alike: dict[tuple[int, int], list[int]] = defaultdict(list)
        for row, recall in enumerate(recalls):
            alike[len(recall.frames), len(recall.pointers)].append(row)
        return [[rows[k] for k in some] for rows in alike.values() for some in self._cuts(len(rows))]

    def _calls(self, call: Callable[[Sequence[int]], Found], n: int) -> list[Found]:
        """What a call of the network answers to `n` rows, part by part; see :meth:`_cuts`."""
        return self._answers(call, self._cuts(n))

    def _answers(self, call: Callable[[Sequence[int]], Found], cuts: Sequence[Sequence[int]]) -> list[Found]:
        """What a call answers to rows that share one, calls side by side."""
        return [part for parts in self._workers(partial(self._fitting, call), cuts) for part in parts]

    def _fitting(self, call: Callable[[Sequence[int]], Found], rows: Sequence[int]) -> list[Found]:
        return self.room.fitting(call, rows, self.device)

    def _cuts(self, n: int) -> list[range]:
        """Which of `n` rows share a call of the network: small calls where few rows shall keep several cores busy."""
        size = min(self.chunk, self.room.most or self.chunk)
        if side_by_side(self.device, self.image_size):
            size = min(size, max(-(-n // FEWEST_CALLS), min(2, -(-n // 2))))
        return [range(start, min(start + size, n)) for start in range(0, n, size or 1)]


def _cut(rows: Sequence[int]) -> slice:
    """Rows that follow each other."""
    return slice(rows[0], rows[-1] + 1)
