"""Networks from configurations in sam2's own YAML form: the shipped one, the official ones, those of anybody.

Such a file names classes to be called with given arguments (``_target_``, as hydra has it), so a hostile one could
call anything. Here the names are looked up in a fixed table of SAM 2's building blocks, never imported; hydra takes
no part.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_mosam.core.config.json_files import MAX_DEPTH, read_text
from napari_mosam.core.model.build import (
    MAX_CONFIG_BYTES,
    NOT_A_MODEL,
    ModelError,
    check_size,
    not_a_model,
    refuse_weights_path,
)

if TYPE_CHECKING:
    from sam2.modeling.sam2_base import SAM2Base

Description = dict[str, Any]
"""A network as nested dictionaries: '_target_' names the class of each part, the other entries are its arguments."""

Blocks = Mapping[str, Callable[..., Any]]

YAML_SUFFIXES = (".yaml", ".yml")
_FOLDERS = ("sam2.1", "sam2")


def build_official(config_name: str, image_size: int) -> "SAM2Base":
    """A network of one of the official sizes, from the configuration inside the sam2 package."""
    path = official_config(config_name)
    if path is None:
        raise ModelError(f"the installed sam2 has no configuration '{config_name}'; it has {', '.join(_official())}")
    return build_from_yaml(path, image_size)


def build_from_yaml(path: Path, image_size: int | None = None) -> "SAM2Base":
    """A network from a YAML configuration, see :func:`read_description` and :func:`build_network`."""
    return build_network(read_description(path, image_size), path.name)


def read_description(path: Path, image_size: int | None = None) -> Description:
    """What a YAML configuration says of a network.

    Where it does not say whether masks of prompted frames are binarised before they are remembered, they are: sam2's
    video builder has it so.

    Parameters
    ----------
    path : Path
        A file as sam2 has them: the network is described under 'model', or by the whole file.
    image_size : int or None
        Side of the input, px, a multiple of 32; None takes the one of the configuration.

    Raises
    ------
    ModelError
        If the file cannot be read, or describes no network.
    """
    with _told(path.name):
        description = _read(path)
        _set_size(description, check_size(image_size or int(description["image_size"])))
    return {"binarize_mask_from_pts_for_mem_enc": True, **description}


def at_size(description: Description, image_size: int) -> Description:
    """The same network for inputs of another side, px; the one that is given stays as it is.

    Raises
    ------
    ModelError
        If the side is no multiple of 32.
    """
    changed = deepcopy(description)
    _set_size(changed, check_size(image_size))
    return changed


def build_network(description: Description, name: str) -> "SAM2Base":
    """The network of a description; its random weights depend on the order of its parts.

    Parameters
    ----------
    description : dict
        See :func:`read_description`.
    name : str
        Of the file, for what is said if it is wrong.

    Raises
    ------
    ModelError
        If it describes no network, or names anything but SAM 2's building blocks.
    """
    with _told(name):
        network: SAM2Base = _built(description, _blocks())
        if not hasattr(network, "memory_attention"):
            raise ValueError(f"it builds a {type(network).__name__} instead of a SAM2Base")
    return network


def written_out(description: Description) -> str:
    """A description as YAML that :func:`read_description` reads."""
    import yaml

    return str(yaml.safe_dump({"model": description}, sort_keys=False, default_flow_style=None, width=100))


def official_config(name: str) -> Path | None:
    """The configuration inside the sam2 package called `name`, in any of the ways sam2's users write it.

    'sam2.1_hiera_t.yaml', 'sam2.1_hiera_t' and 'configs/sam2.1/sam2.1_hiera_t.yaml' are the same; None if there is
    none.
    """
    last = name.replace("\\", "/").rpartition("/")[2]
    return _official().get(last if last.endswith(YAML_SUFFIXES) else f"{last}.yaml")


@contextmanager
def _told(name: str) -> Iterator[None]:
    """What a wrong configuration raises, in the user's words."""
    try:
        yield
    except ModelError:
        raise
    except NOT_A_MODEL as error:
        raise not_a_model(name, error) from error


def _official() -> dict[str, Path]:
    from importlib.util import find_spec

    package = find_spec("sam2")
    home = Path(str(package.origin)).parent if package is not None else Path()
    return {path.name: path for folder in _FOLDERS for path in sorted((home / "configs" / folder).glob("*.yaml"))}


def _read(path: Path) -> Description:
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    text = read_text(path, MAX_CONFIG_BYTES)
    try:
        _check_plain(text)
        content = OmegaConf.to_container(OmegaConf.load(StringIO(text)))
    except (OmegaConfBaseException, YAMLError) as error:
        raise ValueError(" ".join(str(error).split())) from error
    description = content.get("model", content) if isinstance(content, dict) else None
    if not isinstance(description, dict) or "_target_" not in description:
        raise ValueError("no section 'model' with a '_target_'")
    return {str(key): value for key, value in description.items()}


def _check_plain(text: str) -> None:
    """Refuse YAML that is more than nested maps and lists of words and numbers, before anything is made of it."""
    import yaml

    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        line = f"line {event.start_mark.line + 1}"
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise ModelError(f"a configuration may not use anchors and aliases (& and *, {line}); write the part out")
        if getattr(event, "tag", None):
            raise ModelError(f"a configuration may not use tags ('{event.tag:.60}', {line}); take it out")
        if isinstance(event, yaml.ScalarEvent) and "${" in event.value:
            raise ModelError(
                f"a configuration may not refer to other values ('{event.value:.60}', {line}); write it out"
            )
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise ModelError(f"a configuration may not be nested deeper than {MAX_DEPTH} levels ({line})")


def _set_size(description: Description, size: int) -> None:
    description["image_size"] = size
    for name in ("self_attention", "cross_attention"):
        description["memory_attention"]["layer"][name]["feat_sizes"] = [size // 16, size // 16]


def _built(node: Any, blocks: Blocks) -> Any:
    """The object that a node describes, its parts first."""
    if isinstance(node, list):
        return [_built(item, blocks) for item in node]
    if not isinstance(node, Mapping):
        return node
    directives = sorted(str(key) for key in node if str(key).startswith("_") and key != "_target_")
    if directives:
        raise ModelError(f"a configuration may not use '{directives[0]}'; take that line out")
    arguments = {key: _built(value, blocks) for key, value in node.items() if key != "_target_"}
    if "_target_" not in node:
        return arguments
    target = str(node["_target_"])
    if target not in blocks:
        raise ModelError(
            f"a configuration may not call '{target}'; allowed are SAM 2's building blocks: {', '.join(blocks)}"
        )
    refuse_weights_path(arguments)
    return blocks[target](**arguments)


def _blocks() -> Blocks:
    from napari_mosam.core.model.sam2_blocks import (
        CXBlock,
        FpnNeck,
        Fuser,
        Hiera,
        ImageEncoder,
        MaskDownSampler,
        MemoryAttention,
        MemoryAttentionLayer,
        MemoryEncoder,
        PositionEmbeddingSine,
        RoPEAttention,
        SAM2Base,
    )

    return {
        "sam2.modeling.sam2_base.SAM2Base": SAM2Base,
        "sam2.modeling.backbones.image_encoder.ImageEncoder": ImageEncoder,
        "sam2.modeling.backbones.hieradet.Hiera": Hiera,
        "sam2.modeling.backbones.image_encoder.FpnNeck": FpnNeck,
        "sam2.modeling.position_encoding.PositionEmbeddingSine": PositionEmbeddingSine,
        "sam2.modeling.memory_attention.MemoryAttention": MemoryAttention,
        "sam2.modeling.memory_attention.MemoryAttentionLayer": MemoryAttentionLayer,
        "sam2.modeling.sam.transformer.RoPEAttention": RoPEAttention,
        "sam2.modeling.memory_encoder.MemoryEncoder": MemoryEncoder,
        "sam2.modeling.memory_encoder.MaskDownSampler": MaskDownSampler,
        "sam2.modeling.memory_encoder.Fuser": Fuser,
        "sam2.modeling.memory_encoder.CXBlock": CXBlock,
    }
