"""Decisions, classes and history of a project."""

import numpy as np
import pytest

from likewise.app.photos import ConflictError, UnknownError
from likewise.app.project import Project, root_of
from likewise.errors import ArgumentError, ImageError
from support.app_client import write_photos


@pytest.fixture
def project(tmp_path):
    write_photos(tmp_path / "photos", 3)
    project = Project(tmp_path / "photos")
    project.scan()
    project.add_class("cat")
    yield project
    project.close()


def mask(value=1):
    labels = np.zeros((120, 160), np.uint8)
    labels[10:20, 10:30] = value
    labels[50:60, 10:20] = value
    return labels


def again(project):
    """The project opened a second time."""
    return Project(project.root)


def test_an_accepted_mask_is_there_after_opening_again(project):
    project.accept(1, mask(), "edited", example=True)
    np.testing.assert_array_equal(again(project).mask(1), mask())
    assert again(project).decision(1).status == "edited"
    assert again(project).decision(1).example
    assert again(project).decision(1).pieces == {1: [200, 100]}
    assert again(project).decision(1).areas == {1: 300 / (120 * 160)}


def test_an_absent_image_has_an_empty_mask(project):
    project.mark_absent(2, example=True)
    assert not project.mask(2).any()
    assert project.mask(1) is None


def test_undo_brings_back_the_mask_before(project):
    project.accept(1, mask(), "accepted", example=False)
    project.accept(1, 255 * np.eye(120, 160, dtype=np.uint8) * 0, "edited", example=True)
    label, images = project.turn(redo=False)
    assert (label, images) == ("edit mask", [1])
    np.testing.assert_array_equal(project.mask(1), mask())
    project.turn(redo=False)
    assert project.decision(1).status == "new"
    project.turn(redo=True)
    np.testing.assert_array_equal(project.mask(1), mask())
    assert again(project).decisions == project.decisions


def test_an_example_is_taken_out_and_its_mask_stays(project):
    with pytest.raises(ConflictError, match=r"photo1\.png"):
        project.set_example(1, example=True)
    project.accept(1, mask(), "edited", example=True)
    project.set_example(1, example=False)
    assert not project.decision(1).example
    np.testing.assert_array_equal(project.mask(1), mask())


def test_a_mask_of_another_size_is_refused(project):
    with pytest.raises(ArgumentError, match=r"photo1\.png"):
        project.accept(1, np.zeros((5, 5), np.uint8), "edited", example=True)
    with pytest.raises(UnknownError, match="99"):
        project.accept(99, mask(), "edited", example=True)


def test_pixels_of_a_deleted_class_are_background_until_undo(project):
    dog = project.add_class("dog").id
    project.accept(1, mask(dog), "edited", example=True)
    project.delete_class(dog)
    assert not project.mask(1).any()
    assert project.add_class("cow").id not in (1, dog)
    project.turn(redo=False)
    project.turn(redo=False)
    assert project.mask(1).max() == dog


def test_a_damaged_mask_is_named(project):
    project.accept(1, mask(), "edited", example=True)
    name = project.decision(1).mask
    (project.folder / "masks" / f"{name}.png").write_bytes(b"nonsense")
    with pytest.raises(ImageError, match=name):
        project.mask(1)


def test_classes_have_different_names_and_keys(project):
    dog = project.add_class("dog")
    assert (project.classes[1].key, dog.key) == (1, 2)
    assert dog.colour != project.classes[1].colour
    with pytest.raises(ConflictError, match="cat"):
        project.add_class("cat")
    with pytest.raises(ConflictError, match="cat"):
        project.change_class(dog.id, name="cat")
    project.change_class(dog.id, key=1)
    assert (project.classes[1].key, project.classes[dog.id].key) == (2, 1)
    with pytest.raises(UnknownError, match="77"):
        project.change_class(77, name="x")


def test_masks_have_room_for_254_classes(project):
    for number in range(253):
        project.add_class(f"class {number}")
    with pytest.raises(ConflictError, match="254"):
        project.add_class("one more")


def test_settings_are_kept(project):
    project.change_settings({"presence": 0.1})
    assert again(project).settings == {"presence": 0.1, "edges": True}


def test_a_project_elsewhere_knows_its_folder_and_refuses_another(project, tmp_path):
    assert root_of(tmp_path / "nothing") is None
    Project(project.root, tmp_path / "elsewhere").close()
    assert root_of(tmp_path / "elsewhere") == project.root
    write_photos(tmp_path / "others", 1)
    with pytest.raises(ConflictError, match="photos"):
        Project(tmp_path / "others", tmp_path / "elsewhere")
    project.root.rename(tmp_path / "moved")
    Project(tmp_path / "moved", tmp_path / "elsewhere").close()
    assert root_of(tmp_path / "elsewhere") == tmp_path / "moved"
