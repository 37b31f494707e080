"""The network of a project: its curve, which run it is, and what stays on disk."""

import pytest

from likewise.app.network import WEIGHTS, last_trained
from likewise.app.photos import TRAINING, ConflictError
from likewise.app.project import Project
from likewise.app.training import Training, read_curve, thinned
from support.app_client import write_photos


@pytest.fixture
def project(tmp_path):
    write_photos(tmp_path / "photos", 3)
    project = Project(tmp_path / "photos")
    project.scan()
    project.add_class("cat")
    yield project
    project.close()


def add_run(project, name, *, is_last, has_weights=True):
    """Write the files of a run."""
    folder = project.folder / TRAINING / name
    folder.mkdir(parents=True)
    if has_weights:
        (folder / WEIGHTS).touch()
    if is_last:
        project.store.set_setting("training run", name)
        project.store.set_setting("training classes", [1])
    return {"run": name, "classes": [1]}


def test_the_row_that_is_being_written_is_left_out(tmp_path):
    (tmp_path / "metrics.csv").write_text("step,loss\n1,0.5\n2,0.25\n3,0.1")
    assert read_curve(tmp_path / "metrics.csv", "loss") == [(1, 0.5), (2, 0.25)]
    assert read_curve(tmp_path / "validation.csv", None) == []


def test_a_thinned_curve_keeps_its_last_point():
    curve = [(step, 1 / step) for step in range(1, 1000)]
    assert thinned(curve)[-1] == curve[-1]
    assert len(thinned(curve)) == 250
    assert thinned(curve[:5]) == curve[:5]


def test_the_adopted_network_answers_until_another_is_adopted(project):
    training, first = Training(project), add_run(project, "aaa-800", is_last=True)
    training.adopt(adopt=True)
    add_run(project, "bbb-800", is_last=True, has_weights=False)
    assert last_trained(project) == first
    assert not training.describe()["is_newer"]
    (project.folder / TRAINING / "bbb-800" / WEIGHTS).touch()
    assert training.describe()["is_newer"]
    assert project.settings["network"] == first
    training.adopt(adopt=True)
    assert project.settings["network"]["run"] == "bbb-800"


def test_without_weights_nothing_is_adopted(project):
    add_run(project, "aaa-800", is_last=True, has_weights=False)
    with pytest.raises(ConflictError):
        Training(project).adopt(adopt=True)


def test_a_run_resumes_only_with_the_same_images_and_classes(project):
    training = Training(project)
    project.mark_absent(1, example=True)
    add_run(project, f"{training._digest()}-800", is_last=True)
    assert training.describe()["resumes"]
    project.change_class(1, name="dog")
    assert not training.describe()["resumes"]
    project.turn(redo=False)
    assert training.describe()["resumes"]
    project.mark_absent(2, example=False)
    assert not training.describe()["resumes"]


def test_runs_of_other_images_are_deleted_but_for_the_adopted_one(project):
    training = Training(project)
    for name in ("aaa-data", "aaa-800", "bbb-data", "bbb-800"):
        add_run(project, name, is_last=name == "aaa-800")
    training.adopt(adopt=True)
    training._drop_others("ccc")
    assert {entry.name for entry in (project.folder / TRAINING).iterdir()} == {"aaa-800"}
