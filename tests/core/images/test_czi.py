"""CZI files that Zeiss' own libCZI writes; needs Python 3.12 or later, czifile and pylibCZIrw."""

import numpy as np
import pytest

from napari_mosam.core.images.formats.microscopes.zeiss import open_czi

pytest.importorskip("czifile")
czi = pytest.importorskip("pylibCZIrw.czi")

HYPER = np.random.default_rng(0).integers(0, 4000, (5, 2, 3, 40, 50)).astype(np.uint16)
WHOLE = (slice(None), slice(None))


def test_planes_calibration_and_channels(tmp_path):
    with czi.create_czi(str(tmp_path / "a.czi")) as file:
        for t, channel, z in np.ndindex(*HYPER.shape[:3]):
            file.write(HYPER[t, channel, z][..., None], plane={"T": t, "C": channel, "Z": z})
        file.write_metadata("a", channel_names={0: "DAPI", 1: "GFP"}, scale_x=0.325e-6, scale_y=0.65e-6)
    source = open_czi(tmp_path / "a.czi", None)
    assert (source.axes, source.shape, source.dtype) == ("TCZYX", HYPER.shape, np.uint16)
    assert source.channels == ("DAPI", "GFP") and source.calibration.pixel_um == pytest.approx((0.65, 0.325))
    np.testing.assert_array_equal(source.read((2, 1, 0, *WHOLE), ""), HYPER[2, 1, 0])
    np.testing.assert_array_equal(source.read((slice(1, 4), 1, *WHOLE, slice(3, 9)), ""), HYPER[1:4, 1, :, :, 3:9])


def test_scenes_are_series_and_the_largest_is_read(tmp_path):
    with czi.create_czi(str(tmp_path / "a.czi")) as file:
        for scene, (height, width) in enumerate([(20, 30), (40, 50)]):
            for t in range(4):
                pixels = np.full((height, width, 1), 10 * scene + t, np.uint8)
                file.write(pixels, plane={"T": t, "C": 0}, scene=scene, location=(100 * scene, 0))
    for series, shape, grey in ((None, (4, 40, 50), 13), (0, (4, 20, 30), 3)):
        source = open_czi(tmp_path / "a.czi", series)
        assert len(source.series) == 2 and source.shape == shape
        assert (source.read((3, *WHOLE), "") == grey).all()
