"""A SAM 2 network in the order in which its parts are used, computed by the layers of this package.

It takes and gives what :class:`Sam2Parts` does, for inference only; sam2's own modules stay the reference.
"""

from copy import copy
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor

from napari_mosam.core.model.build import resized
from napari_mosam.core.model.fast.attention import Memory, MemoryReader
from napari_mosam.core.model.fast.decoder import Decoded, MaskDecoder
from napari_mosam.core.model.fast.encoder import Encoder
from napari_mosam.core.model.fast.layers import Packer
from napari_mosam.core.model.fast.memory import MemoryWriter
from napari_mosam.core.model.protocol import ImageFeatures, MaskCandidates, PointPrompts
from napari_mosam.core.model.sam2_parts import MemoryBatch, Sam2Parts

if TYPE_CHECKING:
    from sam2.modeling.sam2_base import SAM2Base


class FastParts(Sam2Parts):
    """The parts of a network, their weights laid out once.

    Parameters
    ----------
    network : SAM2Base
        In evaluation mode, on its device, weights loaded: a change of its weights is not seen any more.
    dtype : torch.dtype
        In which is computed, float32 or bfloat16.
    """

    @staticmethod
    def takes(network: Any) -> bool:
        """Whether the layers of this package can compute a network; those of all published SAM 2 they can."""
        attention, trunk, neck = network.memory_attention, network.image_encoder.trunk, network.image_encoder.neck
        layers = list(attention.layers)
        return (
            network.use_high_res_features_in_sam
            and network.pred_obj_scores
            and network.image_encoder.scalp == 1
            and len(trunk.blocks) > 0
            and (neck.fpn_interp_model, neck.fuse_type, *neck.fpn_top_down_levels) == ("nearest", "sum", 2, 3)
            and all(block.q_stride in (None, (2, 2)) for block in trunk.blocks)
            and attention.pos_enc_at_input
            and all(_is_usual(layer) for layer in layers)
        )

    @torch.no_grad()
    def __init__(self, network: "SAM2Base", dtype: torch.dtype = torch.float32) -> None:
        super().__init__(network, dtype)
        packer = Packer(dtype, self.device)
        encoder = self.network.sam_prompt_encoder
        self._encoder = Encoder(network, packer, self._mean, self._std)
        self._reader = MemoryReader(self.network.memory_attention, self.image_positions.transpose(0, 1), packer)
        self._decoder = MaskDecoder(self.network.sam_mask_decoder, _tokens(encoder.get_dense_pe()), packer)
        self._writer = MemoryWriter(network, packer)
        self._slot_codes = self._codes_of_slots(packer)
        nothing = self._no_points(1)
        sparse, dense = encoder(points=(nothing.xy, nothing.labels), boxes=None, masks=None)
        self._no_prompt = packer.tensor(sparse), packer.tensor(_tokens(dense)[:, :1])
        nowhere = self.network.no_obj_embed_spatial
        self._absent = None if nowhere is None else packer.tensor(nowhere[:, None, None, :])

    @torch.no_grad()
    def at_size(self, size: int) -> Self:
        """See :meth:`Sam2Parts.at_size`. Weights are laid out anew only in what reads memory."""
        other = copy(self)
        Sam2Parts.__init__(other, resized(self.network, size), self.dtype)
        packer, encoder = Packer(self.dtype, self.device), other.network.sam_prompt_encoder
        other._encoder = self._encoder.placed(other.network, packer, self._mean, self._std)
        other._reader = MemoryReader(other.network.memory_attention, other.image_positions.transpose(0, 1), packer)
        other._decoder = self._decoder.placed(_tokens(encoder.get_dense_pe()), packer)
        other._slot_codes = other._codes_of_slots(packer)
        return other

    def encode_image(self, images: Tensor) -> ImageFeatures:
        """See :meth:`Sam2Parts.encode_image`."""
        top, *high = self._encoder(images.to(self.device))
        return ImageFeatures(top, tuple(reversed(high)))

    def attend(self, features: ImageFeatures, memory: MemoryBatch, n_frames: int, bias: Tensor | None = None) -> Tensor:
        """See :meth:`Sam2Parts.attend`."""
        tokens = self._reader(_tokens(features.vision), self._memory(memory, n_frames, bias))
        return torch.unflatten(tokens.transpose(1, 2), 2, features.vision.shape[-2:])

    def decode_masks(
        self,
        features: ImageFeatures,
        conditioned: Tensor,
        *,
        points: PointPrompts | None = None,
        mask_logits: Tensor | None = None,
        multimask: bool = True,
    ) -> MaskCandidates:
        """See :meth:`Sam2Parts.decode_masks`."""
        sparse, dense = self._prompted(len(features), points, mask_logits)
        fine, middle = features.high_res
        image = _tokens(conditioned).float() + dense
        decoded = self._decoder(image, sparse, middle.to(self.dtype), fine.to(self.dtype))
        return self._chosen(decoded, multimask=multimask)

    def encode_memory(
        self, top: Tensor, mask_logits: Tensor, object_score: Tensor, *, from_points: bool = False
    ) -> Tensor:
        """See :meth:`Sam2Parts.encode_memory`."""
        network = self.network
        logits = mask_logits[:, 0]
        shown = (logits > 0).float() if network.binarize_mask_from_pts_for_mem_enc and from_points else logits.sigmoid()
        scaled = shown * network.sigmoid_scale_for_mem_enc + network.sigmoid_bias_for_mem_enc
        memory = self._writer(top.permute(0, 2, 3, 1).to(self.dtype), scaled)
        if self._absent is not None:
            memory = memory + (object_score <= 0).to(memory.dtype)[:, None, None, None] * self._absent
        return memory.permute(0, 3, 1, 2)

    # ---- what the layers are given

    def _codes_of_slots(self, packer: Packer) -> Tensor:
        return packer.tensor(self.network.maskmem_tpos_enc[:, 0] + self._memory_positions)

    def _memory(self, memory: MemoryBatch, n_frames: int, bias: Tensor | None) -> Memory:
        pointers, pointer_codes = (tokens.to(self.dtype) for tokens in self.pointer_tokens(memory, n_frames))
        frames = memory.features.flatten(3).transpose(2, 3).to(self.dtype)
        codes = self._slot_codes[self.network.num_maskmem - memory.slots - 1]
        return Memory(
            frames + codes,
            pointers + pointer_codes,
            torch.cat([frames.flatten(1, 2), pointers], 1),
            None if bias is None else bias[:, None].to(self.dtype),
        )

    def _prompted(self, n: int, points: PointPrompts | None, mask_logits: Tensor | None) -> tuple[Tensor, Tensor]:
        """Tokens of points (n, P, C) and the codes that a mask adds to the image (n or 1, N or 1, C)."""
        if points is None and mask_logits is None:
            sparse, dense = self._no_prompt
            return sparse.expand(n, -1, -1), dense
        given = points or self._no_points(n)
        with self._precision():
            masks = None if mask_logits is None else mask_logits.to(self._weights)
            both = self.network.sam_prompt_encoder(points=(given.xy, given.labels), boxes=None, masks=masks)
        return both[0].to(self.dtype), _tokens(both[1]).to(self.dtype)

    def _chosen(self, decoded: Decoded, *, multimask: bool) -> MaskCandidates:
        """The candidates that sam2's decoder answers with."""
        decoder: Any = self.network.sam_mask_decoder
        logits, ious = decoded.logits[:, 1:], decoded.predicted_iou[:, 1:]
        if not multimask:
            logits, ious = decoded.logits[:, :1], decoded.predicted_iou[:, :1]
            if decoder.dynamic_multimask_via_stability:
                logits, ious = decoder._dynamic_multimask_via_stability(decoded.logits, decoded.predicted_iou)
        own = multimask and decoder.use_multimask_token_for_obj_ptr
        tokens = decoded.tokens[:, 1:] if own else decoded.tokens[:, :1].expand(-1, logits.shape[1], -1)
        return MaskCandidates(logits, ious, decoded.object_score, tokens)


def _is_usual(layer: Any) -> bool:
    """Whether a layer of memory attention has one head, and position codes where the published ones have them."""
    places = layer.pos_enc_at_attn, layer.pos_enc_at_cross_attn_queries, layer.pos_enc_at_cross_attn_keys
    heads = layer.self_attn.num_heads, layer.cross_attn_image.num_heads
    return places == (False, False, True) and heads == (1, 1)


def _tokens(image: Tensor) -> Tensor:
    """(B, C, h, w) as (B, h w, C)."""
    return image.flatten(2).transpose(1, 2)
