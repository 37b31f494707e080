import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from likewise import Example, FewShot
from likewise.errors import ArgumentError
from likewise.jobs.watch import watch_folder
from support.fakes import noise


@pytest.fixture(scope="module")
def few_shot() -> FewShot:
    return FewShot(side=96, presence=0.0)


@pytest.fixture(scope="module")
def concept(few_shot):
    mask = np.zeros((60, 80), bool)
    mask[20:50, 20:60] = True
    return few_shot.learn(Example(noise(0), mask=mask))


class Rounds(threading.Event):
    """Stands for waiting: does the next step, and stops after the last."""

    def __init__(self, *steps):
        super().__init__()
        self.steps = list(steps)

    def wait(self, timeout=None):
        if not self.steps:
            self.set()
            return
        self.steps.pop(0)()


def nothing() -> None:
    pass


def test_images_that_arrive_are_segmented_once(few_shot, concept, tmp_path):
    inbox, out, reports = tmp_path / "inbox", tmp_path / "inbox/masks", []
    inbox.mkdir()

    def arrive(index: int) -> None:
        Image.fromarray(noise(index)).save(inbox / f"{index}.png")

    steps = [nothing, lambda: arrive(1), nothing, nothing, lambda: arrive(2), nothing, nothing]
    watch_folder(inbox, concept, out, few_shot=few_shot, stop=Rounds(*steps), notify=reports.append)
    assert [(report.done, report.skipped) for report in reports] == [(1, 0), (1, 0)]
    for index in (1, 2):
        mask = np.array(Image.open(out / f"{index}.mask.png")) > 0
        np.testing.assert_array_equal(mask, few_shot.segment(noise(index), concept).mask)


def test_a_file_that_is_still_written_is_waited_for(few_shot, concept, tmp_path):
    Image.fromarray(noise(1)).save(tmp_path / "whole.png")
    content, path, reports = (tmp_path / "whole.png").read_bytes(), tmp_path / "inbox/x.png", []
    path.parent.mkdir()
    steps = [lambda end=end: path.write_bytes(content[:end]) for end in (10, 1000, 2000)]
    steps += [lambda: path.write_bytes(content), nothing, nothing]
    watch_folder(path.parent, concept, tmp_path / "out", few_shot=few_shot, stop=Rounds(*steps), notify=reports.append)
    assert [(report.done, report.failed) for report in reports] == [(1, [])]


def test_a_damaged_image_is_tried_again_when_it_changes(few_shot, concept, tmp_path):
    path, reports = tmp_path / "inbox/x.png", []
    path.parent.mkdir()
    path.write_bytes(b"no image")
    steps = [nothing, nothing, nothing, lambda: Image.fromarray(noise(1)).save(path), nothing, nothing]
    watch_folder(path.parent, concept, tmp_path / "out", few_shot=few_shot, stop=Rounds(*steps), notify=reports.append)
    assert [(report.done, len(report.failed)) for report in reports] == [(0, 1), (1, 0)]


def test_a_watch_that_starts_again_leaves_finished_images_alone(few_shot, concept, tmp_path):
    inbox, reports = tmp_path / "inbox", []
    inbox.mkdir()
    Image.fromarray(noise(1)).save(inbox / "1.png")
    for _ in range(2):
        stop = Rounds(nothing, nothing)
        watch_folder(inbox, concept, tmp_path / "out", few_shot=few_shot, stop=stop, notify=reports.append)
    assert [(report.done, report.skipped) for report in reports] == [(1, 0), (0, 1)]


@pytest.mark.parametrize(("name", "seconds", "said"), [("nowhere", 1.0, "no such folder"), (".", 0.0, "more than 0")])
def test_a_watch_of_nothing_is_refused(few_shot, concept, tmp_path, name, seconds, said):
    stop = threading.Event()
    with pytest.raises(ArgumentError, match=said):
        watch_folder(tmp_path / name, concept, tmp_path / "o", few_shot=few_shot, seconds=seconds, stop=stop)
    assert Path(tmp_path / "o").exists() is False
