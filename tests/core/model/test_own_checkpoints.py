"""Checkpoints of anybody, with a configuration of anybody: what fits is loaded, nothing in either is executed."""

import shutil
import sys
from itertools import pairwise
from pathlib import Path

import pytest
import sam2
import torch
from omegaconf import OmegaConf

from napari_mosam.core.model.build import ModelError
from napari_mosam.core.model.configs import (
    build_from_yaml,
    build_official,
    official_config,
    read_description,
    written_out,
)
from napari_mosam.core.model.registry import load_model, model_info

TINY_CONFIG = Path(sam2.__file__).parent / "configs" / "sam2.1" / "sam2.1_hiera_t.yaml"


def small_config(**changes):
    """A configuration of a network that is built in no time, changed by dotted names."""
    config = OmegaConf.load(TINY_CONFIG)
    small = {
        "image_encoder.trunk.embed_dim": 24,
        "image_encoder.trunk.stages": [1, 1, 2, 1],
        "image_encoder.trunk.global_att_blocks": [3],
        "image_encoder.neck.backbone_channel_list": [192, 96, 48, 24],
        "memory_attention.num_layers": 1,
        "image_size": 128,
    }
    for name, value in {**small, **{key.replace("__", "."): value for key, value in changes.items()}}.items():
        OmegaConf.update(config.model, name, value, force_add=True)
    return config


@pytest.fixture(scope="module")
def tuned(tmp_path_factory):
    """A network of an odd size: its configuration as YAML, and its weights as sam2's training saves them."""
    folder = tmp_path_factory.mktemp("tuned")
    OmegaConf.save(small_config(), folder / "mine.yaml")
    torch.manual_seed(1)
    network = build_from_yaml(folder / "mine.yaml")
    torch.save({"model": network.state_dict(), "epoch": 3}, folder / "mine.pt")
    return folder


@pytest.fixture
def mine(tuned, tmp_path):
    """A copy of it that a test may spoil."""
    shutil.copytree(tuned, tmp_path, dirs_exist_ok=True)
    return tmp_path / "mine.pt"


# ---- what fits


def test_a_checkpoint_with_its_yaml(mine):
    model = load_model(mine, config=mine.with_suffix(".yaml"))
    assert (model.name, model.image_size) == ("mine", 128)
    stored = torch.load(mine, weights_only=True)["model"]
    assert all(torch.equal(tensor, stored[name]) for name, tensor in model.network.state_dict().items())
    assert load_model(str(mine), config=str(mine.with_suffix(".yaml")), image_size=64).image_size == 64


def test_it_segments(mine):
    from tests.support.fake_model import disks

    from napari_mosam.core.api import segment
    from napari_mosam.core.prompts.collection import MaskPrompt

    images, labels = disks([[(40, 40 + t)] for t in range(2)])
    model = load_model(mine, config=mine.with_suffix(".yaml"), dtype="float32")
    results = list(segment(images, [MaskPrompt.from_frame(1, 0, labels[0] == 1)], model=model))
    assert [result.t for result in results] == [0, 1]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(mine, value):
    stored = torch.load(mine, weights_only=True)
    stored["model"]["no_mem_embed"].flatten()[3] = value
    torch.save(stored, mine)
    with pytest.raises(ModelError, match=r"'mine.pt' holds weights that are no numbers .*: 1 \(no_mem_embed\)"):
        load_model(mine)


def test_a_network_that_attends_to_a_dummy_memory_is_refused_when_it_is_loaded(mine):
    config = OmegaConf.load(mine.with_suffix(".yaml"))
    config.model.directly_add_no_mem_embed = False
    OmegaConf.save(config, mine.with_suffix(".yaml"))
    with pytest.raises(ModelError, match="directly_add_no_mem_embed = False is not possible"):
        load_model(mine, config=mine.with_suffix(".yaml"))


@pytest.mark.parametrize("container", ["model", "state_dict", None])
def test_the_usual_wrappings_are_taken_off(mine, container):
    stored = torch.load(mine, weights_only=True)["model"]
    torch.save(stored if container is None else {container: stored}, mine)
    assert load_model(mine, config=mine.with_suffix(".yaml")).name == "mine"


def test_nano_by_path_with_its_configuration_elsewhere(tmp_path):
    nano = model_info("nano").path
    shutil.copyfile(nano, tmp_path / "a.safetensors")
    shutil.copyfile(nano.with_suffix(".yaml"), tmp_path / "b.yaml")
    assert load_model(tmp_path / "a.safetensors", config=tmp_path / "b.yaml", image_size=64).name == "a"
    assert load_model(tmp_path / "a.safetensors", config="nano", image_size=64).image_size == 64


@pytest.mark.parametrize(
    "name",
    ["sam2.1_hiera_t.yaml", "sam2.1_hiera_t", "configs/sam2.1/sam2.1_hiera_t.yaml", "configs\\sam2.1\\sam2.1_hiera_t"],
)
def test_the_official_configurations_are_found_as_sam2_names_them(name):
    assert official_config(name) == TINY_CONFIG


@pytest.mark.parametrize("config", ["sam2.1-tiny", "sam2_hiera_t.yaml"])
def test_a_fine_tuned_official_size(tmp_path, config):
    name = config if config.startswith("sam2_") else "sam2.1_hiera_t"
    torch.save({"model": build_official(name, 64).state_dict()}, tmp_path / "tuned.pt")
    assert load_model(tmp_path / "tuned.pt", config=config, image_size=64).name == "tuned"


def test_networks_are_what_hydra_builds(tmp_path):
    """The same configuration, by sam2's own way and by ours, gives the same parameters in the same places."""
    from hydra.utils import instantiate

    OmegaConf.save(small_config(), tmp_path / "c.yaml")
    torch.manual_seed(0)
    theirs = instantiate(small_config(memory_attention__layer__self_attention__feat_sizes=[8, 8]).model)
    torch.manual_seed(0)
    ours = build_from_yaml(tmp_path / "c.yaml")
    assert repr(ours) == repr(theirs)
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))


def test_what_a_configuration_says_of_masks_of_prompted_frames_holds(tmp_path):
    """sam2's video builder binarises them where nothing is said; nano was trained without."""
    OmegaConf.save(small_config(), tmp_path / "c.yaml")
    assert build_from_yaml(tmp_path / "c.yaml").binarize_mask_from_pts_for_mem_enc
    assert not load_model("nano").network.binarize_mask_from_pts_for_mem_enc


def test_a_description_is_written_as_it_is_read(tmp_path):
    OmegaConf.save(small_config(), tmp_path / "c.yaml")
    description = read_description(tmp_path / "c.yaml", 64)
    (tmp_path / "again.yaml").write_text(written_out(description))
    assert read_description(tmp_path / "again.yaml") == description
    assert (description["image_size"], load_model("nano", image_size=64).image_size) == (64, 64)
    assert description["memory_attention"]["layer"]["cross_attention"]["feat_sizes"] == [4, 4]


# ---- what does not fit


def test_another_configuration_lists_what_does_not_fit(mine):
    OmegaConf.save(small_config(memory_attention__num_layers=2), mine.with_name("two.yaml"))
    expected = (
        r"'mine.pt' do not fit this model: \d+ \(memory_attention.layers.1.*, .*, .* …\) missing, 0 unexpected, 0 of"
    )
    with pytest.raises(ModelError, match=expected):
        load_model(mine, config=mine.with_name("two.yaml"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no section 'model'"),
        ("- 1", "no section 'model'"),
        ("model: 5", "no section 'model'"),
        ("model: {image_size: 64}", "no section 'model' with a '_target_'"),
        ("model: [", "does not describe a model"),
        ("model: {_target_: sam2.modeling.sam2_base.SAM2Base}", "KeyError"),
        ("model: {_target_: x, image_size: 100}", "input size of 100 px is not possible"),
        ("model: ${nowhere}", "nowhere"),
        ("\x00", "does not describe a model"),
    ],
)
def test_configurations_that_describe_nothing(mine, text, message):
    mine.with_name("bad.yaml").write_text(text)
    with pytest.raises(ModelError, match=message):
        load_model(mine, config=mine.with_name("bad.yaml"))


def test_a_configuration_that_builds_something_else(mine):
    config = small_config(_target_="sam2.modeling.memory_encoder.MaskDownSampler")
    OmegaConf.save(config, mine.with_name("other.yaml"))
    with pytest.raises(ModelError, match="does not describe a model"):
        load_model(mine, config=mine.with_name("other.yaml"))


@pytest.mark.parametrize(
    ("config", "message"), [("gone.yaml", "there is no configuration 'gone.yaml'"), ("c.json", "of no known kind")]
)
def test_configurations_that_are_not_there(mine, config, message, monkeypatch):
    monkeypatch.chdir(mine.parent)
    Path("c.json").touch()
    with pytest.raises(ModelError, match=message):
        load_model(mine, config=config)


def test_a_configuration_goes_with_a_path(mine):
    with pytest.raises(ModelError, match="goes with the path of a checkpoint .*, not with 'nano'"):
        load_model("nano", config=mine.with_suffix(".yaml"))


# ---- what would do harm


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "builtins.eval",
        "subprocess.Popen",
        "torch.load",
        "sam2.modeling.sam2_base.torch.load",  # reachable through a module of sam2's
        "sam2.build_sam.build_sam2",
        "sam2.modeling.sam2_base.SAM2Base.__init__",
    ],
)
@pytest.mark.parametrize("place", ["memory_encoder.fuser.layer", "image_encoder.trunk", None])
def test_nothing_but_building_blocks_is_called(mine, target, place):
    trap = mine.with_name("trap")
    harm = {"_target_": target, "command": f"touch {trap}", "image_size": 64}
    config = small_config()
    if place:
        OmegaConf.update(config.model, place, harm, merge=False)
    else:
        OmegaConf.update(config.model, "_target_", target)
    OmegaConf.save(config, mine.with_name("evil.yaml"))
    with pytest.raises(ModelError, match=f"may not call '{target}'; allowed are SAM 2's building blocks: sam2."):
        load_model(mine, config=mine.with_name("evil.yaml"))
    assert not trap.exists()


def test_a_reference_is_refused_and_not_resolved(mine, monkeypatch):
    monkeypatch.setenv("SECRET", "sam2.modeling.memory_encoder.MemoryEncoder")
    OmegaConf.save(small_config(memory_encoder___target_="${oc.env:SECRET}"), mine.with_name("evil.yaml"))
    with pytest.raises(ModelError, match=r"may not refer to other values \('\$\{oc.env:SECRET\}', line \d+\)"):
        load_model(mine, config=mine.with_name("evil.yaml"))


@pytest.mark.parametrize("directive", ["_partial_", "_args_", "_recursive_", "_convert_"])
def test_directives_of_hydra_are_refused(mine, directive):
    OmegaConf.save(small_config(**{f"memory_encoder__{directive}": True}), mine.with_name("evil.yaml"))
    with pytest.raises(ModelError, match=f"may not use '{directive}'"):
        load_model(mine, config=mine.with_name("evil.yaml"))


def test_python_objects_in_yaml_are_not_made(mine):
    trap = mine.with_name("trap")
    mine.with_name("evil.yaml").write_text(f"model: !!python/object/apply:os.system ['touch {trap}']")
    with pytest.raises(ModelError, match="may not use tags .*python/object/apply:os.system', line 1"):
        load_model(mine, config=mine.with_name("evil.yaml"))
    assert not trap.exists()


LAUGHS = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]\n" for a, b in pairwise("abcdefghi")
)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("laughs.yaml", LAUGHS, r"may not use anchors and aliases \(& and \*, line 1\)"),
        ("merged.yaml", "model: {a: &a {b: 1}, c: {<<: *a}}", "may not use anchors"),
        ("tag.yaml", "model: !!set {a}", "may not use tags"),
        ("own.yaml", "model: !mine {a: 1}", "may not use tags"),
        ("deep.yaml", "[" * 10_000, "may not be nested deeper than 32 levels"),
        ("large.yaml", "# " + "x" * 100_000, "more than 100 kB"),
        ("twice.yaml", "model: {image_size: 64, image_size: 96}", "duplicate key"),
        ("bytes.yaml", b"model: \xff", "not text in UTF-8"),
    ],
)
def test_configurations_that_no_parser_should_be_given(mine, name, text, message):
    path = mine.with_name(name)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ModelError, match=message):
        load_model(mine, config=path)


@pytest.mark.parametrize("which", ["model", "weights", "config"])
def test_checkpoints_and_configurations_are_no_addresses(mine, which):
    address = "https://example.org/sam2.1_hiera_t.yaml" if which == "config" else "s3://bucket/nano.safetensors"
    given = {"model": mine, "config": mine.with_suffix(".yaml")} | {which: address}
    with pytest.raises(ModelError, match=f"'{address}' is an address, but"):
        load_model(**given)


class Hostile:
    """Would touch a file when unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_a_configuration_cannot_have_another_file_unpickled(mine):
    """sam2's trunk reads the file named by 'weights_path' while it is built, code and all."""
    trap, other = mine.with_name("trap"), mine.with_name("other.pt")
    torch.save(Hostile(trap), other)
    OmegaConf.save(small_config(image_encoder__trunk__weights_path=str(other)), mine.with_name("evil.yaml"))
    with pytest.raises(ModelError, match="may not name a file of weights"):
        load_model(mine, config=mine.with_name("evil.yaml"))
    assert not trap.exists()


def test_a_checkpoint_with_code_in_it_is_refused_and_not_run(mine):
    trap = mine.with_name("trap")
    torch.save({"model": {"weight": Hostile(trap)}}, mine)
    with pytest.raises(ModelError, match="'mine.pt' is damaged or not a tensors-only file"):
        load_model(mine, config=mine.with_suffix(".yaml"))
    assert not trap.exists()


def test_no_module_is_imported_for_a_name(mine):
    sys.modules.pop("antigravity", None)
    OmegaConf.save(small_config(memory_encoder___target_="antigravity.fly"), mine.with_name("evil.yaml"))
    with pytest.raises(ModelError, match="may not call"):
        load_model(mine, config=mine.with_name("evil.yaml"))
    assert "antigravity" not in sys.modules
