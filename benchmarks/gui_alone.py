"""What napari costs without a dock: the gestures of `benchmarks.gui_user` that add a layer or go to a frame.

    xvfb-run -a -s "-screen 0 1600x1000x24" python -m benchmarks.gui_alone --movie simulated --side 2048 --cells 64

In a process of its own, so that every first use is one. The figures are those of `benchmarks.gui_user`.
"""

import argparse
from collections.abc import Sequence

import napari
import numpy as np

from benchmarks.gui_user import N_CELLS, Hand, add_movie_options, box_of, print_steps, scene


def walk(hand: Hand, images: "np.ndarray", labels: "np.ndarray") -> None:
    """Frames and labels (T, Y, X) in an empty viewer, a rectangle and clicks; then all in another viewer."""
    ids = np.unique(labels[0])[1:]
    box = box_of(labels[0] == ids[0])
    middles = [(0, *np.argwhere(labels[0] == i).mean(0)) for i in ids]
    (top, left), (bottom, right) = box
    corners = [(0, top, left), (0, top, right), (0, bottom, right), (0, bottom, left)]
    text = {"string": "{object_id}", "size": 10, "color": "white"}
    view = hand.viewer
    with hand.step("add the image"):
        view.add_image(images)
    with hand.step("add a layer of shapes, and draw the first"):
        shapes = view.add_shapes(ndim=3)
        hand.pump(0.05)
        shapes.mode = "add_rectangle"
        view.dims.set_point(0, 0)
        hand.drag(*box, words="box")
    with hand.step("add the labels"):
        view.add_labels(labels)
    with hand.step(f"add {len(ids)} points with numbers"):
        view.add_points(middles, features={"object_id": ids}, text=text)
    hand.pump(0.5)
    with hand.step("next frame"):
        hand.frame(1)
    view.close()
    hand.viewer = view = napari.Viewer(show=True)
    view.window.resize(1280, 720)
    hand.pump(1.0)
    with hand.step("image, labels and shapes in another viewer"):
        view.add_image(images)
        view.add_labels(labels)
        view.add_shapes([corners] * N_CELLS, features={"object_id": range(N_CELLS)}, text=text)
    view.close()


def main(arguments: Sequence[str] | None = None) -> None:
    """Walk and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_movie_options(parser)
    given = parser.parse_args(arguments)
    images, truth = scene(given.movie, given.side, given.cells)
    hand = Hand(napari.Viewer(show=True))
    hand.viewer.window.resize(1280, 720)
    hand.pump(1.0)
    walk(hand, images, truth.astype(np.uint16))
    print_steps(hand.steps)


if __name__ == "__main__":
    main()
