from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from likewise.data.class_folders import class_folders
from likewise.data.episodes import (
    Entry,
    EpisodeSet,
    draw_episode,
    read_pair,
)
from likewise.data.pascal import pascal5i
from likewise.errors import DataSetError, ImageError
from support import fakes


@pytest.fixture
def dataset(tmp_path: Path) -> EpisodeSet:
    return pascal5i(fakes.make_voc(tmp_path), 0, "trn")


def test_labels_number_the_classes_in_the_requested_order(dataset: EpisodeSet) -> None:
    labels = dataset.read_labels("2007_007001", ["bus", "car"])
    np.testing.assert_array_equal(labels, fakes.block(2, 1))
    np.testing.assert_array_equal(dataset.read_labels("2007_007001", ["car", "bus"]), fakes.block(1, 1))


def test_images_of_a_class_and_classes_of_an_image_follow_the_entries(dataset: EpisodeSet) -> None:
    assert dataset.images_of["bus"] == ("2007_001000", "2007_006000", "2007_006001")
    assert dataset.classes_of["2007_006000"] == ("bus", "diningtable")


def test_a_set_of_fewer_classes_keeps_their_entries_only(dataset: EpisodeSet) -> None:
    few = dataset.only(["car", "bus"])
    assert few.classes == ("car", "bus")
    assert {e.class_name for e in few.entries} == {"car", "bus"}
    with pytest.raises(DataSetError, match=r"\bcar\b.*\?"):
        dataset.only(["cars"])


def test_labels_are_the_places_of_the_classes(dataset: EpisodeSet) -> None:
    for name, way in ("2007_006001", 1), ("2007_007001", 2):
        np.testing.assert_array_equal(read_pair(dataset, name, ["bus", "car"])[1], fakes.block(way, 1))


def test_an_image_is_read_at_its_own_size_or_at_a_given_one(dataset: EpisodeSet) -> None:
    fakes.write_image(dataset.image_path("2007_006000"), fakes.noise(0, 70, 90))
    mask = dataset.image_path("2007_006000").parents[1] / "SegmentationClassAug/2007_006000.png"
    fakes.write_image(mask, fakes.block(6, 0, 70, 90))
    for name, size, shape in (
        ("2007_006000", None, (70, 90)),
        ("2007_001000", None, (60, 80)),
        ("2007_006000", 50, (50, 50)),
    ):
        image, labels = read_pair(dataset, name, ["bus"], size)
        assert image.shape[:2] == labels.shape == shape


def test_a_corrupt_image_is_named(dataset: EpisodeSet) -> None:
    path = dataset.image_path("2007_006001")
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ImageError, match=r"2007_006001\.jpg"):
        read_pair(dataset, "2007_006001", ["bus"])


def test_a_mask_of_another_size_than_its_image_raises(dataset: EpisodeSet) -> None:
    fakes.write_image(dataset.image_path("2007_006001"), fakes.noise(0, 30, 40))
    with pytest.raises(ImageError, match=r"2007_006001\.jpg.* 40x30 .* 80x60"):
        read_pair(dataset, "2007_006001", ["bus"])


def test_drawn_episodes_repeat_no_image_and_leave_global_generators_alone(dataset: EpisodeSet) -> None:
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    generator = np.random.default_rng(0)
    episodes = [draw_episode(dataset, 1, 2, generator) for _ in range(200)]
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002
    for episode in episodes:
        images = [episode.query, *(p for shots in episode.supports for p in shots)]
        assert len(set(images)) == 3
        for name, shots in zip(episode.classes, episode.supports, strict=True):
            assert set(shots) <= set(dataset.images_of[name])
        assert episode.query in dataset.images_of[episode.classes[0]]
    assert len({e.classes[0] for e in episodes}) == len(dataset.classes)
    again = np.random.default_rng(0)
    assert [draw_episode(dataset, 1, 2, again) for _ in range(200)] == episodes


def test_too_few_classes_or_images_for_an_episode_raise(dataset: EpisodeSet, tmp_path: Path) -> None:
    with pytest.raises(DataSetError, match=r"1-way.* 9 images"):
        draw_episode(dataset, 9, 1, np.random.default_rng(0))
    entries = tuple(Entry(p, c) for c in ("bus", "car") for p in ("a", "b"))
    twins = replace(dataset, classes=("bus", "car"), entries=entries)
    with pytest.raises(DataSetError, match=r"bus|car"):
        draw_episode(twins, 1, 2, np.random.default_rng(0))


def test_episodes_of_class_folders_load(tmp_path: Path) -> None:
    for i in range(3):
        fakes.write_image(tmp_path / "cat" / f"{i}.jpg", fakes.noise(i))
        fakes.write_image(tmp_path / "cat" / f"{i}.png", fakes.block(1, i, border=0))
    dataset = class_folders(tmp_path)
    drawn = draw_episode(dataset, 2, 1, np.random.default_rng(0))
    _, labels = read_pair(dataset, drawn.query, drawn.classes)
    assert set(np.unique(labels)) == {0, 1}
