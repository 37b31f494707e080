from pathlib import Path

import pytest

from likewise.errors import DataSetError
from likewise.train.recipes.data_sections import EpisodeData, HeldOut, SceneData, Source
from likewise.train.samples.sources import TrainingSources, check_data, open_sources
from support import fakes


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """PASCAL in its place, and two groups of a co-saliency set in `groups`."""
    root = fakes.make_voc(tmp_path_factory.mktemp("data"))
    for group in ("cups", "keys"):
        for number in range(3):
            fakes.write_image(root / "groups/image" / group / f"{number}.jpg", fakes.noise(number))
            fakes.write_image(root / "groups/gt" / group / f"{number}.png", fakes.block(255, number, border=0))
    return root


def mixture(root: Path, *sources: Source) -> EpisodeData:
    return EpisodeData(kind="episodes", set="mixture", root=root, sources=sources, size=64, mirror=0.0)


def test_a_mixture_opens_each_source_below_the_root_with_its_weight(root: Path) -> None:
    groups = Source(set="cosaliency", folder=Path("groups"), weight=0.5)
    pascal, groups_too = open_sources(mixture(root, Source(set="pascal5i", folder=Path()), groups))
    assert (pascal.weight, groups_too.weight) == (1.0, 0.5)
    assert len(pascal.dataset.classes) == 20
    assert groups_too.dataset.images_of == {name: tuple(f"{name}/{n}" for n in range(3)) for name in ("cups", "keys")}
    assert (groups_too.dataset.read_class("cups/1", "cups") == fakes.block(1, 1, border=0)).all()
    assert not groups_too.dataset.read_class("cups/1", "keys").any()


def test_leaving_out_a_class_removes_every_image_that_shows_it(root: Path) -> None:
    whole = open_sources(mixture(root, Source(set="pascal5i", folder=Path())))[0].dataset
    (left,) = open_sources(mixture(root, Source(set="pascal5i", folder=Path(), without=("bird", "boat"))))
    assert {"bird", "boat"} == set(whole.classes) - set(left.dataset.classes)
    shown = {*whole.images_of["bird"], *whole.images_of["boat"]}
    assert shown & set(whole.images_of["chair"]), "the fakes hold images of two classes"
    assert not shown & set(left.dataset.classes_of)


def test_leaving_out_an_unknown_class_names_similar_ones(root: Path) -> None:
    with pytest.raises(DataSetError, match=r"'cup'.*cups"):
        open_sources(mixture(root, Source(set="cosaliency", folder=Path("groups"), without=("cup",))))


def test_leaving_out_all_classes_is_refused(root: Path) -> None:
    with pytest.raises(DataSetError, match="groups all"):
        open_sources(mixture(root, Source(set="cosaliency", folder=Path("groups"), without=("cups", "keys"))))


def test_names_renames_the_classes_of_a_source(root: Path) -> None:
    data = mixture(root, Source(set="cosaliency", folder=Path("groups"), without=("keys",), names={"cups": "bottle"}))
    (left,) = open_sources(data)
    assert left.dataset.classes == ("bottle",)
    assert left.dataset.images_of == {"bottle": tuple(f"cups/{n}" for n in range(3))}
    assert (left.dataset.read_class("cups/1", "bottle") == fakes.block(1, 1, border=0)).all()


def test_renaming_an_unknown_class_names_similar_ones(root: Path) -> None:
    with pytest.raises(DataSetError, match=r"'cup'.*cups"):
        open_sources(mixture(root, Source(set="cosaliency", folder=Path("groups"), names={"cup": "bottle"})))


def test_two_classes_cannot_get_the_same_name(root: Path) -> None:
    with pytest.raises(DataSetError, match="'keys'"):
        open_sources(mixture(root, Source(set="cosaliency", folder=Path("groups"), names={"cups": "keys"})))


def test_a_mixture_requires_sources(root: Path) -> None:
    with pytest.raises(ValueError, match="sources"):
        mixture(root)


def test_images_equal_to_a_held_out_image_are_removed_from_every_source(root: Path) -> None:
    data = mixture(root, Source(set="cosaliency", folder=Path("groups"), weight=0.5))
    assert TrainingSources.open(data).held_out == {}
    held = HeldOut(folder=Path("groups"), every=3)
    sources = TrainingSources.open(data.model_copy(update={"held_out": held}))
    ((weight, rest),) = sources.sets
    assert (weight, sources.held_out) == (0.5, {"cups": ("2",), "keys": ("2",)})
    assert set(rest.classes_of) == {"cups/0", "cups/1", "keys/0", "keys/1"}


def test_a_missing_folder_is_refused_before_training_whatever_the_kind(tmp_path: Path) -> None:
    episodes = EpisodeData(kind="episodes", set="class_folders", root=tmp_path / "none", size=64, mirror=0.0)
    scenes = SceneData(kind="scenes", set="folder", root=tmp_path / "none", crop=64)
    for data in (episodes, scenes):
        with pytest.raises(DataSetError, match="none"):
            check_data(data)


def test_folders_that_are_there_pass_the_check(root: Path) -> None:
    check_data(mixture(root, Source(set="cosaliency", folder=Path("groups"))))
