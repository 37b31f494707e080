"""Training data of the saliency network, and short runs of it and of ICNet."""

from pathlib import Path

import numpy as np
import pytest
import torch

from likewise.errors import ModelError
from likewise.models.icnet import ICNet
from likewise.models.saliency import SaliencyNet
from likewise.train.loop import train
from likewise.train.recipes.load import load_recipe
from likewise.train.recipes.schema import Recipe
from likewise.train.samples.images import TrainingImages
from likewise.weights.load import load_trained
from support.fakes import block, make_voc, noise, write_image


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """PASCAL and two co-saliency groups, in the folders that the recipes name."""
    root = make_voc(tmp_path / "data")
    for offset, group in enumerate(("cat", "cow")):
        for index in range(1, 7):
            write_image(root / f"VOC-coseg/image/{group}/{index}.jpg", noise(5000 + 10 * offset + index))
            write_image(root / f"VOC-coseg/gt/{group}/{index}.png", block(255, index, border=0))
    return root


def recipe(data: Path, name: str, *overrides: str) -> Recipe:
    sources = "[{set: pascal5i, folder: .}, {set: cosaliency, folder: VOC-coseg, weight: 2}]"
    return load_recipe(name, [f"data.root={data}", f"data.sources={sources}", "workers=0", *overrides])


def test_every_labelled_object_is_salient_and_boundaries_are_ignored(data):
    images = TrainingImages(recipe(data, "saliency-lite0", "data.size=64"))
    batches = [images.item(step, 0) for step in range(12)]
    assert {tuple(batch.images.shape) for batch in batches} == {(1, 64, 64, 3)}
    assert {tuple(batch.labels.shape) for batch in batches} == {(1, 64, 64)}
    assert {value for batch in batches for value in batch.labels.unique().tolist()} == {0, 1, 255}
    assert all((batch.labels == 1).any() for batch in batches)


def test_an_item_depends_on_step_and_place_only_and_leaves_the_global_generator_alone(data):
    images = TrainingImages(recipe(data, "saliency-lite0", "data.size=64"))
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    one, again = images.item(3, 1), images.item(3, 1)
    assert torch.equal(one.images, again.images)
    assert torch.equal(one.labels, again.labels)
    assert not torch.equal(one.images, images.item(4, 1).images)
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.slow
def test_a_saliency_run_and_an_icnet_run_with_its_maps_leave_models_that_load(data, tmp_path):
    few = ("steps=2", "batch=2", "schedule.warm_up=0")
    first = train(recipe(data, "saliency-lite0", "data.size=64", *few), tmp_path / "saliency")
    network, classes = load_trained(first)
    assert isinstance(network, SaliencyNet)
    assert "cow" in classes
    maps = (
        f"data.maps={first}",
        f"model.start={first}",
        "data.images=2",
        "model.learn=[blocks.5]",
        "data.disturb=1",
        "batch=1",
    )
    second = train(recipe(data, "icnet-lite0", *few, *maps), tmp_path / "icnet")
    network, _ = load_trained(second)
    assert isinstance(network, ICNet)
    start = train(recipe(data, "icnet-lite0", *few, *maps, "steps=1"), tmp_path / "one-step")
    states = [load_trained(run)[0].state_dict() for run in (start, second)]
    changed = {name for name in states[0] if not torch.equal(states[0][name], states[1][name])}
    assert any(name.startswith("backbone.net.blocks.5") for name in changed)
    assert not any(name.startswith("backbone.net.blocks.4") for name in changed)
    assert np.isfinite([value.float().sum() for value in states[1].values()]).all()


@pytest.mark.slow
def test_a_module_that_the_backbone_lacks_is_refused_with_the_nearest(data, tmp_path):
    with pytest.raises(ModelError, match=r"blocks\.55.*blocks\.5"):
        train(recipe(data, "saliency-lite0", "model.learn=[blocks.55]"), tmp_path / "run")
