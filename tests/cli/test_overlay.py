import numpy as np
import pytest
from PIL import Image

from napari_mosam.cli.overlay import TEXT_PX, colour_of, draw_frame, montage, pick_evenly, write_overlay


def movie_and_labels(n_frames: int = 3, shape: tuple[int, int] = (60, 800)) -> tuple[np.ndarray, np.ndarray]:
    labels = np.zeros((n_frames, *shape), np.uint32)
    labels[:, 20:50, 30:90] = 7
    labels[1:, 20:50, 90:150] = 2**31
    return np.full((n_frames, *shape), 0.5, np.float32), labels


def test_outlines_have_the_colour_of_the_id_and_the_background_stays_grey():
    movie, labels = movie_and_labels()
    picture = draw_frame(movie[1], labels[1], 1)
    assert picture.shape == (60, 800, 3)
    assert np.allclose(picture[20, 40] / 255, colour_of(7), atol=0.01)
    assert np.allclose(picture[49, 140] / 255, colour_of(2**31), atol=0.01)
    assert (picture[5, 400] == 128).all()


@pytest.mark.parametrize("width", [40, 800, 3000])
def test_ids_are_written_beside_their_objects_at_every_size(width):
    labels = np.zeros((width // 2, width), np.uint16)
    labels[width // 4 :, : width // 4] = 1
    with_text = draw_frame(labels * 0.0, labels, 0)
    assert (with_text[TEXT_PX * 2 :] > 200).all(axis=2).any()


def test_masks_are_translucent():
    movie, labels = movie_and_labels()
    inside = draw_frame(movie[0], labels[0], 0)[25, 35] / 255
    assert np.allclose(inside, 0.75 * 0.5 + 0.25 * np.array(colour_of(7)), atol=0.01)


@pytest.mark.parametrize(("width", "drawn"), [(100, 400), (250, 800), (700, 800), (1600, 800)])
def test_pictures_are_neither_tiny_nor_huge(width, drawn):
    labels = np.zeros((40, width), np.uint16)
    assert draw_frame(labels.astype(float), labels, 0).shape[1] == drawn


def test_colours_are_stable_and_different():
    assert colour_of(5) == colour_of(5)
    assert len({colour_of(i) for i in range(1, 50)}) == 49


def test_frames_are_spread_evenly_with_both_ends():
    assert pick_evenly(range(10, 21), 3) == [10, 15, 20]
    assert pick_evenly([4, 5], 6) == [4, 5]


def test_a_montage_holds_every_picture_once():
    pictures = [np.full((10, 30, 3), i, np.uint8) for i in range(1, 6)]
    grid = montage(pictures)
    assert [(grid == i).sum() for i in range(1, 6)] == [900] * 5


def test_a_gif_has_one_picture_per_frame_up_to_a_limit(tmp_path):
    movie, labels = movie_and_labels(130, (20, 800))
    labels[:, :, :] = np.arange(130)[:, None, None]  # identical pictures would be merged
    with Image.open(write_overlay(tmp_path / "new" / "o.gif", movie, labels, range(130))) as gif:
        assert gif.n_frames == 120


def test_a_png_is_a_montage(tmp_path):
    movie, labels = movie_and_labels()
    with Image.open(write_overlay(tmp_path / "o.png", movie, labels, range(3))) as png:
        assert png.size == (800, 180)


def test_another_kind_of_picture_is_refused(tmp_path):
    movie, labels = movie_and_labels()
    with pytest.raises(ValueError, match=r"\.gif or \.png"):
        write_overlay(tmp_path / "o.jpg", movie, labels, range(3))
