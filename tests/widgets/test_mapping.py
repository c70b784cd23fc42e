"""Labels as the viewer shows them on a movie: through the transforms of both layers, or refused with both scales."""

import numpy as np
import pytest
from napari.layers import Image, Labels

from napari_mosam.widgets.layers.mapping import label_frame
from napari_mosam.widgets.layers.source import MovieSource, SourceError

FRAME = np.zeros((20, 30), np.uint16)
FRAME[4:8, 6:12], FRAME[10:16, 20:26] = 3, 70_000 % 2**16


def on(image: Image, labels: Labels, frame: int = 1) -> np.ndarray:
    """Labels on a frame of an image, by the function and by going through the world for each pixel of it."""
    source = MovieSource.from_layer(image, (0,) * image.ndim)
    found = label_frame(source, labels, frame)
    shown = np.zeros_like(found)
    for y, x in np.ndindex(found.shape):
        place = image.data_to_world(np.add(source.corner(frame), (*[0] * (image.ndim - 2), y, x)))
        at = np.floor(labels.world_to_data(place) + 0.5 + 1e-7).astype(int)
        if all(0 <= i < n for i, n in zip(at, labels.data.shape, strict=True)):
            shown[y, x] = labels.data[tuple(at)]
    np.testing.assert_array_equal(found, shown)
    return found


def movie(**placed: object) -> Image:
    return Image(np.zeros((3, 20, 30), np.uint8), name="movie", **placed)


def test_labels_of_the_movies_own_grid_are_taken_as_they_are():
    stack = np.stack([FRAME * 0, FRAME, FRAME * 0])
    placed = {"scale": (2, 0.5, 0.25), "translate": (1, 7, -3)}
    np.testing.assert_array_equal(on(movie(**placed), Labels(stack, **placed)), FRAME)
    turned = {**placed, "rotate": 30}
    source = MovieSource.from_layer(movie(**turned), (0, 0, 0))
    np.testing.assert_array_equal(label_frame(source, Labels(stack, **turned), 1), FRAME)


def test_labels_of_half_the_size_are_enlarged():
    half = FRAME[::2, ::2]
    found = on(movie(scale=(1, 0.5, 0.5)), Labels(half, scale=(1, 1), translate=(0.25, 0.25)))
    np.testing.assert_array_equal(found, half.repeat(2, 0).repeat(2, 1))


def test_labels_of_twice_the_size_a_part_and_a_mirror_are_mapped_too():
    large = FRAME.repeat(2, 0).repeat(2, 1)
    np.testing.assert_array_equal(on(movie(), Labels(large, scale=(0.5, 0.5), translate=(-0.25, -0.25))), FRAME)
    part = on(movie(), Labels(FRAME[4:, 6:], translate=(4, 6)))
    np.testing.assert_array_equal(part, FRAME)
    np.testing.assert_array_equal(on(movie(), Labels(FRAME[::-1], scale=(-1, 1), translate=(19, 0))), FRAME)
    moved = on(movie(), Labels(FRAME, translate=(3, 0)))
    np.testing.assert_array_equal(moved[3:], FRAME[:-3])
    assert not moved[:3].any()


def test_one_plane_of_labels_counts_for_all_planes():
    image = Image(np.zeros((3, 4, 20, 30), np.uint8))
    source = MovieSource.from_layer(image, (0, 2, 0, 0))
    stack = np.stack([FRAME * 0, FRAME, FRAME * 0])[:, None]
    np.testing.assert_array_equal(label_frame(source, Labels(stack, translate=(0, 3, 0, 0)), 1), FRAME)


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (Labels(FRAME, name="turned", rotate=10), r"'turned' .* is turned or sheared against 'movie'"),
        (Labels(FRAME, name="sheared", shear=[0.2]), "'sheared' .* is turned or sheared"),
        (
            Labels(FRAME[::2, ::2], name="small"),
            r"\(shape \(10, 15\), scale \(0.5, 0.5\)\) and 'movie' \(.* scale \(1, 0.5, 0.5\)\) differ in size",
        ),
        (Labels(FRAME, name="far", translate=(99, 0)), r"moved by \(99, 0\)\) does not lie on frame 1 of 'movie'"),
        (Labels(FRAME[None].repeat(2, 0), name="early", translate=(-2, 0, 0)), "'early' .* does not lie on frame 1"),
    ],
)
def test_what_does_not_lie_on_the_movie_is_refused_with_both_scales(labels, said):
    if labels.name == "small":
        labels.scale = (0.5, 0.5)
    with pytest.raises(SourceError, match=said):
        label_frame(MovieSource.from_layer(movie(scale=(1, 0.5, 0.5)), (0, 0, 0)), labels, 1)
