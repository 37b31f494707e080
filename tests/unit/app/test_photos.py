"""The images of a project: found, changed, moved, deleted."""

import numpy as np
import pytest

from likewise.app.photos import UnknownError
from likewise.app.project import Project
from likewise.errors import ImageError
from likewise.io.digests import file_digest
from likewise.io.images import save_image
from support.app_client import write_photos


@pytest.fixture
def project(tmp_path):
    write_photos(tmp_path / "photos", 3)
    project = Project(tmp_path / "photos")
    project.scan()
    yield project
    project.close()


def read_all(project):
    """Read headers and digests, as the background does."""
    project.read_headers()
    project.update_photos({photo.id: {"digest": file_digest(project.path(photo))} for photo in project.present()})


def names(project):
    return [photo.name for photo in project.present()]


def test_images_are_in_natural_order(project):
    for number in (10, 2):
        save_image(np.zeros((20, 20, 3), np.uint8), project.root / f"b/img{number}.png")
    project.scan()
    assert names(project) == ["b/img2.png", "b/img10.png", "photo1.png", "photo2.png", "photo3.png"]


def test_headers_are_read_and_damaged_images_are_named(project):
    (project.root / "photo4.png").write_bytes(b"nonsense")
    project.scan()
    project.read_headers()
    *sound, damaged = project.present()
    assert {(photo.height, photo.width) for photo in sound} == {(120, 160)}
    assert "photo4.png" in damaged.error
    with pytest.raises(ImageError, match=r"photo4\.png"):
        project.size(damaged)


def test_a_moved_image_keeps_its_decision(project):
    read_all(project)
    project.mark_absent(2, example=True)
    (project.root / "sub").mkdir()
    (project.root / "photo2.png").rename(project.root / "sub/renamed.png")
    project.scan()
    moved = project.photo(2)
    assert (moved.name, moved.place) == ("sub/renamed.png", "photos/sub/renamed.png")
    assert project.decision(2).status == "absent"
    assert len(project.present()) == 3


def test_a_deleted_image_is_gone_and_comes_back(project):
    read_all(project)
    path = project.root / "photo2.png"
    content = path.read_bytes()
    path.unlink()
    project.scan()
    assert names(project) == ["photo1.png", "photo3.png"]
    with pytest.raises(UnknownError, match="2"):
        project.photo(2)
    path.write_bytes(content)
    project.scan()
    assert project.photo(2).name == "photo2.png"


def test_a_changed_image_is_read_again_and_a_mask_that_does_not_fit_is_taken_away(project):
    read_all(project)
    project.add_class("cat")
    project.accept(1, np.ones((120, 160), np.uint8), "edited", example=True)
    project.accept(2, np.ones((120, 160), np.uint8), "edited", example=True)
    save_image(np.zeros((50, 60, 3), np.uint8), project.root / "photo1.png")
    save_image(np.zeros((120, 160, 3), np.uint8), project.root / "photo2.png")
    before = project.photo(1).version
    project.scan()
    assert project.photo(1).digest is None
    assert project.photo(1).version != before
    project.read_headers()
    project.drop_unfit_masks()
    assert project.size(project.photo(1)) == (50, 60)
    assert project.decision(1).status == "new"
    assert project.decision(2).status == "edited"


def test_a_touched_image_keeps_its_digest(project):
    read_all(project)
    digest = project.photo(1).digest
    (project.root / "photo1.png").touch()
    project.scan()
    assert project.photo(1).digest == digest


def test_dropped_files_of_one_name_are_kept_apart(project):
    content = (project.root / "photo1.png").read_bytes()
    one = project.add_file("cat.png", content)
    assert project.add_file("cat.png", content) == one
    other = project.add_file("cat.png", (project.root / "photo2.png").read_bytes())
    assert (one.name, other.name) == ("dropped/cat.png", "dropped/cat (2).png")
    assert project.path(other).parent == project.folder / "files"


def test_a_folder_without_images_is_a_project_too(tmp_path):
    (tmp_path / "empty").mkdir()
    project = Project(tmp_path / "empty")
    project.scan()
    assert project.present() == []


def test_a_folder_that_is_gone_keeps_its_images_until_it_is_back(project, tmp_path):
    project.root.rename(tmp_path / "away")
    with pytest.raises(ImageError, match="photos"):
        project.scan()
    assert len(project.present()) == 3
    (tmp_path / "away").rename(project.root)
    project.scan()
    assert len(project.present()) == 3


def test_an_image_that_could_not_be_read_is_tried_again(project):
    project.update_photos({1: {"error": "photo1.png: cannot be read"}})
    project.scan()
    project.read_headers()
    assert project.photo(1).error is None
