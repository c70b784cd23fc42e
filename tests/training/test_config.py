"""Recipes: every file in the repository is read, and what cannot be is refused."""

import pytest
from training.config import LossConfig, StageConfig, TrainingConfig
from training.nano.networks import description_of, new_network, size_in_millions
from training.recipes import CONFIGS, from_dict, read_config
from training.run import adjusted, parser, recipe_path

from napari_mosam.core.model.configs import build_network

RECIPES = sorted(path.stem for path in CONFIGS.glob("*.toml"))


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_is_read_and_its_network_built(name):
    config = read_config(CONFIGS / f"{name}.toml")
    description = description_of(config.model)
    network = build_network(description, name)
    assert network.image_size == description["image_size"]
    assert config.stages[-1].until == 1
    assert size_in_millions(network)["total"] < 14


def test_there_are_recipes_for_all_sizes():
    assert {"nano", "nano_continue", "pico", "mini", "smoke"} <= set(RECIPES)


def test_sizes_are_in_order():
    totals = [
        size_in_millions(build_network(description_of(read_config(CONFIGS / f"{name}.toml").model), name))["total"]
        for name in ("smoke", "pico", "nano", "mini")
    ]
    assert totals == sorted(totals)


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"speed": 1}, "unknown setting .*speed"),
        ({"data": {"stills": 1.5}}, "stills = 1.5"),
        ({"stages": [{"until": 0.5}]}, "stages"),
        ({"stages": [{"until": 1.0, "clips": 0}]}, "clips = 0"),
        ({"window": {"ratio": 20.0}}, "ratio_range"),
        ({"optimiser": {"rate": 1e-3}}, "seconds and steps"),
    ],
)
def test_impossible_settings_are_refused(given, match):
    with pytest.raises(ValueError, match=match):
        from_dict(TrainingConfig, given, "recipe")


def test_lists_become_tuples_and_the_rest_keeps_its_default():
    config = from_dict(TrainingConfig, {"loss": {"balanced": [0.3, 0.1]}, "data": {"kinds": ["dic"]}}, "recipe")
    assert config.loss == LossConfig(balanced=(0.3, 0.1))
    assert config.data.kinds == ("dic",)


def test_the_stage_depends_on_how_far_the_run_is():
    config = TrainingConfig(stages=(StageConfig(0.25, frames=1), StageConfig(1.0, frames=8)))
    assert [config.stage_at(p).frames for p in (0, 0.249, 0.25, 0.9, 1.0)] == [1, 1, 8, 8, 8]


def test_the_command_line_changes_length_and_batches():
    config = read_config(recipe_path("nano"))
    by_steps = adjusted(config, parser().parse_args(["nano", "--out", "x", "--steps", "7", "--clips", "2"]))
    assert (by_steps.optimiser.steps, by_steps.optimiser.seconds) == (7, 0)
    assert {stage.clips for stage in by_steps.stages} == {2}
    by_time = adjusted(config, parser().parse_args(["nano", "--out", "x", "--seconds", "9"]))
    assert (by_time.optimiser.steps, by_time.optimiser.seconds) == (0, 9)


def test_random_weights_depend_on_the_seed_alone():
    config = read_config(CONFIGS / "smoke.toml").model
    one, same, other = (new_network(config, description_of(config), seed).no_mem_embed for seed in (3, 3, 4))
    assert one.equal(same)
    assert not one.equal(other)
