"""What bioio reads, with the readers that are installed for it."""

import importlib.util
from pathlib import Path
from typing import Any

from napari_mosam.core.images.calibration import Calibration
from napari_mosam.core.images.formats.source import SeriesInfo, Source, choose_series, chunks_of


def open_with_bioio(path: Path, series: int | None) -> Source | None:
    """A file as bioio sees it; its scenes are its series. None where bioio is not here, or has no reader for it."""
    if importlib.util.find_spec("bioio") is None:
        return None
    unknown = importlib.import_module("bioio_base.exceptions").UnsupportedFileFormatError
    try:
        image = importlib.import_module("bioio").BioImage(path)
    except unknown:
        return None
    return _source(image, path.name, series)


def _source(image: Any, name: str, series: int | None) -> Source:
    listed = tuple(_scene(image, number, scene) for number, scene in enumerate(image.scenes))
    chosen = choose_series(listed, series, name)
    image.set_scene(chosen)
    pixels, size, interval = image.dask_data, image.physical_pixel_sizes, image.time_interval
    return Source(
        name,
        f"read by {type(image.reader).__module__.split('.')[0]}",
        pixels,
        listed[chosen].axes,
        chunks_of(pixels),
        is_file=True,
        calibration=Calibration.of(size.Y, size.X, "µm", interval.total_seconds() if interval else None, "s"),
        channels=tuple(map(str, image.channel_names or ())),
        series=listed,
        chosen=chosen,
    )


def _scene(image: Any, number: int, scene: str) -> SeriesInfo:
    image.set_scene(number)
    return SeriesInfo(number, scene, tuple(image.shape), image.dims.order)
