"""nano behind the protocol: it reproduces its reference, and every step agrees with sam2's own."""

from pathlib import Path

import numpy as np
import pytest
import torch

from napari_mosam.core.config.engine import MemoryConfig
from napari_mosam.core.memory.selection import ReadContext, recall_sam2
from napari_mosam.core.model.protocol import MemoryFrame, MemorySelection, PointPrompts, Segmenter
from napari_mosam.core.model.registry import load_model

REFERENCE = Path(__file__).parent / "data" / "nano_reference.npz"
TOLERANCE = 1e-3


@pytest.fixture(scope="module")
def nano():
    return load_model("nano", device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def reference():
    with np.load(REFERENCE) as stored:
        return {name: torch.from_numpy(stored[name]) for name in stored.files}


def click(xy, n=1):
    return PointPrompts(torch.as_tensor(xy).float().expand(n, 1, 2), torch.ones(n, 1, dtype=torch.int32))


def first_frame(model, reference):
    features = model.encode_image(reference["frames"][:1])
    decoded = model.decode_masks(features, model.without_memory(features), points=click(reference["point_xy"]))
    return features, decoded, int(decoded.predicted_iou[0].argmax())


def remembered(model, features, decoded, best, t=0):
    logits = decoded.logits[:, best][:, None]
    full = torch.nn.functional.interpolate(logits, size=(256, 256), mode="bilinear", align_corners=False)
    pointer = model.object_pointers(decoded.mask_tokens[:, best], decoded.object_score)[0]
    return MemoryFrame(t, model.encode_memory(features, full, decoded.object_score)[0], pointer, 1.0, 1.0, 1.0)


def largest(difference):
    return float(difference.abs().max())


def test_nano_reproduces_its_reference_on_a_click(nano, reference):
    _, decoded, best = first_frame(nano, reference)
    assert largest(decoded.logits[0, best] - reference["low_res_logits_0"]) < TOLERANCE
    assert largest(decoded.predicted_iou[0] - reference["ious_0"]) < TOLERANCE
    assert largest(decoded.object_score - reference["object_score_0"]) < TOLERANCE
    pointer = nano.object_pointers(decoded.mask_tokens[:, best], decoded.object_score)[0]
    assert largest(pointer - reference["object_pointer_0"]) < TOLERANCE


def test_nano_reproduces_its_reference_through_memory(nano, reference):
    memory = remembered(nano, *first_frame(nano, reference))
    features = nano.encode_image(reference["frames"][1:])
    decoded = nano.decode_masks(
        features, nano.attend_memory(features, [MemorySelection(((0, memory),), ((1, memory),))], 2)
    )
    best = int(decoded.predicted_iou[0].argmax())
    assert largest(decoded.logits[0, best] - reference["low_res_logits_1"]) < TOLERANCE
    assert largest(decoded.predicted_iou[0] - reference["ious_1"]) < TOLERANCE
    assert largest(decoded.object_score - reference["object_score_1"]) < TOLERANCE
    pointer = nano.object_pointers(decoded.mask_tokens[:, best], decoded.object_score)[0]
    assert largest(pointer - reference["object_pointer_1"]) < TOLERANCE


def test_bfloat16_gives_the_same_mask(reference):
    model = load_model("nano", device="cpu", dtype="bfloat16")
    _, decoded, best = first_frame(model, reference)
    assert decoded.logits.dtype == torch.float32
    one, other = decoded.logits[0, best] > 0, reference["low_res_logits_0"] > 0
    assert float((one & other).sum() / (one | other).sum()) > 0.95
    assert largest(decoded.predicted_iou[0] - reference["ious_0"]) < 0.05
    assert torch.isfinite(remembered(model, *first_frame(model, reference)).features).all()


def noise(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def memories(model, times, seed=1):
    generator = torch.Generator().manual_seed(seed)
    side = model.image_size // 16

    def one(t):
        features = torch.randn(64, side, side, generator=generator)
        return MemoryFrame(t, features, torch.randn(128, generator=generator), 0.9, 4.0, 50.0)

    return [one(t) for t in times]


def recalled(prompted, tracked, now, config):
    return MemorySelection(*recall_sam2(prompted, tracked, now, config))


def test_a_batch_gives_what_each_window_gives_alone(nano):
    images = noise(5, 256, 256)
    recalls = [
        recalled(memories(nano, [0]), memories(nano, range(1, n), seed=n), ReadContext(9, 1, 20, 7), MemoryConfig())
        for n in (1, 4, 9, 4, 1)
    ]
    together = nano.encode_image(images)
    conditioned = nano.attend_memory(together, recalls, 20)
    decoded = nano.decode_masks(together, conditioned)
    masks = torch.nn.functional.interpolate(decoded.logits[:, :1], size=(256, 256))
    memory = nano.encode_memory(together, masks, decoded.object_score)
    for row in range(5):
        features = nano.encode_image(images[row : row + 1])
        assert torch.allclose(features.vision[0], together.vision[row], atol=1e-3)
        alone = nano.decode_masks(features, nano.attend_memory(features, [recalls[row]], 20))
        assert torch.allclose(alone.logits[0], decoded.logits[row], atol=2e-3)
        assert torch.allclose(alone.predicted_iou[0], decoded.predicted_iou[row], atol=1e-3)
        own = nano.encode_memory(features, masks[row : row + 1], decoded.object_score[row : row + 1])
        assert torch.allclose(own[0], memory[row], atol=1e-3)


def test_batches_larger_than_a_chunk_are_cut(nano):
    images, points = noise(5, 256, 256, seed=3), click((100.0, 90.0), 5)
    features = nano.encode_image(images)
    whole = nano.decode_masks(features, nano.without_memory(features), points=points)
    twos = nano.in_chunks_of(2)
    cut = twos.decode_masks(twos.encode_image(images), twos.without_memory(features), points=points)
    assert torch.allclose(whole.logits, cut.logits, atol=2e-3)
    assert torch.allclose(
        nano.object_pointers(whole.mask_tokens[:, 0], whole.object_score),
        twos.object_pointers(cut.mask_tokens[:, 0], cut.object_score),
        atol=1e-3,
    )


@pytest.mark.parametrize("step", [1, -1])
@pytest.mark.parametrize("tracked", [[], [9, 8], range(1, 10), [9, 6, 2]])
def test_memory_is_attended_to_as_in_sam2(nano, step, tracked):
    """sam2's own conditioning on the same memory, prompted frames on both sides of the current one."""
    t, n_frames = 10, 21
    prompted = memories(nano, [0, 20])
    tracked = memories(nano, [t - (t - k) * step for k in tracked], seed=2)
    features = nano.encode_image(noise(1, 256, 256))
    now = ReadContext(t, step, n_frames, nano.num_maskmem)
    recall = recalled(prompted, tracked, now, MemoryConfig(max_conditioning=0))
    ours = nano.attend_memory(features, [recall], n_frames)

    def stored(frames):
        positions = nano.network.memory_encoder.position_encoding(torch.zeros(1, 64, 16, 16))
        return {
            f.t: {"maskmem_features": f.features[None], "maskmem_pos_enc": [positions], "obj_ptr": f.pointer[None]}
            for f in frames
        }

    with torch.no_grad():
        theirs = nano.network._prepare_memory_conditioned_features(
            frame_idx=t,
            is_init_cond_frame=False,
            current_vision_feats=[features.vision.flatten(2).permute(2, 0, 1)],
            current_vision_pos_embeds=[nano.parts.image_positions],
            feat_sizes=[(16, 16)],
            output_dict={"cond_frame_outputs": stored(prompted), "non_cond_frame_outputs": stored(tracked)},
            num_frames=n_frames,
            track_in_reverse=step < 0,
        )
    assert torch.allclose(ours, theirs, atol=1e-3)
    assert not torch.allclose(ours, features.vision, atol=1e-1)


def test_a_mask_is_pointed_to_as_in_sam2(nano):
    features = nano.encode_image(noise(1, 256, 256))
    mask = torch.zeros(1, 1, 256, 256)
    mask[..., 90:150, 100:160] = 1
    with torch.no_grad():
        high = [*features.high_res]
        *_, theirs, _ = nano.network._use_mask_as_output(features.vision, high, mask)
    assert torch.allclose(nano.object_pointers_of_masks(features, mask), theirs, atol=1e-3)


def test_an_absent_object_gets_the_pointer_of_no_object(nano):
    tokens = noise(2, 128)
    pointers = nano.object_pointers(tokens, torch.tensor([3.0, -3.0]))
    assert torch.allclose(pointers[1], nano.network.no_obj_ptr[0])
    assert not torch.allclose(pointers[0], nano.network.no_obj_ptr[0])


def test_nothing_is_recorded_for_gradients(nano):
    features = nano.encode_image(noise(1, 256, 256))
    decoded = nano.decode_masks(features, nano.without_memory(features))
    assert not features.vision.requires_grad
    assert not decoded.logits.requires_grad
    assert torch.is_grad_enabled()


def test_nano_and_the_fake_fit_the_protocol(nano):
    from tests.support.fake_model import FakeSegmenter

    wanted = {name for name in vars(Segmenter) if not name.startswith("_")} | set(Segmenter.__annotations__)
    for model in (nano, FakeSegmenter()):
        assert all(hasattr(model, name) for name in wanted)
