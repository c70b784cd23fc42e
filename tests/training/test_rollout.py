"""What is trained is what is deployed: memory as the engine reads it, and every number as the engine gets it."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.support.core_movies import CoreMovies
from training.config import KINDS, MemoryConfig, PromptConfig, StageConfig
from training.data.clips import cut_clips
from training.nano.networks import description_of, new_network
from training.recipes import CONFIGS, read_config
from training.rollout.answers import replaced, rivals
from training.rollout.clip_memory import ClipMemory, MemoryRules, reading
from training.rollout.rollout import Rollout

from napari_mosam.core.config.engine import MemoryConfig as EngineMemory
from napari_mosam.core.masks.overlap import upsample
from napari_mosam.core.memory.selection import ReadContext, recall_gated, recall_sam2
from napari_mosam.core.model.protocol import MaskCandidates, MemoryFrame, MemorySelection, PointPrompts
from napari_mosam.core.model.sam2 import Sam2Segmenter
from napari_mosam.core.model.sam2_parts import Sam2Parts
from napari_mosam.core.simulation import touching_cells

SMOKE = read_config(CONFIGS / "smoke.toml")
BOXES = PromptConfig(**{k: float(k == "box") for k in KINDS}, corrections=0, late_correction=0, motion=0)
PLAIN = MemoryConfig(gated=0, drop=0, compete=0, short=1, aged=0)
SEED = "rollout"


@pytest.fixture(scope="module")
def network():
    return new_network(SMOKE.model, description_of(SMOKE.model), 1)


@pytest.fixture(scope="module")
def clip():
    movies = CoreMovies(touching_cells).movies(SEED, 2, 4, 128, torch.device("cpu"))
    return cut_clips(movies, StageConfig(clips=2, objects=2, frames=4), SMOKE.window, 64, SEED)


def rollout(network, clip, prompt=BOXES, memory=PLAIN) -> Rollout:
    return Rollout(Sam2Parts(network), replace(SMOKE, prompt=prompt, memory=memory), clip, 0.3, SEED)


# ---- memory


@given(st.sets(st.integers(1, 29)), st.integers(2, 30), st.sampled_from([None, 4]), st.booleans(), st.integers(2, 60))
def test_what_is_read_is_what_the_engine_reads(tracked, t, second_prompt, gated, n_frames):
    prompted = [0] if second_prompt is None or second_prompt >= t else [0, second_prompt]
    tracked = [s for s in tracked if s < t and s not in prompted]
    ours = reading(t, prompted, tracked, MemoryRules(gated, 7, n_frames, 0))
    empty = torch.zeros(0)
    frames = {s: MemoryFrame(s, empty, empty, 1.0, 1.0, 1.0) for s in (*prompted, *tracked)}
    rule = recall_gated if gated else recall_sam2
    now = ReadContext(t, 1, n_frames, 7)
    theirs = rule([frames[s] for s in prompted], [frames[s] for s in tracked], now, EngineMemory(max_conditioning=0))
    assert [(slot, f.index) for slot, f in ours.frames] == [(slot, f.t) for slot, f in theirs.frames]
    assert [(d, f.index) for d, f in ours.pointers] == [(d, f.t) for d, f in theirs.pointers]


def test_an_aged_prompt_is_pointed_to_from_further_away():
    read = reading(3, [0], [1, 2], MemoryRules(True, 7, 20, 10))
    assert [(d, f.index) for d, f in read.pointers] == [(13, 0), (1, 2), (2, 1)]
    assert [(slot, f.index) for slot, f in read.frames] == [(0, 0), (6, 2), (5, 1)]


def test_rows_read_their_own_memories():
    memory = ClipMemory(MemoryRules(True, 7, 20, 0))
    for t in range(3):
        features = (10.0 * t + torch.arange(2.0)).view(2, 1, 1, 1).expand(2, 1, 2, 2)
        pointers = features[:, :, 0, 0]
        if t:
            memory.remember(t, features, pointers, [True, t == 1])
        else:
            memory.condition(t, features, pointers)
    found = {}
    for rows, batch in memory.batches(3, 2):
        for k, row in enumerate(rows.tolist()):
            found[row] = batch.features[k, :, 0, 0, 0].tolist(), batch.slots[k].tolist(), batch.distances[k].tolist()
    assert found == {0: ([0, 20, 10], [0, 6, 5], [3, 1, 2]), 1: ([1, 11], [0, 6], [3, 2])}


# ---- parity


@torch.no_grad()
def test_a_clip_gives_what_the_engine_gives(network, clip):
    """Boxes on frame 0, then SAM 2's memory: logits, predicted IoUs and scores of every frame."""
    ours = rollout(network, clip)
    frames = ours._encoded()
    answers = [ours._prompted(ours._features(frames, 0))]
    for t in range(1, clip.n_frames):
        answers.append(ours._tracked(t, ours._features(frames, t), answers[-1]))
    engine = Sam2Segmenter(network, "engine")
    again = rollout(network, clip)
    theirs = list(engine_answers(engine, clip, first_boxes(again)))
    network.train()
    for one, other in zip(answers, theirs, strict=True):
        for mine, expected in zip((one.logits[:, 0], one.predicted_iou[:, 0], one.object_score), other, strict=True):
            assert torch.allclose(mine, expected, atol=1e-4)


def first_boxes(ours: Rollout) -> PointPrompts:
    """The boxes that the rollout draws, without decoding anything."""
    from training.rollout.prompting import first_prompts

    (group,) = first_prompts(ours._clip, ours._config.prompt, ours._rng)
    assert group.rows.tolist() == list(range(ours._clip.n_rows))
    return group.points


def engine_answers(engine, clip, boxes):
    prompted, tracked = [], []
    for t in range(clip.n_frames):
        features = engine.encode_image(clip.per_row(clip.images[:, t]))
        if t == 0:
            decoded = engine.decode_masks(features, engine.without_memory(features), points=boxes, multimask=False)
        else:
            now, config = ReadContext(t, 1, clip.n_frames, engine.num_maskmem), EngineMemory(max_conditioning=0)
            recalls = [
                MemorySelection(*recall_sam2(*kept, now, config)) for kept in zip(prompted, tracked, strict=True)
            ]
            decoded = engine.decode_masks(features, engine.attend_memory(features, recalls, clip.n_frames))
        rows, best = torch.arange(clip.n_rows), decoded.predicted_iou.argmax(1)
        logits, score = decoded.logits[rows, best], decoded.object_score
        shown = logits if t == 0 else torch.where((score > 0)[:, None, None], logits, -1024.0)
        memory = engine.encode_memory(features, upsample(shown, engine.image_size)[:, None], score, from_points=t == 0)
        pointers = engine.object_pointers(decoded.mask_tokens[rows, best], score)
        kept = [MemoryFrame(t, memory[row], pointers[row], 1.0, 1.0, 1.0) for row in rows]
        if t == 0:
            prompted, tracked = [[frame] for frame in kept], [[] for _ in kept]
        else:
            for own, frame in zip(tracked, kept, strict=True):
                own.append(frame)
        yield logits, decoded.predicted_iou[rows, best], score


# ---- learning


@pytest.mark.parametrize("gated", [0.0, 1.0])
def test_gradients_reach_every_part_of_the_network(network, clip, gated):
    network.zero_grad()
    with torch.no_grad():  # objects count as seen, so that their pointers are used
        network.sam_mask_decoder.pred_obj_score_head.layers[-1].bias.fill_(3.0)
    shares = {k: 0.5 * (k in ("click", "mask")) for k in KINDS}
    prompt = PromptConfig(**shares, corrections=1, late_correction=0.0, motion=1.0)
    memory = replace(SMOKE.memory, gated=gated, drop=0, compete=1)
    judged = rollout(network, clip, prompt, memory).run()
    judged.losses.total.backward()
    assert torch.isfinite(judged.losses.total)
    seeing = ("image_encoder", "sam_mask_decoder", "sam_prompt_encoder")
    for name in (*seeing, "memory_attention", "memory_encoder", "obj_ptr_proj", "mask_downsample"):
        grads = [p.grad for p in getattr(network, name).parameters() if p.grad is not None]
        assert grads, name
        assert all(torch.isfinite(g).all() for g in grads)
        assert max(float(g.abs().max()) for g in grads) > 0


def test_the_same_seed_gives_the_same_loss(network, clip):
    one, same = (rollout(network, clip, SMOKE.prompt, SMOKE.memory).run().losses.total for _ in range(2))
    assert torch.equal(one, same)


def test_recomputing_activations_changes_nothing(network, clip):
    config = replace(SMOKE, prompt=BOXES, memory=PLAIN)
    losses = []
    for recompute in (False, True):
        network.zero_grad()
        own = replace(config, optimiser=replace(config.optimiser, recompute=recompute))
        judged = Rollout(Sam2Parts(network), own, clip, 0.3, SEED).run()
        judged.losses.total.backward()
        gradient = network.image_encoder.neck.convs[0].conv.weight.grad.clone()
        losses.append((float(judged.losses.total.detach()), gradient))
    assert losses[0][0] == pytest.approx(losses[1][0], rel=1e-5)
    assert torch.allclose(losses[0][1], losses[1][1], rtol=1e-3, atol=1e-6)


def test_painted_masks_are_taken_as_they_are(network, clip):
    masks_only = PromptConfig(**{k: float(k == "mask") for k in KINDS}, motion=0, late_correction=0)
    ours = rollout(network, clip, masks_only)
    answer = ours._prompted(ours._features(ours._encoded(), 0))
    found = upsample(answer.logits[:, 0], 64) > 0
    seen = clip.masks(0).flatten(1).sum(1) > 40
    both, either = (found & clip.masks(0)).flatten(1).sum(1), (found | clip.masks(0)).flatten(1).sum(1)
    assert float((both / either)[seen].min()) > 0.75
    assert float(ours._losses.total) == 0


# ---- competition and choice


def test_rivals_are_the_others_of_the_same_clip():
    logits = torch.tensor([1.0, 5.0, 3.0, 7.0, 2.0, 2.0]).view(6, 1, 1)
    ids = torch.tensor([[1, 2, 3], [4, 5, 4]])
    assert rivals(logits, ids, 1).flatten().tolist() == [5, 3, 5, 2, 7, 2]


def test_an_object_alone_has_no_rival():
    assert rivals(torch.full((2, 1, 1), 9.0), torch.tensor([[1, 1]]), 1).flatten().tolist() == [-32, -32]


def test_an_answer_to_motion_is_taken_where_it_is_better():
    def answer(iou):
        n, ious = len(iou), torch.tensor(iou)[:, None]
        return MaskCandidates(ious[..., None, None], ious, torch.arange(float(n)), torch.zeros(n, 1, 2))

    mixed = replaced(answer([0.5, 0.5, 0.5]), torch.tensor([0, 2]), answer([0.4, 0.9]))
    assert mixed.predicted_iou.flatten().tolist() == pytest.approx([0.5, 0.5, 0.9])
    assert mixed.logits.flatten().tolist() == pytest.approx([0.5, 0.5, 0.9])
    assert mixed.object_score.tolist() == [0, 1, 2]


@pytest.mark.parametrize("n_objects", [1, 2])
def test_rows_that_round_a_batch_up_change_nothing(network, monkeypatch, n_objects):
    """As on a GPU, whose batches are rounded up."""
    movies = CoreMovies(touching_cells).movies(SEED, 3, 3, 128, torch.device("cpu"))
    clip = cut_clips(movies, StageConfig(clips=3, objects=n_objects, frames=3), SMOKE.window, 64, SEED)
    plain = rollout(network, clip, PromptConfig()).run()
    monkeypatch.setattr("training.rollout.rollout.rounding", lambda device: 16)
    rounded = rollout(network, clip, PromptConfig()).run()
    torch.testing.assert_close(rounded.losses.total, plain.losses.total)
    assert rounded.measures == pytest.approx(plain.measures, nan_ok=True, abs=1e-4)


def test_images_encoded_in_parts_are_those_encoded_at_once(network, clip, monkeypatch):
    plain = rollout(network, clip).run()
    monkeypatch.setattr("training.rollout.rollout.MOST_IMAGES", 3)
    in_parts = rollout(network, clip).run()
    torch.testing.assert_close(in_parts.losses.total, plain.losses.total)
