"""Train the dense motion encoder on simulated cells, seen by a frozen SAM 2.

    python -m training.motion.dense --seconds 900 --out runs/motion_dense

An example is one cell on two frames: the features of both windows, placed as the engine places them, the last mask,
right or wrong, the exact motion of everything that is visible on both frames, and the true next mask. Losses: the
negative log likelihood of the flow under a Laplace distribution, mostly inside the cell, and cross-entropy and dice of
the warped mask. The features are kept in half precision. The same seeds and numbers of
examples and steps give the same weights; where time runs out first, they are fewer.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy, interpolate

from napari_mosam.core.masks.iou import mask_iou
from napari_mosam.core.model.registry import load_model
from napari_mosam.core.motion.learned.dense import DenseFlow, DenseMotionEncoder
from training.motion.pairs import Pairs, make_pairs
from training.motion.steps import Schedule, fit, read_command, save_encoder


def loss_of(found: DenseFlow, pairs: Pairs) -> Tensor:
    """Flow and mask, mean over the batch."""
    wanted, weight, target = pairs.flows[:, :2].float(), pairs.flows[:, 2:].float(), pairs.targets.float()
    total = weight.sum().clamp(min=1)
    likelihood = (found.flow - wanted).abs() * (-found.log_scale).exp() + found.log_scale
    coarse = (2 * interpolate(found.coarse, scale_factor=2.0, mode="bilinear", align_corners=False) - wanted).abs()
    probability = (found.mask / 2).sigmoid().clamp(1e-4, 1 - 1e-4)
    crossed = 2 * (probability * target).sum((1, 2, 3)) + 1
    dice = 1 - crossed / (probability.sum((1, 2, 3)) + target.sum((1, 2, 3)) + 1)
    entropy = binary_cross_entropy(probability, target, reduction="none").mean((1, 2, 3)) * 10
    flow = (weight * likelihood).sum() / total + 0.3 * (weight * coarse).sum() / total
    return flow + dice.mean() + entropy.mean()


def batches(pairs: Pairs, size: int, seed: int) -> Iterator[Pairs]:
    """Random examples without end."""
    rng = torch.Generator().manual_seed(seed)
    while True:
        yield pairs.take(torch.randint(len(pairs), (size,), generator=rng))


def run(encoder: DenseMotionEncoder, pairs: Pairs) -> DenseFlow:
    """The encoder on a batch; in bfloat16 while it is trained, which is quicker and blurs nothing that matters."""
    with torch.autocast("cpu", torch.bfloat16, enabled=encoder.training):
        found = encoder(pairs.features(0), pairs.features(1), pairs.masks, pairs.placements)
    return DenseFlow(*(getattr(found, name).float() for name in DenseFlow.__slots__))


def train(pairs: Pairs, held_out: Pairs, schedule: Schedule, size: int = 12) -> tuple[DenseMotionEncoder, list[float]]:
    """A trained encoder and the loss at every step."""
    torch.manual_seed(schedule.seed)
    fine, middle, top = (level.shape[1] for level in pairs.levels)
    encoder = DenseMotionEncoder((fine, middle, top))

    def check() -> dict[str, float]:
        return errors_of(encoder, held_out)

    losses = fit(
        encoder, batches(pairs, size, schedule.seed), lambda some: loss_of(run(encoder, some), some), schedule, check
    )
    return encoder, losses


@torch.no_grad()
def errors_of(encoder: DenseMotionEncoder, pairs: Pairs, size: int = 16, most: int = 96) -> dict[str, float]:
    """Endpoint error inside the cells (grid cells), of the encoder and of no motion; IoU of the masks, likewise."""
    encoder.eval()
    misses, still, ious = [], [], []
    for start in range(0, min(len(pairs), most), size):
        some = pairs.take(torch.arange(start, min(start + size, len(pairs))))
        found, wanted, inside = run(encoder, some), some.flows[:, :2].float(), some.flows[:, 2:] > 0.5
        per_pair = inside.sum((1, 2, 3)).clamp(min=1)
        misses.append(((found.flow - wanted).norm(dim=1, keepdim=True) * inside).sum((1, 2, 3)) / per_pair)
        still.append((wanted.norm(dim=1, keepdim=True) * inside).sum((1, 2, 3)) / per_pair)
        ious.append(mask_iou(found.mask > 0, some.targets > 0.5))
    encoder.train()
    return {name: float(torch.cat(v).mean()) for name, v in (("epe", misses), ("still", still), ("iou", ious))}


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="nano", help="name or path of the weights whose features are read")
    command = read_command(parser, Path(__file__).with_suffix(".json"))
    settings, out = command.settings, command.given.out
    model = load_model(command.given.model, device="cpu")
    seed, n_pairs, budget = settings["data_seed"], settings["n_pairs"], settings["data_seconds"]
    pairs = make_pairs(model, seed, n_pairs, budget, out / "pairs.pt")
    held_out = make_pairs(model, seed + 1, n_pairs // 20, budget / 20, out / "held_out.pt")
    encoder, losses = train(pairs, held_out, command.schedule, settings["batch"])
    record = command.record(len(pairs), losses, errors_of(encoder, held_out))
    save_encoder(encoder, out / "motion_dense", record, model=model.name, features=model.fingerprint)


if __name__ == "__main__":
    main()
