"""Models by name, and weights that are missing, damaged, hostile or made for another network."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from napari_mosam.core.model import catalogue
from napari_mosam.core.model.build import ModelError, read_weights
from napari_mosam.core.model.configs import build_official
from napari_mosam.core.model.device import DeviceError
from napari_mosam.core.model.protocol import PointPrompts
from napari_mosam.core.model.registry import available_models, cache_folder, load_model, model_info

SHIPPED = catalogue.SHIPPED
OFFICIAL = [info for info in available_models() if not info.shipped]


@pytest.fixture
def copy(tmp_path):
    """A copy of nano that a test may spoil."""
    for suffix in (".safetensors", ".yaml"):
        shutil.copyfile(SHIPPED / f"nano{suffix}", tmp_path / f"mine{suffix}")
    return tmp_path / "mine.safetensors"


# ---- names


def test_nano_is_shipped_and_the_official_sizes_are_known():
    names = [info.name for info in available_models()]
    assert names == ["nano", "sam2.1-tiny", "sam2.1-small", "sam2.1-base-plus", "sam2.1-large"]
    nano = model_info("nano")
    assert nano.shipped
    assert nano.path == SHIPPED / "nano.safetensors"
    assert hashlib.sha256(nano.path.read_bytes()).hexdigest() == nano.sha256
    said = json.loads(nano.path.with_suffix(".json").read_text())
    assert (said["name"], said["sha256"], said["licence"]) == (nano.name, nano.sha256, nano.licence)


def test_the_cache_folder_can_be_named(monkeypatch, tmp_path):
    monkeypatch.setenv("MOSAM_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    assert model_info("sam2.1-tiny").path is None
    (tmp_path / "sam2.1_hiera_tiny.pt").write_bytes(b"")
    assert model_info("sam2.1-tiny").path == tmp_path / "sam2.1_hiera_tiny.pt"
    monkeypatch.delenv("MOSAM_CACHE")
    assert cache_folder() != tmp_path


def test_an_unknown_name_lists_the_known():
    with pytest.raises(ModelError, match="there is no model 'micro'; choose one of nano, sam2.1-tiny"):
        load_model("micro")


def test_weights_that_are_not_here_say_where_to_put_them(monkeypatch, tmp_path):
    monkeypatch.setenv("MOSAM_CACHE", str(tmp_path))
    expected = (
        r"run 'mosam models download sam2.1-tiny' \(156 MB\), or put 'sam2.1_hiera_tiny.pt' from "
        f"https://dl.fbaipublicfiles.com/.* into '{tmp_path}'.*nano"
    )
    with pytest.raises(ModelError, match=expected):
        load_model("sam2.1-tiny")
    other = tmp_path / "offline"
    with pytest.raises(ModelError, match=f"into '{other}'"):
        load_model("sam2.1-tiny", folder=other)


# ---- weights that cannot be used


def test_a_copy_of_nano_loads_by_its_path(copy):
    model = load_model(copy, image_size=64)
    assert (model.name, model.image_size, model.num_maskmem) == ("mine", 64, 7)
    assert not model.network.training


@pytest.mark.parametrize("kept", [0, 5, 1000, 1_000_000])
def test_truncated_weights(copy, kept):
    copy.write_bytes(copy.read_bytes()[:kept])
    with pytest.raises(ModelError, match="'mine.safetensors' is damaged"):
        load_model(copy)
    with pytest.raises(ModelError, match="'mine.safetensors' is damaged"):
        load_model("nano", weights=copy)


def test_the_shipped_weights_are_checked_by_their_hash(copy, monkeypatch, tmp_path):
    spoiled = bytearray(copy.read_bytes())
    spoiled[-1] ^= 1
    (tmp_path / "nano.safetensors").write_bytes(spoiled)
    monkeypatch.setattr(catalogue, "SHIPPED", tmp_path)
    with pytest.raises(ModelError, match="SHA-256 differs.*reinstall"):
        load_model("nano")
    (tmp_path / "nano.safetensors").unlink()
    with pytest.raises(ModelError, match="missing from the package; reinstall"):
        load_model("nano")


def test_the_weights_of_a_known_name_are_checked_by_their_hash(tiny, monkeypatch, tmp_path):
    (tmp_path / tiny.name).symlink_to(tiny)
    with pytest.raises(ModelError, match="not the one of 'sam2.1-tiny'.*mosam models download sam2.1-tiny"):
        load_model("sam2.1-tiny", folder=tmp_path, image_size=64)


def test_weights_of_another_network(copy):
    weights = load_file(copy)
    first, second, *_ = sorted(weights)
    weights["stranger"] = weights.pop(first)
    weights[second] = torch.zeros(3, 3, 3)
    save_file(weights, copy)
    expected = rf"1 \({first}\) missing, 1 \(stranger\) unexpected, 1 \({second} \(3, 3, 3\) instead of .*another shape"
    with pytest.raises(ModelError, match=expected):
        load_model(copy)


def test_of_many_weights_that_do_not_fit_the_first_are_named(copy):
    weights = load_file(copy)
    names = sorted(weights)[:5]
    save_file({f"x.{name}" if name in names else name: tensor for name, tensor in weights.items()}, copy)
    listed = ", ".join(names[:3])
    with pytest.raises(ModelError, match=rf"5 \({listed} …\) missing, 5 \(x.{names[0]}, .* …\) unexpected, 0 of"):
        load_model(copy)


def test_weights_without_their_configuration(copy):
    copy.with_suffix(".yaml").unlink()
    with pytest.raises(ModelError, match="'mine.safetensors' needs its configuration in 'mine.yaml' beside it"):
        load_model(copy)


@pytest.mark.parametrize("text", ["{", "{}", "[]"])
def test_configurations_that_cannot_be_read(copy, text):
    copy.with_suffix(".yaml").write_text(text)
    with pytest.raises(ModelError, match="mine.yaml"):
        load_model(copy)


def test_a_missing_file(tmp_path):
    with pytest.raises(ModelError, match="no weights at .*gone.pt"):
        load_model("nano", weights=tmp_path / "gone.pt")


class Hostile:
    """Would touch a file when unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_a_pickle_with_code_in_it_is_refused_and_not_run(tmp_path):
    trap, path = tmp_path / "trap", tmp_path / "evil.pt"
    torch.save({"model": {"weight": Hostile(trap)}}, path)
    with pytest.raises(ModelError, match="'evil.pt' is damaged or not a tensors-only file"):
        load_model("sam2.1-tiny", weights=path, image_size=64)
    assert not trap.exists()


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 cut off"])
def test_a_damaged_checkpoint(tmp_path, content):
    (tmp_path / "bad.pt").write_bytes(content)
    with pytest.raises(ModelError, match="'bad.pt' is damaged"):
        load_model("nano", weights=tmp_path / "bad.pt", image_size=64)


def test_a_checkpoint_of_something_else(tmp_path):
    torch.save({"model": {"layer.weight": torch.zeros(2)}}, tmp_path / "other.pt")
    with pytest.raises(ModelError, match=r"do not fit this model: .* missing, 1 \(layer.weight\) unexpected"):
        load_model("nano", weights=tmp_path / "other.pt", image_size=64)


def test_a_checkpoint_without_tensors(tmp_path):
    torch.save({"model": 5}, tmp_path / "five.pt")
    with pytest.raises(ModelError, match=r"five.pt"):
        load_model("nano", weights=tmp_path / "five.pt", image_size=64)
    torch.save({"epoch": 5, "loss": 0.1}, tmp_path / "log.pt")
    with pytest.raises(ModelError, match=r"'log.pt' holds no weights: 2 \(epoch, loss\) are no tensors"):
        load_model("nano", weights=tmp_path / "log.pt", image_size=64)


# ---- sizes and devices


@pytest.mark.parametrize("size", [32, 100, -64, 255])
def test_impossible_input_sizes(size):
    with pytest.raises(ModelError, match=f"input size of {size} px is not possible; use a multiple of 32"):
        load_model("nano", image_size=size)


@pytest.mark.parametrize("size", [64, 96, 192])
def test_one_network_is_built_for_every_input_size(size):
    model = load_model("nano", image_size=size)
    features = model.encode_image(torch.rand(2, size, size))
    assert features.vision.shape[-2:] == (size // 16, size // 16)
    centre = PointPrompts(torch.full((2, 1, 2), size / 2), torch.ones(2, 1, dtype=torch.int32))
    assert model.decode_masks(features, model.without_memory(features), points=centre).logits.shape == (
        2,
        3,
        size // 4,
        size // 4,
    )


def test_cuda_without_a_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(DeviceError, match="device 'cuda' is not available here; use .*cpu"):
        load_model("nano", device="cuda")


def test_an_unknown_precision():
    with pytest.raises(ValueError, match="dtype 'float16' is not possible; allowed: float32, bfloat16"):
        load_model("nano", dtype="float16", image_size=64)


# ---- the official sizes, with random weights


@pytest.mark.parametrize(
    "info", [*OFFICIAL[:-1], pytest.param(OFFICIAL[-1], marks=pytest.mark.slow)], ids=lambda info: info.name
)
def test_the_official_sizes_build(info):
    network = build_official(info.config, 256)
    millions = sum(p.numel() for p in network.parameters()) / 1e6
    assert millions == pytest.approx(info.parameters, abs=0.1)
    assert network.image_size == 256
    assert network.binarize_mask_from_pts_for_mem_enc
    assert network.directly_add_no_mem_embed


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """sam2.1-tiny with random weights, saved as the official checkpoints are."""
    path = tmp_path_factory.mktemp("weights") / "sam2.1_hiera_tiny.pt"
    torch.manual_seed(0)
    torch.save({"model": build_official("sam2.1_hiera_t.yaml", 256).state_dict()}, path)
    return path


def test_an_official_checkpoint_loads_and_segments(tiny):
    from tests.support.fake_model import disks

    from napari_mosam.core.api import segment
    from napari_mosam.core.prompts.collection import BoxPrompt, MaskPrompt

    model = load_model("sam2.1-tiny", weights=tiny, image_size=256, dtype="float32")
    assert (model.name, model.image_size, model.num_maskmem) == ("sam2.1-tiny", 256, 7)
    images, labels = disks([[(40, 40 + t)] for t in range(3)])
    prompts = [MaskPrompt.from_frame(1, 0, labels[0] == 1), BoxPrompt(2, 1, (60, 60, 80, 80))]
    results = list(segment(images, prompts, model=model, memory="sam2"))
    assert [(r.direction, r.t) for r in results] == [("forward", 0), ("forward", 1), ("forward", 2), ("backward", 0)]
    for item in (o for r in results for o in r.objects):
        assert 0 <= item.predicted_iou <= 1
        assert torch.isfinite(torch.from_numpy(item.logits)).all()


def test_an_official_checkpoint_loads_by_its_path(tiny):
    assert load_model(tiny, image_size=256).name == "sam2.1-tiny"


def test_a_checkpoint_of_another_name_needs_a_configuration(tmp_path):
    (tmp_path / "mine.pt").touch()
    with pytest.raises(ModelError, match="'mine.pt' needs its configuration in 'mine.yaml' beside it, or by name"):
        load_model(tmp_path / "mine.pt")
    with pytest.raises(ModelError, match="no weights at .*gone.pt"):
        load_model(tmp_path / "gone.pt")


def test_an_official_checkpoint_is_read_without_its_wrapping(tiny):
    wrapped = read_weights(tiny)
    assert "maskmem_tpos_enc" in wrapped


def test_a_checkpoint_of_another_size_is_refused(tiny):
    with pytest.raises(ModelError, match="do not fit this model.*choose the model or the configuration they were"):
        load_model("nano", weights=tiny)


@pytest.mark.slow
@pytest.mark.parametrize("info", OFFICIAL, ids=lambda info: info.name)
def test_every_official_size_tracks_at_its_own_input_size(info, tmp_path):
    from tests.support.fake_model import disks

    from napari_mosam.core.api import segment
    from napari_mosam.core.prompts.collection import MaskPrompt

    torch.save({"model": build_official(info.config, info.image_size).state_dict()}, tmp_path / info.file)
    model = load_model(info.name, weights=tmp_path / info.file)
    assert model.image_size == 512
    images, labels = disks([[(40, 40 + t)] for t in range(2)])
    assert len(list(segment(images, [MaskPrompt.from_frame(1, 0, labels[0] == 1)], model=model))) == 2
