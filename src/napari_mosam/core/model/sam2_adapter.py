"""Any SAM 2 behind the :class:`Segmenter` protocol, driven part by part.

The parts are sam2's own modules; only their order of calls is decided here, because ``track_step`` hides the
predicted IoU and ties prompts to memory (Ravi et al. 2024, arXiv 2408.00714, section 4).
"""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from napari_mosam.core.device import autocast
from napari_mosam.core.model.attention import attend_with_bias, key_bias
from napari_mosam.core.model.segmenter import Decoded, Features, MemoryFrame, PointPrompts, Recall

if TYPE_CHECKING:
    from sam2.modeling.sam2_base import SAM2Base

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
CPU_CHUNK = 16
FEATURE_WEIGHTS = ("image_encoder.", "sam_mask_decoder.conv_s0.", "sam_mask_decoder.conv_s1.")


class Sam2Segmenter:
    """A SAM 2 network on one device.

    Parameters
    ----------
    network : SAM2Base
        In evaluation mode, on its device, weights loaded.
    name : str
        For messages and provenance.
    dtype : torch.dtype
        float32, or bfloat16 through autocast.
    chunk : int
        Windows per call of the network.
    """

    def __init__(
        self, network: "SAM2Base", name: str, *, dtype: torch.dtype = torch.float32, chunk: int = CPU_CHUNK
    ) -> None:
        self.network: Any = network.eval()
        self.name = name
        self.dtype = dtype
        self.image_size: int = network.image_size
        self.n_slots: int = network.num_maskmem
        self.device: torch.device = next(network.parameters()).device
        self._chunk = chunk
        self._mean = torch.tensor(IMAGENET_MEAN, device=self.device).view(1, 3, 1, 1)
        self._std = torch.tensor(IMAGENET_STD, device=self.device).view(1, 3, 1, 1)
        self._image_positions, self._memory_positions = self._fixed_positions()

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the weights and the input size that make image features: what reads them is trained for these."""
        digest = hashlib.sha256(str(self.image_size).encode())
        for name, tensor in sorted(self.network.state_dict().items()):
            if name.startswith(FEATURE_WEIGHTS):
                digest.update(name.encode() + tensor.float().cpu().numpy().tobytes())
        return digest.hexdigest()

    # ---- the five steps -------------------------------------------------------------------------------------

    @torch.no_grad()
    def encode(self, images: Tensor) -> Features:
        """See :meth:`Segmenter.encode`."""
        starts = range(0, len(images), self._chunk)
        return Features.join([self._encode(images[i : i + self._chunk]) for i in starts])

    @torch.no_grad()
    def condition(self, features: Features, recalls: Sequence[Recall], n_frames: int) -> Tensor:
        """See :meth:`Segmenter.condition`. Objects with the same number of memories share a call."""
        conditioned = torch.empty_like(features.top, dtype=torch.float32)
        for rows in self._buckets(recalls):
            part = self._attend(features.take(rows), [recalls[row] for row in rows], n_frames)
            conditioned[rows] = part.float()
        return conditioned

    @torch.no_grad()
    def unconditioned(self, features: Features) -> Tensor:
        """See :meth:`Segmenter.unconditioned`."""
        if not self.network.directly_add_no_mem_embed:
            raise NotImplementedError("SAM 2 models that attend to a dummy memory on prompted frames are not supported")
        no_memory: Tensor = self.network.no_mem_embed.view(1, -1, 1, 1)
        return features.top.float() + no_memory

    @torch.no_grad()
    def decode(
        self,
        features: Features,
        conditioned: Tensor,
        *,
        points: PointPrompts | None = None,
        mask_logits: Tensor | None = None,
        multimask: bool = True,
    ) -> Decoded:
        """See :meth:`Segmenter.decode`."""
        parts = []
        for start in range(0, len(features), self._chunk):
            rows = range(start, min(start + self._chunk, len(features)))
            cut = slice(rows.start, rows.stop)
            some = None if points is None else PointPrompts(points.xy[cut], points.labels[cut])
            logits = None if mask_logits is None else mask_logits[cut]
            parts.append(self._decode(features.take(rows), conditioned[cut], some, logits, multimask))
        return Decoded(*(torch.cat([getattr(p, f) for p in parts]) for f in Decoded.__slots__))

    @torch.no_grad()
    def pointers(self, tokens: Tensor, object_score: Tensor) -> Tensor:
        """See :meth:`Segmenter.pointers`."""
        with autocast(self.device, self.dtype):
            pointers = self.network.obj_ptr_proj(tokens).float()
        return self._absent(pointers, object_score > 0)

    @torch.no_grad()
    def pointers_of_masks(self, features: Features, masks: Tensor) -> Tensor:
        """See :meth:`Segmenter.pointers_of_masks`: sam2 runs its decoder on the mask without memory."""
        prompt = self.network.mask_downsample(masks)
        decoded = self.decode(features, features.top.float(), mask_logits=prompt, multimask=False)
        pointers = self.pointers(decoded.tokens[:, 0], decoded.object_score)
        return self._absent(pointers, masks.flatten(1).any(1))

    @torch.no_grad()
    def remember(
        self, features: Features, mask_logits: Tensor, object_score: Tensor, *, from_points: bool = False
    ) -> Tensor:
        """See :meth:`Segmenter.remember`."""
        parts = []
        for start in range(0, len(features), self._chunk):
            rows = range(start, min(start + self._chunk, len(features)))
            cut = slice(rows.start, rows.stop)
            parts.append(self._remember(features.top[cut], mask_logits[cut], object_score[cut], from_points))
        return torch.cat(parts)

    # ---- one chunk of each ----------------------------------------------------------------------------------

    def _encode(self, images: Tensor) -> Features:
        rgb = (images[:, None].to(self.device).expand(-1, 3, -1, -1) - self._mean) / self._std
        with autocast(self.device, self.dtype):
            levels = self.network.forward_image(rgb)["backbone_fpn"]
        *high, top = levels[-self.network.num_feature_levels :]
        return Features(top, tuple(high))

    def _decode(
        self,
        features: Features,
        conditioned: Tensor,
        points: PointPrompts | None,
        mask_logits: Tensor | None,
        multimask: bool,
    ) -> Decoded:
        encoder, decoder = self.network.sam_prompt_encoder, self.network.sam_mask_decoder
        given = points or self._no_points(len(features))
        with autocast(self.device, self.dtype):
            sparse, dense = encoder(points=(given.xy, given.labels), boxes=None, masks=mask_logits)
            logits, ious, tokens, score = decoder(
                image_embeddings=conditioned,
                image_pe=encoder.get_dense_pe(),
                sparse_prompt_embeddings=sparse,
                dense_prompt_embeddings=dense,
                multimask_output=multimask,
                repeat_image=False,
                high_res_features=list(features.high) or None,
            )
        n_candidates = logits.shape[1]
        return Decoded(logits.float(), ious.float(), score.float()[:, 0], tokens.float().expand(-1, n_candidates, -1))

    def _attend(self, features: Features, recalls: Sequence[Recall], n_frames: int) -> Tensor:
        memory, positions = self._spatial_tokens(recalls)
        pointers, pointer_positions = self._pointer_tokens(recalls, n_frames)
        tokens = self._attend_to(
            features.top.flatten(2).transpose(1, 2),
            torch.cat([memory, pointers], 1),
            torch.cat([positions, pointer_positions], 1),
            pointers.shape[1],
            key_bias(recalls, pointers.shape[1]),
        )
        return tokens.transpose(1, 2).reshape(features.top.shape)

    def _attend_to(
        self, image: Tensor, memory: Tensor, positions: Tensor, n_pointers: int, bias: Tensor | None
    ) -> Tensor:
        """All tokens (B, tokens, channels); without a bias this is sam2's own call."""
        attention = self.network.memory_attention
        here = self._image_positions.transpose(0, 1).expand(len(image), -1, -1)
        with autocast(self.device, self.dtype):
            if bias is not None:
                return attend_with_bias(attention, image, here, memory, positions, n_pointers, bias)
            attended = attention(
                curr=image.transpose(0, 1),
                curr_pos=here.transpose(0, 1),
                memory=memory.transpose(0, 1),
                memory_pos=positions.transpose(0, 1),
                num_obj_ptr_tokens=n_pointers,
            )
        return torch.as_tensor(attended).transpose(0, 1)

    def _remember(self, top: Tensor, mask_logits: Tensor, object_score: Tensor, from_points: bool) -> Tensor:
        with autocast(self.device, self.dtype):
            features, _ = self.network._encode_new_memory(
                current_vision_feats=[top.flatten(2).permute(2, 0, 1)],
                feat_sizes=[tuple(top.shape[-2:])],
                pred_masks_high_res=mask_logits,
                object_score_logits=object_score[:, None],
                is_mask_from_pts=from_points,
            )
        return torch.as_tensor(features).float()

    # ---- tokens ---------------------------------------------------------------------------------------------

    def _buckets(self, recalls: Sequence[Recall]) -> list[list[int]]:
        alike: dict[tuple[int, int], list[int]] = defaultdict(list)
        for row, recall in enumerate(recalls):
            alike[len(recall.frames), len(recall.pointers)].append(row)
        return [rows[i : i + self._chunk] for rows in alike.values() for i in range(0, len(rows), self._chunk)]

    def _spatial_tokens(self, recalls: Sequence[Recall]) -> tuple[Tensor, Tensor]:
        slot_codes = self.network.maskmem_tpos_enc[:, 0, 0]
        features, positions = [], []
        for recall in recalls:
            features.append(torch.cat([_tokens(frame) for _, frame in recall.frames]))
            codes = [slot_codes[self.n_slots - slot - 1] for slot, _ in recall.frames]
            positions.append(torch.cat([self._memory_positions + code for code in codes]))
        return torch.stack(features), torch.stack(positions)

    def _pointer_tokens(self, recalls: Sequence[Recall], n_frames: int) -> tuple[Tensor, Tensor]:
        from sam2.modeling.sam2_utils import get_1d_sine_pe

        network, n = self.network, len(recalls)
        per_pointer = network.hidden_dim // network.mem_dim
        if not recalls[0].pointers:
            nothing = torch.zeros(n, 0, network.mem_dim, device=self.device)
            return nothing, nothing
        pointers = torch.stack([torch.stack([frame.pointer for _, frame in r.pointers]) for r in recalls])
        reach = max(1, min(n_frames, network.max_obj_ptrs_in_encoder) - 1)
        distances = torch.tensor([[d for d, _ in r.pointers] for r in recalls], device=self.device)
        if network.add_tpos_enc_to_obj_ptrs:
            width = network.hidden_dim if network.proj_tpos_enc_in_obj_ptrs else network.mem_dim
            codes = network.obj_ptr_tpos_proj(get_1d_sine_pe(distances.flatten() / reach, dim=width))
            codes = codes.view(n, -1, network.mem_dim)
        else:
            codes = torch.zeros(n, distances.shape[1], network.mem_dim, device=self.device)
        return pointers.reshape(n, -1, network.mem_dim), codes.repeat_interleave(per_pointer, 1)

    def _no_points(self, n: int) -> PointPrompts:
        xy = torch.zeros(n, 1, 2, device=self.device)
        return PointPrompts(xy, -torch.ones(n, 1, dtype=torch.int32, device=self.device))

    def _absent(self, pointers: Tensor, visible: Tensor) -> Tensor:
        there = visible.float()[:, None]
        if self.network.fixed_no_obj_ptr:
            pointers = there * pointers
        absent: Tensor = (1 - there) * self.network.no_obj_ptr
        return pointers + absent

    @torch.no_grad()
    def _fixed_positions(self) -> tuple[Tensor, Tensor]:
        """Position codes of the token grid: constants, computed once; (hw, 1, C) and (hw, M)."""
        side = self.image_size // self.network.backbone_stride
        image = self.network.image_encoder.neck.position_encoding(
            torch.zeros(1, self.network.hidden_dim, side, side, device=self.device)
        )
        memory = self.network.memory_encoder.position_encoding(
            torch.zeros(1, self.network.mem_dim, side, side, device=self.device)
        )
        return image.flatten(2).permute(2, 0, 1).float(), memory[0].flatten(1).T.float()


def _tokens(frame: MemoryFrame) -> Tensor:
    return frame.features.flatten(1).T
