"""The parts of a SAM 2 network in the order in which they are used, differentiable.

Both the engine's adapter and training drive the network through this module, so that what is trained is what is
deployed. One call is one batch of the network; whether gradients are recorded is the caller's choice.
"""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor

from napari_mosam.core.model.build import ModelError, resized
from napari_mosam.core.model.device import autocast
from napari_mosam.core.model.memory_attention import attend_with_bias
from napari_mosam.core.model.protocol import ImageFeatures, MaskCandidates, PointPrompts

if TYPE_CHECKING:
    from sam2.modeling.sam2_base import SAM2Base

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and standard deviation of red, green and blue in ImageNet, values in [0, 1]: SAM 2 reads images less the one
and over the other."""


@dataclass(frozen=True, slots=True, eq=False)
class MemoryBatch:
    """What a batch of objects attends to; every row has the same number of frames F and of pointers P.

    Attributes
    ----------
    features : Tensor, shape (B, F, M, h, w)
    slots : Tensor of int64, shape (B, F)
        0 for prompted frames, 1 … n for SAM 2's temporal slots.
    pointers : Tensor, shape (B, P, C)
    distances : Tensor of int64, shape (B, P)
        Frames between each pointer's frame and now.
    """

    features: Tensor
    slots: Tensor
    pointers: Tensor
    distances: Tensor


class Sam2Parts:
    """sam2's own modules, each as one function of tensors.

    Parameters
    ----------
    network : SAM2Base
        On its device.
    dtype : torch.dtype
        float32, or bfloat16 through autocast.

    Raises
    ------
    ModelError
        If the network attends to a dummy memory on prompted frames, which no published SAM 2 does.
    """

    def __init__(self, network: "SAM2Base", dtype: torch.dtype = torch.float32) -> None:
        if not network.directly_add_no_mem_embed:
            raise ModelError(
                "directly_add_no_mem_embed = False is not possible: SAM 2 networks that attend to a dummy memory on "
                "prompted frames are not supported; allowed: True, as in all configurations of sam2"
            )
        self.network: Any = network
        self.dtype = dtype
        first = next(network.parameters())
        self.device: torch.device = first.device
        self._weights: torch.dtype = first.dtype
        self._mean = torch.tensor(IMAGENET_MEAN, device=self.device).view(1, 3, 1, 1)
        self._std = torch.tensor(IMAGENET_STD, device=self.device).view(1, 3, 1, 1)
        self.image_positions, self._memory_positions = self._fixed_positions()

    def at_size(self, size: int) -> Self:
        """The same weights for inputs of another side, px; ModelError if the network cannot take it."""
        return type(self)(resized(self.network, size), self.dtype)

    def encode_image(self, images: Tensor) -> ImageFeatures:
        """ImageFeatures of windows (B, S, S) with values in [0, 1]."""
        rgb = (images[:, None].to(self.device).expand(-1, 3, -1, -1) - self._mean) / self._std
        with self._precision():
            levels = self.network.forward_image(rgb.to(self._weights))["backbone_fpn"]
        *high, top = levels[-self.network.num_feature_levels :]
        return ImageFeatures(top, tuple(high))

    def without_memory(self, features: ImageFeatures) -> Tensor:
        """ImageFeatures (B, C, h, w) for a frame decoded without memory."""
        no_memory: Tensor = self.network.no_mem_embed.view(1, -1, 1, 1)
        return features.vision.float() + no_memory

    def attend(self, features: ImageFeatures, memory: MemoryBatch, n_frames: int, bias: Tensor | None = None) -> Tensor:
        """Features (B, C, h, w) after attending to memory; `bias` (B, K) is added to the logits of its tokens."""
        spatial, positions = self.spatial_tokens(memory)
        pointers, pointer_positions = self.pointer_tokens(memory, n_frames)
        tokens = self._attend_to(
            features.vision.flatten(2).transpose(1, 2),
            torch.cat([spatial, pointers], 1),
            torch.cat([positions, pointer_positions], 1),
            pointers.shape[1],
            bias,
        )
        return tokens.transpose(1, 2).reshape(features.vision.shape)

    def decode_masks(
        self,
        features: ImageFeatures,
        conditioned: Tensor,
        *,
        points: PointPrompts | None = None,
        mask_logits: Tensor | None = None,
        multimask: bool = True,
    ) -> MaskCandidates:
        """Candidate masks; see :meth:`Segmenter.decode_masks`."""
        encoder, decoder = self.network.sam_prompt_encoder, self.network.sam_mask_decoder
        given = points or self._no_points(len(features))
        with self._precision():
            masks = None if mask_logits is None else mask_logits.to(self._weights)
            sparse, dense = encoder(points=(given.xy, given.labels), boxes=None, masks=masks)
            logits, ious, tokens, score = decoder(
                image_embeddings=conditioned.to(self._weights),
                image_pe=encoder.get_dense_pe().to(self._weights),
                sparse_prompt_embeddings=sparse.to(self._weights),
                dense_prompt_embeddings=dense.to(self._weights),
                multimask_output=multimask,
                repeat_image=False,
                high_res_features=[level.to(self._weights) for level in features.high_res] or None,
            )
        n_candidates = logits.shape[1]
        return MaskCandidates(
            logits.float(), ious.float(), score.float()[:, 0], tokens.float().expand(-1, n_candidates, -1)
        )

    def object_pointers(self, tokens: Tensor, object_score: Tensor) -> Tensor:
        """Object pointers (B, C) of chosen tokens (B, C), replaced where the object is absent."""
        with self._precision():
            pointers = self.network.obj_ptr_proj(tokens.to(self._weights)).float()
        return self.absent(pointers, object_score > 0)

    def mask_prompts(self, masks: Tensor) -> Tensor:
        """Binary masks (B, 1, S, S) as the decoder takes them, (B, 1, S/4, S/4)."""
        prompts: Tensor = self.network.mask_downsample(masks.to(self._weights))
        return prompts

    def object_pointers_of_masks(self, features: ImageFeatures, masks: Tensor) -> Tensor:
        """Object pointers (B, C) of given binary masks: sam2 runs its decoder on the mask without memory."""
        prompts = self.mask_prompts(masks)
        decoded = self.decode_masks(features, features.vision.float(), mask_logits=prompts, multimask=False)
        pointers = self.object_pointers(decoded.mask_tokens[:, 0], decoded.object_score)
        return self.absent(pointers, masks.flatten(1).any(1))

    def encode_memory(
        self, top: Tensor, mask_logits: Tensor, object_score: Tensor, *, from_points: bool = False
    ) -> Tensor:
        """Memory features (B, M, h, w) of mask logits (B, 1, S, S) on stride-16 features (B, C, h, w)."""
        with self._precision():
            features, _ = self.network._encode_new_memory(
                current_vision_feats=[top.to(self._weights).flatten(2).permute(2, 0, 1)],
                feat_sizes=[tuple(top.shape[-2:])],
                pred_masks_high_res=mask_logits.to(self._weights),
                object_score_logits=object_score[:, None],
                is_mask_from_pts=from_points,
            )
        return torch.as_tensor(features).float()

    def absent(self, pointers: Tensor, visible: Tensor) -> Tensor:
        """Pointers with those of invisible objects replaced by the one that stands for no object."""
        there = visible.float()[:, None]
        if self.network.fixed_no_obj_ptr:
            pointers = there * pointers
        nothing: Tensor = (1 - there) * self.network.no_obj_ptr
        return pointers + nothing

    # ---- tokens ---------------------------------------------------------------------------------------------

    def spatial_tokens(self, memory: MemoryBatch) -> tuple[Tensor, Tensor]:
        """Tokens of all remembered grids and their position codes, each (B, F h w, M)."""
        slot_codes = self.network.maskmem_tpos_enc[:, 0, 0]
        codes = slot_codes[self.network.num_maskmem - memory.slots - 1]
        tokens = memory.features.flatten(3).transpose(2, 3)
        positions = self._memory_positions + codes[:, :, None]
        return tokens.flatten(1, 2), positions.flatten(1, 2)

    def pointer_tokens(self, memory: MemoryBatch, n_frames: int) -> tuple[Tensor, Tensor]:
        """Tokens of object pointers and their position codes, each (B, P C / M, M)."""
        from napari_mosam.core.model.sam2_blocks import get_1d_sine_pe

        network, (n, n_pointers) = self.network, memory.distances.shape
        per_pointer = network.hidden_dim // network.mem_dim
        tokens = memory.pointers.reshape(n, n_pointers * per_pointer, network.mem_dim)
        if not network.add_tpos_enc_to_obj_ptrs or n_pointers == 0:
            return tokens, torch.zeros_like(tokens)
        reach = max(1, min(n_frames, network.max_obj_ptrs_in_encoder) - 1)
        width = network.hidden_dim if network.proj_tpos_enc_in_obj_ptrs else network.mem_dim
        ages = get_1d_sine_pe(memory.distances.flatten() / reach, dim=width)
        codes = network.obj_ptr_tpos_proj(ages.to(self._weights))
        return tokens, codes.view(n, n_pointers, network.mem_dim).repeat_interleave(per_pointer, 1)

    def _attend_to(
        self, image: Tensor, memory: Tensor, positions: Tensor, n_pointers: int, bias: Tensor | None
    ) -> Tensor:
        """All tokens (B, tokens, channels); without a bias this is sam2's own call."""
        attention = self.network.memory_attention
        here = self.image_positions.transpose(0, 1).expand(len(image), -1, -1)
        with self._precision():
            if bias is not None:
                return attend_with_bias(attention, image, here, memory, positions, n_pointers, bias)
            attended = attention(
                curr=image.to(self._weights).transpose(0, 1),
                curr_pos=here.to(self._weights).transpose(0, 1),
                memory=memory.to(self._weights).transpose(0, 1),
                memory_pos=positions.to(self._weights).transpose(0, 1),
                num_obj_ptr_tokens=n_pointers,
            )
        return torch.as_tensor(attended).transpose(0, 1)

    def _precision(self) -> AbstractContextManager[object]:
        """Weights in bfloat16 need no autocast: everything that meets them is cast once, here."""
        return autocast(self.device, self.dtype) if self._weights == torch.float32 else nullcontext()

    def _no_points(self, n: int) -> PointPrompts:
        xy = torch.zeros(n, 1, 2, device=self.device)
        return PointPrompts(xy, -torch.ones(n, 1, dtype=torch.int32, device=self.device))

    @torch.no_grad()
    def _fixed_positions(self) -> tuple[Tensor, Tensor]:
        """Position codes of the token grid: constants, computed once; (hw, 1, C) and (hw, M)."""
        side = self.network.image_size // self.network.backbone_stride
        image = self.network.image_encoder.neck.position_encoding(
            torch.zeros(1, self.network.hidden_dim, side, side, device=self.device)
        )
        memory = self.network.memory_encoder.position_encoding(
            torch.zeros(1, self.network.mem_dim, side, side, device=self.device)
        )
        return image.flatten(2).permute(2, 0, 1).float(), memory[0].flatten(1).T.float()
