"""What a model costs: size, and milliseconds per object and frame of each of its parts.

    python -m benchmarks.model_cost --out model_cost.csv
    python -m benchmarks.model_cost --models "nano;sam2.1-tiny@512" --configs small.yaml

One tracking step as the engine takes it, with a full memory: encode the windows, attend to seven memory frames and
sixteen object pointers, decode, remember. Time depends on the architecture alone, so every network has random weights
here and none needs a download. ``name@side`` gives another input side than the default; ``--configs`` adds networks
from their YAML files. All models take turns in one process, and the ratios are medians of what single turns gave.
"""

import argparse
import csv
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from napari_mosam.core.model.catalogue import SHIPPED
from napari_mosam.core.model.configs import YAML_SUFFIXES, build_from_yaml, build_official
from napari_mosam.core.model.protocol import MemoryFrame, MemorySelection
from napari_mosam.core.model.registry import available_models, model_info
from napari_mosam.core.model.sam2 import Sam2Segmenter

PARTS = ("encode", "attend", "decode", "remember")
N_POINTERS = 16
HEADER = ["model", "input_px", "parameters_m", "fp16_mb", *(f"{part}_ms" for part in PARTS), "total_ms", "ratio"]
DEFAULT = "nano;nano@192;nano@128;" + ";".join(f"{m.name}@512" for m in available_models() if not m.shipped)


def network_of(name: str) -> Any:
    """A network with random weights, from a model's name or the path of its configuration, and '@side'."""
    name, _, side = name.partition("@")
    size = int(side) if side else None
    if name.endswith(YAML_SUFFIXES):
        return build_from_yaml(Path(name), size)
    info = model_info(name)
    if info.shipped:
        return build_from_yaml(SHIPPED / info.config, size)
    return build_official(info.config, size or info.image_size)


class Step:
    """One tracking step of a batch of objects; :meth:`turn` times its four parts."""

    def __init__(self, network: Any, batch: int) -> None:
        self.model = Sam2Segmenter(network, "random", chunk=batch)
        self.batch, size = batch, self.model.image_size
        rng = torch.Generator().manual_seed(0)
        self.images = torch.rand(batch, size, size, generator=rng)
        self.masks = torch.randn(batch, 1, size, size, generator=rng) * 10
        self.scores = torch.full((batch,), 10.0)
        features = self.model.encode_image(self.images)
        memory = self.model.encode_memory(features, self.masks, self.scores)
        width = int(features.vision.shape[1])
        self.recalls = [self._recall(memory[row], torch.randn(width, generator=rng)) for row in range(batch)]

    def _recall(self, memory: torch.Tensor, pointer: torch.Tensor) -> MemorySelection:
        frame = MemoryFrame(0, memory, pointer, 1.0, 10.0, 100.0)
        slots = tuple((slot, frame) for slot in range(self.model.num_maskmem))
        return MemorySelection(slots, tuple((distance, frame) for distance in range(1, N_POINTERS + 1)))

    def turn(self) -> NDArray[np.float64]:
        """Milliseconds per object of each part."""
        features, encode = timed(lambda: self.model.encode_image(self.images))
        conditioned, attend = timed(lambda: self.model.attend_memory(features, self.recalls, 100))
        _, decode = timed(lambda: self.model.decode_masks(features, conditioned))
        _, remember = timed(lambda: self.model.encode_memory(features, self.masks, self.scores))
        return np.array([encode, attend, decode, remember]) / self.batch


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """What some work gives, and its milliseconds."""
    begin = time.perf_counter()
    result = work()
    return result, 1000 * (time.perf_counter() - begin)


def line(name: str, network: Any, ms: NDArray[np.float64], base: NDArray[np.float64]) -> list[str]:
    """One row of the table; `ms` and `base` (turns, parts) are this model's and the first one's."""
    n = sum(p.numel() for p in network.parameters())
    ratio = np.median(ms.sum(1) / base.sum(1))
    figures = [*np.median(ms, axis=0), np.median(ms.sum(1))]
    label = name.partition("@")[0]
    return [
        Path(label).stem if label.endswith(YAML_SUFFIXES) else label,
        str(network.image_size),
        f"{n / 1e6:.1f}",
        f"{2 * n / 1e6:.0f}",
        *(f"{figure:.1f}" for figure in figures),
        f"{ratio:.2f}",
    ]


def main() -> None:
    """Measure, print and write a CSV."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default=DEFAULT, help="names separated by ';', each with '@side' if it likes")
    parser.add_argument("--configs", type=Path, nargs="*", default=[], help="YAML files of networks")
    parser.add_argument("--batch", type=int, default=4, help="objects per call")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("model_cost.csv"))
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    names = [*given.models.split(";"), *map(str, given.configs)]
    networks = [network_of(name) for name in names]
    steps = [Step(network, given.batch) for network in networks]
    ms = np.array([[step.turn() for step in steps] for _ in range(given.turns)])
    rows = [line(n, net, ms[:, k], ms[:, 0]) for k, (n, net) in enumerate(zip(names, networks, strict=True))]
    with given.out.open("w", newline="") as file:
        csv.writer(file).writerows([HEADER, *rows])
    sys.stdout.writelines("\t".join(row) + "\n" for row in [HEADER, *rows])


if __name__ == "__main__":
    main()
