from pathlib import Path

import pytest
import torch

from likewise.errors import DataSetError, ImageError, RecipeError, TrainingError
from likewise.train.recipes.schema import Recipe
from likewise.train.samples.episodes import TrainingEpisodes, ValidationEpisodes
from likewise.train.samples.training_data import collate, loader
from likewise.train.tasks.task import TASKS
from support import fakes
from support.small_voc import paint_objects, small


@pytest.fixture(scope="module")
def voc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fakes.make_voc(tmp_path_factory.mktemp("voc"), per_class=6)


def episodes_of(recipe: Recipe) -> TrainingEpisodes:
    found = TASKS["panet"].data(recipe)
    assert isinstance(found, TrainingEpisodes)
    return found


def test_episodes_do_not_depend_on_the_number_of_workers_or_processes(voc: Path) -> None:
    recipe = small(voc)
    episodes = episodes_of(recipe)
    alone = list(loader(episodes, 4, range(3), slice(0, 4), workers=0))
    for index, batch in enumerate(loader(episodes, 4, range(1, 3), slice(0, 4), workers=2), start=1):
        assert all(torch.equal(one, other) for one, other in zip(batch, alone[index], strict=True))
    halves = [list(loader(episodes, 4, range(3), half, workers=0)) for half in (slice(0, 2), slice(2, 4))]
    for whole, *parts in zip(alone, *halves, strict=True):
        assert all(torch.equal(one, other) for one, other in zip(whole, collate(parts), strict=True))
    assert not torch.equal(alone[0].queries, alone[1].queries)


def test_steps_cycle_through_the_numbers_of_shots_and_validation_uses_the_first(voc: Path) -> None:
    recipe = small(voc, "data.shots=[1,3]", "validation.classes=[bus]")
    episodes = episodes_of(recipe)
    assert [episodes.item(step, 0).supports.shape[2] for step in range(4)] == [1, 3, 1, 3]
    assert episodes.held is not None
    assert ValidationEpisodes(episodes.held, episodes.data, 1)[0].supports.shape[2] == 1
    assert "1-way 1-shot" in episodes.validation_protocol()


@pytest.mark.parametrize("shots", ["0", "[]", "[1,0]", "two"])
def test_shots_must_be_positive_numbers(voc: Path, shots: str) -> None:
    with pytest.raises(RecipeError, match=r"data\.shots"):
        small(voc, f"data.shots={shots}")


def test_images_that_show_a_validation_class_are_excluded_from_training(voc: Path) -> None:
    episodes = episodes_of(small(voc, "validation.classes=[bus]"))
    assert episodes.held is not None
    shown = {entry.image for entry in episodes.held.entries}
    assert not {entry.image for entry in episodes.sources.sets[0].dataset.entries} & shown


def test_keeping_every_base_class_for_validation_is_refused(voc: Path) -> None:
    everything = ", ".join(episodes_of(small(voc)).classes)
    with pytest.raises(DataSetError, match="PASCAL-5i fold 0 trn"):
        episodes_of(small(voc, f"validation.classes=[{everything}]"))


def test_a_corrupt_image_stops_the_run_or_another_episode_is_drawn(tmp_path: Path) -> None:
    voc = fakes.make_voc(tmp_path / "voc", per_class=6)
    recipe = small(voc)
    episodes = episodes_of(recipe)
    # one corrupt image in three: among these episodes some hold one, and each can be replaced
    for path in sorted((voc / "VOC2012/JPEGImages").glob("*.jpg"))[::3]:
        path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ImageError, match=r"\.jpg"):
        [episodes.item(step, 0) for step in range(12)]
    lenient = small(voc, "data.on_corrupt=skip")
    episodes = episodes_of(lenient)
    with pytest.warns(UserWarning, match=r"step \d+ .*\.jpg"):
        assert len([episodes.item(step, 0) for step in range(12)]) == 12
    for path in (voc / "VOC2012/JPEGImages").glob("*.jpg"):
        path.write_bytes(b"")
    with (
        pytest.warns(UserWarning, match=r"step 0 .*\.jpg"),
        pytest.raises(TrainingError, match="10 draws"),
    ):
        episodes.item(0, 0)


def test_mirroring_an_image_mirrors_its_labels(tmp_path: Path) -> None:
    voc = paint_objects(fakes.make_voc(tmp_path / "voc", per_class=6))
    plain, mirrored = (episodes_of(small(voc, f"data.mirror={chance}")) for chance in (0.0, 1.0))
    for step in range(3):
        one, other = plain.item(step, 0), mirrored.item(step, 0)
        assert torch.equal(one.queries.flip(2), other.queries)
        assert torch.equal(one.targets.flip(2), other.targets)
        assert torch.equal(one.support_labels.flip(4), other.support_labels)
