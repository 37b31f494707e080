"""Answers of all images, kept current in the background."""

import shutil

import numpy as np
import pytest

from likewise.app.answer import difference, shrink
from likewise.app.photos import ConflictError
from likewise.app.project import Project
from likewise.app.workspace import Open, Workspace
from support.app_client import wait_until, write_photos


@pytest.fixture
def workspace(tmp_path):
    workspace = Workspace([tmp_path])
    yield workspace
    workspace.close()


def settled(opened: Open) -> None:
    """Wait until every readable image has features and the answer of the present concept."""

    def done() -> bool:
        answers, photos = opened.answers, opened.project.present()
        known = all(photo.error or photo.digest in answers.cache for photo in photos)
        number = answers.current.number
        answered = answers.current.segmenter is None or all(
            photo.error or ((one := answers.answer(photo.id)) and one.number == number) for photo in photos
        )
        return bool(photos) and known and answers.is_current() and answered

    wait_until(done)


def open_marked(workspace, folder, count=3):
    """Open a folder of images, the first of them an example."""
    masks = write_photos(folder, count)
    opened = workspace.open_folder(folder)
    settled(opened)
    opened.project.add_class("disc")
    opened.project.accept(1, masks[0].astype(np.uint8), "edited", example=True)
    settled(opened)
    return opened


def test_answers_are_the_same_after_a_restart(workspace, tmp_path):
    opened = open_marked(workspace, tmp_path / "photos")
    before = {id: opened.answers.answer(id).presence for id in (2, 3)}
    mask = opened.answers.labels(2)
    workspace.close()
    again = Workspace([tmp_path]).open_folder(tmp_path / "photos")
    settled(again)
    assert {id: again.answers.answer(id).presence for id in (2, 3)} == before
    np.testing.assert_array_equal(again.answers.labels(2), mask)
    again.close()


def test_the_cache_may_be_deleted_at_any_time(workspace, tmp_path):
    opened = open_marked(workspace, tmp_path / "photos")
    mask = opened.answers.labels(3, 64)
    shutil.rmtree(opened.project.folder / "cache")
    opened.answers._masks.clear()
    assert (opened.answers.labels(3, 64) == mask).mean() > 0.99
    opened.project.mark_absent(2, example=False)
    opened.project.change_settings({"presence": 0.0})
    settled(opened)
    assert opened.answers.answer(3).presence


def test_new_images_are_answered_as_they_come(workspace, tmp_path):
    opened = open_marked(workspace, tmp_path / "photos")
    write_photos(tmp_path / "photos", 5)
    opened.project.scan()
    settled(opened)
    assert len(opened.project.present()) == 5
    assert all(opened.answers.answer(id).presence[1] > 0.5 for id in (4, 5))


def test_images_on_screen_are_first(workspace, tmp_path, monkeypatch):
    monkeypatch.setattr("likewise.app.answers.CHUNK", 2)
    opened = open_marked(workspace, tmp_path / "photos", 8)
    order = []
    keep = opened.answers._keep
    monkeypatch.setattr(opened.answers, "_keep", lambda photo, *rest: (order.append(photo.id), keep(photo, *rest)))
    opened.answers.show([7, 5])
    opened.project.change_settings({"presence": 0.1})
    settled(opened)
    assert set(order[:2]) == {5, 7}


def test_an_example_of_a_missing_image_is_left_out(workspace, tmp_path):
    opened = open_marked(workspace, tmp_path / "photos")
    (tmp_path / "photos/photo1.png").unlink()
    opened.project.scan()
    settled(opened)
    assert opened.answers.current.segmenter is None
    assert not opened.answers.labels(2).any()


def test_an_example_without_pixels_of_a_class_teaches_nothing(workspace, tmp_path):
    opened = open_marked(workspace, tmp_path / "photos")
    opened.project.accept(1, np.zeros((120, 160), np.uint8), "edited", example=True)
    settled(opened)
    assert opened.answers.current.segmenter is None


def test_a_project_is_elsewhere_if_it_is_named(tmp_path):
    write_photos(tmp_path / "photos", 1)
    project = Project(tmp_path / "photos", tmp_path / "elsewhere")
    project.scan()
    assert (tmp_path / "elsewhere/project.sqlite").is_file()
    assert not (tmp_path / "photos/.likewise-app").exists()


def test_a_project_is_open_once(workspace, tmp_path):
    open_marked(workspace, tmp_path / "photos")
    other = Workspace([tmp_path])
    with pytest.raises(ConflictError, match=r"\.likewise-app"):
        other.open_folder(tmp_path / "photos")
    workspace.close()
    other.open_folder(tmp_path / "photos")
    other.close()


def test_the_difference_of_masks_is_a_share_of_their_pixels():
    one, other = np.zeros((2, 4), np.uint8), np.zeros((2, 4), np.uint8)
    assert difference(one, other) == 0
    one[0], other[0, :2] = 1, 1
    assert difference(one, other) == 0.5
    other[0] = 2
    assert difference(one, other) == 1


def test_a_label_map_shrinks_without_new_labels():
    labels = np.repeat(np.repeat(np.array([[0, 3], [7, 0]], np.uint8), 50, axis=0), 100, axis=1)
    small = shrink(labels, 20)
    assert small.shape == (10, 20)
    assert set(np.unique(small)) == {0, 3, 7}
    assert shrink(labels, 500) is labels
