"""Training data of ICNet: groups, their saliency maps and their augmentation."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from likewise.errors import DataSetError
from likewise.train.recipes.data_sections import Source
from likewise.train.recipes.load import load_recipe
from likewise.train.samples.groups import (
    ComputedMaps,
    GroupImage,
    TrainingGroups,
    degrade_map,
    other_class,
    paste_object,
)
from likewise.train.samples.sources import open_source
from likewise.weights.load import open_model
from likewise.weights.names import SALIENCY
from support.fakes import block, noise, write_image


@pytest.fixture
def groups(tmp_path: Path) -> Path:
    """Two groups of six images with masks, and maps that are 200 where the mask is and else 20."""
    for offset, group in enumerate(("cat", "cow")):
        for index in range(1, 7):
            mask = block(255, index, border=0)
            write_image(tmp_path / f"image/{group}/{index}.png", noise(10 * offset + index))
            write_image(tmp_path / f"gt/{group}/{index}.png", mask)
            write_image(tmp_path / f"sism/{group}/{index}.png", np.where(mask > 0, 200, 20).astype(np.uint8))
    return tmp_path


def open_groups(root: Path, *overrides: str) -> TrainingGroups:
    return TrainingGroups(load_recipe("icnet-voc", [f"data.root={root}", "data.images=3", *overrides]), 32)


def equal(one: Any, other: Any) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_a_group_has_images_maps_and_masks_of_one_class(groups):
    batch = open_groups(groups).item(0, 0)
    assert batch.images.shape == (1, 3, 32, 32, 3)
    assert batch.maps.shape == batch.masks.shape == (1, 3, 32, 32)
    assert set(batch.masks.unique().tolist()) == {0, 1}
    assert ((batch.maps > 110) == (batch.masks == 1)).float().mean() > 0.95


def test_an_item_depends_on_seed_step_and_place_only(groups):
    drawn = ("data.mirror=0.5", "data.crop=0.5", "data.disturb=0.5")
    one, again, other = open_groups(groups, *drawn), open_groups(groups, *drawn), open_groups(groups, *drawn, "seed=1")
    one.item(0, 0)
    assert equal(one.item(7, 1), again.item(7, 1))
    assert not equal(one.item(7, 1), one.item(8, 1))
    assert not equal(one.item(7, 1), one.item(7, 0))
    assert not equal(one.item(7, 1), other.item(7, 1))


def test_held_out_images_are_not_drawn(groups):
    held = ("data.held_out.folder=.", "data.held_out.every=3", "data.images=4")
    data = open_groups(groups, *held)
    assert data.sources.held_out == {"cat": ("3", "6"), "cow": ("3", "6")}
    assert {entry.image.split("/")[1] for _, dataset in data.sources.sets for entry in dataset.entries} == set("1245")
    assert data.record()["held out"] == data.sources.held_out


def test_a_named_saliency_model_computes_the_maps(groups):
    data = open_groups(groups, "data.maps=saliency-lite0")
    assert not equal(data.item(0, 0)[1:2], open_groups(groups).item(0, 0)[1:2])
    assert len(data.record()["saliency maps"]) == 16


def test_a_model_that_was_not_trained_on_the_class_computes_its_maps(groups):
    opened = open_model("saliency-lite0", SALIENCY)
    models = [replace(opened, trained_classes=classes) for classes in (("cat", "dog"), ("cow", "dog"))]
    dataset = open_groups(groups).sources.sets[0].dataset
    maps = ComputedMaps(models, dataset, 32)
    assert {maps.model_for(f"cat/{index}", "cat") for index in range(20)} == {1}
    assert {maps.model_for(f"cow/{index}", "cow") for index in range(20)} == {0}
    either = [maps.model_for(f"dog/{index}", "dog") for index in range(20)]
    assert set(either) == {0, 1}
    assert either == [maps.model_for(f"dog/{index}", "dog") for index in range(20)]
    assert maps("cat/1", "cat").shape == (32, 32)


def test_a_set_without_maps_and_without_a_saliency_model_is_refused(groups):
    (groups / "sism").rename(groups / "others")
    with pytest.raises(DataSetError, match=r"sism/.*data\.maps"):
        open_groups(groups)


def test_a_set_of_small_groups_is_refused(groups):
    with pytest.raises(DataSetError, match=r"9 images.*data\.images"):
        open_groups(groups, "data.images=9")


def test_degrading_a_map_changes_its_values_and_not_its_shape():
    sism = block(200, 3, 64, 80, border=20)
    kinds = [degrade_map(sism, np.random.default_rng(seed)) for seed in range(20)]
    for other in kinds:
        assert other.shape == sism.shape
        assert other.dtype == np.uint8
    # a blob can fall where the map is bright already
    assert sum(np.array_equal(other, sism) for other in kinds) <= 2
    assert len({other.tobytes() for other in kinds}) >= 18


def test_as_one_merges_all_classes_of_a_source(tmp_path):
    for index in range(1, 4):
        labels = block(7, index, border=0)
        labels[:6] = 3  # 480 pixels more, of another class
        write_image(tmp_path / f"CCP/photos/{index}.png", noise(index))
        write_image(tmp_path / f"CCP/labels/{index}.png", np.repeat(np.repeat(labels, 3, axis=0), 3, axis=1))
        write_image(tmp_path / f"CCP/photos/{index}.png", np.repeat(np.repeat(noise(index), 3, axis=0), 3, axis=1))
    source = Source(set="label_folders", folder=Path("CCP"), as_one="person")
    dataset = open_source(tmp_path, source)
    assert dataset.classes == ("person",)
    assert dataset.images_of == {"person": ("1", "2", "3")}
    shown = dataset.read_class("1", "person")
    assert (shown[:18] == 1).all()
    assert set(np.unique(shown)) == {0, 1}
    separate = open_source(tmp_path, source.model_copy(update={"as_one": None}))
    assert separate.classes == ("3", "7")


def with_box(box: tuple[slice, slice], grey: int) -> GroupImage:
    """A uniformly grey image with an object in a box, where its map is 250."""
    mask = np.zeros((40, 40), np.uint8)
    mask[box] = 1
    return GroupImage(np.full((40, 40, 3), grey, np.uint8), mask * 250, mask)


@pytest.mark.parametrize("common", [True, False])
def test_a_pasted_object_is_in_the_map_and_if_common_in_the_mask(common):
    member = with_box((slice(0, 4), slice(0, 4)), grey=10)
    other = with_box((slice(10, 30), slice(5, 15)), grey=200)
    for seed in range(10):
        pasted = paste_object(member, other, np.random.default_rng(seed), common=common)
        new = (pasted.image == 200).all(axis=2)
        rows, columns = new.any(axis=1).sum(), new.any(axis=0).sum()
        assert 8 <= rows <= 24
        assert abs(rows - 2 * columns) <= 2
        assert (pasted.sism[new] == 250).all()
        assert (pasted.mask[new] == common).all()
        for one, before in zip(pasted, member, strict=True):
            np.testing.assert_array_equal(one[~new], before[~new])


def test_an_object_that_would_hide_the_images_own_is_not_pasted():
    member = with_box((slice(0, 40), slice(0, 40)), grey=10)
    small = member._replace(mask=np.pad(np.ones((2, 2), np.uint8), 19))
    other = with_box((slice(0, 40), slice(0, 40)), grey=200)
    pasted = [paste_object(small, other, np.random.default_rng(seed), common=False) for seed in range(40)]
    assert {int(one.mask.sum()) for one in pasted} <= {2, 3, 4}
    assert any(one is small for one in pasted)


def test_pasting_draws_objects_of_the_class_or_of_another(groups):
    data = open_groups(groups, "data.paste=1.0", "data.mirror=0", "data.crop=1.0")
    plain = open_groups(groups, "data.mirror=0", "data.crop=1.0")
    assert other_class(data.sources.sets[0].dataset, "cat", np.random.default_rng(0)) == "cow"
    assert other_class(data.sources.sets[0].dataset.only(["cat"]), "cat", np.random.default_rng(0)) == "cat"
    assert not equal(data.item(0, 0)[:1], plain.item(0, 0)[:1])
