"""Take the pictures of the widget for README and docs: before, during and after a run, and of a download.

Sample data only; the download comes from a slow server on this machine, which sends zeros.

Run it with a display, or with ``xvfb-run -a -s "-screen 0 1600x1100x24" python -m tools.make_screenshots``.
"""

import argparse
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import napari
import numpy as np
from napari.layers import Layer
from PIL import Image
from qtpy.QtWidgets import QApplication
from skimage.measure import regionprops

from napari_mosam.core.model.catalogue import model_info
from napari_mosam.widgets import MosamWidget
from napari_mosam.widgets.picture import shortcuts
from napari_mosam.widgets.sample_data import LayerData, scratch_assay, simulated_cells
from napari_mosam.widgets.why.page import WhyPage

IMAGES = Path(__file__).parents[1] / "docs" / "images"
DOWNLOAD = "model_download"
SAMPLES: dict[str, tuple[Callable[[], list[LayerData]], str, str, int]] = {
    "scratch_assay": (scratch_assay, "nuclei", "nuclei, single frames", 8),
    "simulated_cells": (simulated_cells, "simulated cells", "truth", 6),
}


def wait_until(done: Callable[[], bool], timeout_s: float = 600) -> None:
    """Let Qt work until `done`, and a little longer so that everything is drawn."""
    end = time.monotonic() + timeout_s
    while not done():
        if time.monotonic() > end:
            raise TimeoutError("the widget did not finish in time")
        QApplication.processEvents()
        time.sleep(0.01)
    pause(0.3)


def pause(seconds: float) -> None:
    """Let Qt draw."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        QApplication.processEvents()
        time.sleep(0.01)


def open_sample(viewer: napari.Viewer, sample: list[LayerData], image: str) -> None:
    """Add a sample's layers and show one image of them."""
    for data, options, kind in sample:
        if kind == "points":  # marks to try; here boxes are drawn
            continue
        viewer.add_layer(Layer.create(data, options, kind))
    for layer in viewer.layers:
        layer.visible = layer.name == image
    shown = viewer.layers[image]
    shown.contrast_limits = tuple(np.percentile(shown.data, (1, 99.9)))
    shown.colormap, viewer.layers.selection.active = "gray", shown
    viewer.dims.set_point(0, 0)
    viewer.reset_view()


def mark(widget: MosamWidget, truth: Any, n_cells: int) -> None:
    """Drag a box around the cells that are nearest to the middle of the first frame."""
    middle = np.array(truth.shape) / 2
    cells = [r for r in regionprops(truth) if r.area > np.median([r.area for r in regionprops(truth)]) / 2]
    cells.sort(key=lambda region: float(np.hypot(*(np.array(region.centroid) - middle))))
    for cell in cells[:n_cells]:
        y0, x0, y1, x1 = (float(v) for v in cell.bbox)
        widget.controls.box.click()
        corners = [(0, y0, x0), (0, y0, x1), (0, y1, x1), (0, y1, x0)]
        widget.prompts.shapes.add(np.array(corners), shape_type="rectangle")


def show(widget: MosamWidget, folder: Path, name: str, frame: int | None = None) -> None:
    """Save the whole window."""
    if frame is not None:
        widget.viewer.dims.set_point(0, frame * float(widget.controls.image.layer.scale[0]))
    pause(0.5)
    widget.viewer.screenshot(str(folder / f"{name}.png"), canvas_only=False, flash=False)


def open_widget(name: str) -> MosamWidget:
    """A viewer with a sample and the widget."""
    load, image, _, _ = SAMPLES[name]
    viewer = napari.Viewer(show=True, title="napari")
    viewer.window.resize(1440, 960)
    open_sample(viewer, load(), image)
    pause(0.2)  # a sample selects its own image as soon as it is there
    viewer.layers.selection.active = viewer.layers[image]
    widget = MosamWidget(viewer)
    viewer.window.add_dock_widget(widget, name="MoSAM")
    widget.controls.image.layer = viewer.layers[image]
    wait_until(lambda: widget.controls.device.count() > 1)
    return widget


def photograph(name: str, folder: Path) -> None:
    """Before, preview, during and after, for one sample."""
    _, _, truth, n_cells = SAMPLES[name]
    widget = open_widget(name)
    viewer = widget.viewer
    show(widget, folder, f"{name}_1_before", 0)
    mark(widget, np.asarray(viewer.layers[truth].data[0]), n_cells)
    widget.controls.preview.click()
    wait_until(lambda: not widget.jobs.busy)
    show(widget, folder, f"{name}_2_preview")
    widget.controls.propagate.click()
    wait_until(lambda: widget.run is not None and widget.run.done >= 3)
    show(widget, folder, f"{name}_3_during", 1)
    wait_until(lambda: not widget.jobs.busy)
    show(widget, folder, f"{name}_4_after", widget.source.shape[0] // 2)
    widget.controls.objects.box.expand(animate=False)
    widget.controls.objects.table.selectRow(0)
    show(widget, folder, f"{name}_5_objects")
    photograph_finding(widget, folder, name)
    photograph_why(widget, folder, name)
    review(widget, folder, name)
    viewer.close()


def photograph_finding(widget: MosamWidget, folder: Path, name: str) -> None:
    """Cells that have no mask yet, proposed on the last frame."""
    row = widget.controls.finding
    widget.controls.objects.box.collapse(animate=False)
    show(widget, folder, f"{name}_6_found", widget.source.shape[0] - 1)
    row.find.click()
    wait_until(lambda: not widget.jobs.busy)
    show(widget, folder, f"{name}_6_found")
    row.discard.click()


def photograph_why(widget: MosamWidget, folder: Path, name: str) -> None:
    """The page 'Why': where it looked, how sure a memory was, motion, and both memories."""
    widget.controls.object_id.setValue(1)
    widget.pages.turn_to("Why")
    page = widget.pages.page("Why")
    assert isinstance(page, WhyPage)
    panel, frame = page.panel, widget.source.shape[0] // 2
    widget.viewer.dims.set_point(0, frame * float(widget.controls.image.layer.scale[0]))
    panel.place.click()
    wait_until(lambda: bool(panel.legend.text()))
    show(widget, folder, f"{name}_7_why")
    panel.place.click()
    panel.confidence.click()
    panel.pictures.buttons[0].click()
    show(widget, folder, f"{name}_8_memory")
    panel.back.click()
    panel.confidence.click()
    panel.flow.click()
    wait_until(lambda: bool(panel.flow_note.text()))
    show(widget, folder, f"{name}_9_flow")
    panel.flow.click()
    panel.compare.click()
    wait_until(lambda: not widget.jobs.busy)
    show(widget, folder, f"{name}_10_compared")


def review(widget: MosamWidget, folder: Path, name: str) -> None:
    """The first place of the review."""
    page = shortcuts.review(widget)
    wait_until(lambda: page.reviewed is not None)
    page.step(1)
    show(widget, folder, f"{name}_6_review")


class Slow(BaseHTTPRequestHandler):
    """Sends as many zeros as the smallest official model has bytes, 20 MB a second."""

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """Answer every request in the same way."""
        n_bytes = model_info("sam2.1-tiny").size or 0
        self.send_response(200)
        self.send_header("Content-Length", str(n_bytes))
        self.end_headers()
        with suppress(OSError):  # the download was cancelled
            for _ in range(0, n_bytes, 1_000_000):
                self.wfile.write(bytes(1_000_000))
                time.sleep(0.05)


def photograph_download(folder: Path) -> None:
    """The settings of the widget while a model is being downloaded."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Slow)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as cache:
        os.environ |= {"MOSAM_CACHE": cache, "MOSAM_MODELS_URL": f"http://127.0.0.1:{server.server_port}"}
        widget = open_widget("simulated_cells")
        row, menu = widget.controls.model_download, widget.controls.model
        menu.setCurrentIndex(menu.findData("sam2.1-tiny"))
        row.download.click()
        wait_until(lambda: row.bar.value() > 350)
        show(widget, folder, "model_download", 0)
        row.cancel.click()
        wait_until(lambda: not widget.model_download.busy)
        widget.viewer.close()
    server.shutdown()
    whole = Image.open(folder / "model_download.png")
    whole.crop((whole.width - 335, 20, whole.width, 700)).save(folder / "model_download.png")


def main(given: Iterable[str] | None = None) -> None:
    """Photograph the samples named on the command line, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("samples", nargs="*", default=[*SAMPLES, DOWNLOAD], help=", ".join([*SAMPLES, DOWNLOAD]))
    parser.add_argument("--folder", type=Path, default=IMAGES)
    options = parser.parse_args(given)
    options.folder.mkdir(parents=True, exist_ok=True)
    for name in options.samples:
        photograph_download(options.folder) if name == DOWNLOAD else photograph(name, options.folder)


if __name__ == "__main__":
    main()
