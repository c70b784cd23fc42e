"""The one door through which sam2 is imported: its building blocks, by name, without what else its import does.

``import sam2`` starts Hydra for the whole process, with sam2's own folder of configurations, and any other plugin that
starts Hydra afterwards fails. Nothing here needs Hydra, so it is stopped again, unless somebody else had started it.
"""

from hydra.core.global_hydra import GlobalHydra

_was_running = GlobalHydra.instance().is_initialized()

from sam2.modeling.backbones.hieradet import Hiera  # noqa: E402
from sam2.modeling.backbones.image_encoder import FpnNeck, ImageEncoder  # noqa: E402
from sam2.modeling.memory_attention import MemoryAttention, MemoryAttentionLayer  # noqa: E402
from sam2.modeling.memory_encoder import CXBlock, Fuser, MaskDownSampler, MemoryEncoder  # noqa: E402
from sam2.modeling.position_encoding import PositionEmbeddingSine, apply_rotary_enc  # noqa: E402
from sam2.modeling.sam.transformer import RoPEAttention  # noqa: E402
from sam2.modeling.sam2_base import SAM2Base  # noqa: E402
from sam2.modeling.sam2_utils import get_1d_sine_pe  # noqa: E402

if not _was_running:
    GlobalHydra.instance().clear()

__all__ = [
    "CXBlock",
    "FpnNeck",
    "Fuser",
    "Hiera",
    "ImageEncoder",
    "MaskDownSampler",
    "MemoryAttention",
    "MemoryAttentionLayer",
    "MemoryEncoder",
    "PositionEmbeddingSine",
    "RoPEAttention",
    "SAM2Base",
    "apply_rotary_enc",
    "get_1d_sine_pe",
]
