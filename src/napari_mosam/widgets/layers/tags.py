"""Whose a layer is: which layers are this plugin's, what for, and of which movie."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari.layers import Layer

ROLE = "napari-mosam"

RESULT = "napari-mosam result"
"""In the metadata of the layers that the reader makes of a result: where it lies."""


@dataclass(frozen=True, slots=True)
class Tag:
    """What a layer of this plugin is for, whatever its name.

    Attributes
    ----------
    role : str
        Such as 'labels' or 'points'.
    owner : str
        Unique id of the layer itself. napari copies tags with a layer, and a copy that the user makes is the user's.
    movie : str
        Unique id of the image layer that the layer belongs to; '' for none.
    plane : tuple of int
        Plane of the image that the movie is, where the role tells planes apart.
    """

    role: str
    owner: str
    movie: str = ""
    plane: tuple[int, ...] = ()


def movie_id(image: "Layer") -> str:
    """What marks and results know an image layer by, through renaming, removing and adding it again."""
    return str(image.unique_id)


def put_tag(layer: "Layer", role: str, movie: str = "", plane: tuple[int, ...] = ()) -> None:
    """Make a layer this plugin's."""
    layer.metadata[ROLE] = Tag(role, movie_id(layer), movie, plane)


def tag_of(layer: "Layer") -> Tag | None:
    """The tag of a layer; None for every layer of the user, copies of tagged ones too."""
    tag = layer.metadata.get(ROLE)
    return tag if isinstance(tag, Tag) and tag.owner == movie_id(layer) else None


def is_output(layer: "Layer") -> bool:
    """Whether a layer shows what the plugin computed: neither the user's nor one of marks."""
    tag = tag_of(layer)
    return tag is not None and tag.role not in ("points", "boxes")


def layer_name(viewer: Any, name: str, role: str, movie: "Layer") -> str:
    """A name for the first layer of a role, which says of which movie the later ones are."""
    tags = (tag_of(layer) for layer in viewer.layers)
    return f"{name} of {movie.name}" if any(tag is not None and tag.role == role for tag in tags) else name


def tagged(viewer: Any, role: str, movie: str = "", plane: tuple[int, ...] = ()) -> "Iterator[Any]":
    """Layers of the viewer with exactly this tag."""
    for layer in viewer.layers:
        tag = tag_of(layer)
        if tag is not None and (tag.role, tag.movie, tag.plane) == (role, movie, plane):
            yield layer
