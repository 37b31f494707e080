"""Groups to train on: what is drawn, from what, and with which maps."""

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
    open_saliency_model,
    other_class,
    paste_object,
)
from likewise.train.samples.sources import open_source
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


def material(root: Path, *overrides: str) -> TrainingGroups:
    return TrainingGroups(load_recipe("icnet-voc", [f"data.root={root}", "data.images=3", *overrides]), 32)


def equal(one: Any, other: Any) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_a_group_is_of_one_class_with_its_maps_and_masks(groups):
    batch = material(groups).item(0, 0)
    assert batch.images.shape == (1, 3, 32, 32, 3)
    assert batch.maps.shape == batch.masks.shape == (1, 3, 32, 32)
    assert set(batch.masks.unique().tolist()) == {0, 1}
    assert ((batch.maps > 110) == (batch.masks == 1)).float().mean() > 0.95


def test_what_is_drawn_follows_from_seed_step_and_place_alone(groups):
    drawn = ("data.mirror=0.5", "data.crop=0.5", "data.disturb=0.5")
    one, again, other = material(groups, *drawn), material(groups, *drawn), material(groups, *drawn, "seed=1")
    one.item(0, 0)
    assert equal(one.item(7, 1), again.item(7, 1))
    assert not equal(one.item(7, 1), one.item(8, 1))
    assert not equal(one.item(7, 1), one.item(7, 0))
    assert not equal(one.item(7, 1), other.item(7, 1))


def test_held_out_images_are_not_drawn(groups):
    held = ("data.held_out.folder=.", "data.held_out.every=3", "data.images=4")
    made = material(groups, *held)
    assert made.held == {"cat": ("3", "6"), "cow": ("3", "6")}
    assert {entry.image.split("/")[1] for _, dataset in made.sources for entry in dataset.entries} == set("1245")
    assert made.record()["held out"] == made.held


def test_maps_are_made_by_a_saliency_model_where_one_is_named(groups):
    made = material(groups, "data.maps=saliency-lite0")
    assert not equal(made.item(0, 0)[1:2], material(groups).item(0, 0)[1:2])
    assert len(made.record()["saliency maps"]) == 16


def test_of_several_saliency_models_one_makes_the_map_that_was_not_trained_on_the_class(groups):
    network, _ = open_saliency_model("saliency-lite0")
    dataset = material(groups).sources[0].dataset
    maps = ComputedMaps([(network, ("cat", "dog")), (network, ("cow", "dog"))], dataset, 32)
    assert {maps.model_for(f"cat/{index}", "cat") for index in range(20)} == {1}
    assert {maps.model_for(f"cow/{index}", "cow") for index in range(20)} == {0}
    either = [maps.model_for(f"dog/{index}", "dog") for index in range(20)]
    assert set(either) == {0, 1}
    assert either == [maps.model_for(f"dog/{index}", "dog") for index in range(20)]
    assert maps("cat/1", "cat").shape == (32, 32)


def test_a_set_without_maps_or_a_model_to_make_them_is_refused(groups):
    (groups / "sism").rename(groups / "others")
    with pytest.raises(DataSetError, match=r"no sism/<group>/ .* set data\.maps to a saliency model"):
        material(groups)


def test_a_set_of_small_groups_is_refused(groups):
    with pytest.raises(DataSetError, match=r"no class of .* has 9 images: lower data\.images"):
        material(groups, "data.images=9")


def test_a_disturbed_map_is_another_map_of_the_same_shape():
    sism = block(200, 3, 64, 80, border=20)
    kinds = [degrade_map(sism, np.random.default_rng(seed)) for seed in range(20)]
    for other in kinds:
        assert other.shape == sism.shape
        assert other.dtype == np.uint8
    # something that does not belong may fall where the map is bright already
    assert sum(np.array_equal(other, sism) for other in kinds) <= 2
    assert len({other.tobytes() for other in kinds}) >= 18


def test_all_classes_of_a_source_may_make_one_together(tmp_path):
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
    apart = open_source(tmp_path, source.model_copy(update={"as_one": None}))
    assert apart.classes == ("3", "7")


def with_box(box: tuple[slice, slice], grey: int) -> GroupImage:
    """An image of one grey, with an object in a box that its map knows with 250."""
    mask = np.zeros((40, 40), np.uint8)
    mask[box] = 1
    return GroupImage(np.full((40, 40, 3), grey, np.uint8), mask * 250, mask)


@pytest.mark.parametrize("common", [True, False])
def test_an_object_laid_over_a_image_is_in_its_map_and_where_it_is_common_in_its_mask(common):
    member = with_box((slice(0, 4), slice(0, 4)), grey=10)
    other = with_box((slice(10, 30), slice(5, 15)), grey=200)
    for seed in range(10):
        made = paste_object(member, other, np.random.default_rng(seed), common=common)
        new = (made.image == 200).all(axis=2)
        rows, columns = new.any(axis=1).sum(), new.any(axis=0).sum()
        assert 8 <= rows <= 24
        assert abs(rows - 2 * columns) <= 2
        assert (made.sism[new] == 250).all()
        assert (made.mask[new] == common).all()
        for one, before in zip(made, member, strict=True):
            np.testing.assert_array_equal(one[~new], before[~new])


def test_an_object_that_would_hide_the_images_own_is_left_out():
    member = with_box((slice(0, 40), slice(0, 40)), grey=10)
    small = member._replace(mask=np.pad(np.ones((2, 2), np.uint8), 19))
    other = with_box((slice(0, 40), slice(0, 40)), grey=200)
    made = [paste_object(small, other, np.random.default_rng(seed), common=False) for seed in range(40)]
    assert {int(one.mask.sum()) for one in made} <= {2, 3, 4}
    assert any(one is small for one in made)


def test_what_is_laid_over_images_is_of_the_class_or_of_another(groups):
    made = material(groups, "data.paste=1.0", "data.mirror=0", "data.crop=1.0")
    plain = material(groups, "data.mirror=0", "data.crop=1.0")
    assert other_class(made.sources[0].dataset, "cat", np.random.default_rng(0)) == "cow"
    assert other_class(made.sources[0].dataset.only(["cat"]), "cat", np.random.default_rng(0)) == "cat"
    assert not equal(made.item(0, 0)[:1], plain.item(0, 0)[:1])
