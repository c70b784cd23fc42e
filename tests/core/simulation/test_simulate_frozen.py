"""Settings that exist give the same pixels for ever: benchmarks and stored figures were made with them.

The digests were taken before the simulator learned its later modalities and shapes. Flow is rounded to 1/256 px.
"""

import hashlib

import numpy as np
import pytest

from napari_mosam.core import simulation as sim

CASES = {
    "disk_moves": ({}, "0740497d422bfaa7"),
    "disk_divides": ({"modality": "phase"}, "9861f582c1fda6ac"),
    "touching_cells": ({"modality": "dic", "dtype": "uint8"}, "7f9200034f5f7b71"),
    "stage_jumps": ({"cell_shape": "rod", "bleaching": 0.5}, "117cec35188d8def"),
    "two_disks_cross": ({"background": 0.3}, "870df88c45ad9b01"),
    "disk_vanishes": ({"cell_shape": "ellipse", "occluders": [(10, 10, 40, 20)]}, "86b4d790094dec8b"),
}


def digest(movie: sim.SimulatedMovie) -> str:
    """Sixteen hexadecimal digits of all that a movie holds."""
    parts = (movie.images, movie.labels, np.rint(movie.flow * 256).astype(np.int16), movie.drift)
    return hashlib.sha256(b"".join(np.ascontiguousarray(part).tobytes() for part in parts)).hexdigest()[:16]


@pytest.mark.parametrize("name", CASES)
def test_a_movie_of_existing_settings_is_bit_for_bit_the_same(name: str) -> None:
    changes, expected = CASES[name]
    assert digest(sim.CASES[name](3, **changes)) == expected
