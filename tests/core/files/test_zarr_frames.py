"""Frames of an array in a folder: the files that zarr itself would write."""

import numpy as np
import pytest
import zarr

from napari_mosam.core.files.zarr_files import write_frame


def files_of(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.parametrize("chunks", [(1, 30, 40), (1, 16, 16), (2, 30, 40)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32])
def test_a_frame_is_written_as_zarr_does_and_read_again(tmp_path, chunks, dtype):
    frames = np.zeros((4, 30, 40), dtype)
    frames[0, 3:9, 4:20], frames[2, 29, 39], frames[3] = 200, 1, 9
    arrays = [
        zarr.create_array(tmp_path / name, shape=frames.shape, chunks=chunks, dtype=dtype, fill_value=0)
        for name in ("ours", "theirs")
    ]
    for t in (0, 1, 2, 3, 0, 3):
        frame = np.roll(frames[t], 3)
        write_frame(arrays[0], t, frame)
        arrays[1][t] = frame
        assert np.array_equal(arrays[0][t], frame)
    assert files_of(tmp_path / "ours") == files_of(tmp_path / "theirs")
    write_frame(arrays[0], 0, np.zeros((30, 40), dtype))
    arrays[1][0] = 0
    assert files_of(tmp_path / "ours") == files_of(tmp_path / "theirs")
