import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from likewise.data.episodes import Episode, EpisodeSet, read_pair
from likewise.errors import ArgumentError, ImageError, PredictionError
from likewise.evaluate.loops import Report, mask_name, predict, score
from likewise.evaluate.protocols import PROTOCOLS
from likewise.evaluate.run import Run, read_episodes, read_run, start_run
from likewise.io.images import save_image
from support import fakes


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fakes.make_voc(tmp_path_factory.mktemp("voc"), per_class=6)


def start(root: Path, out: Path, **settings: object) -> Run:
    defaults = {"protocol_name": "hsnet-2021", "data": root, "fold": 0, "count": 15, "model": {"model": "none"}}
    return start_run(out, **{**defaults, **settings})


class Truth:
    """Return the ground truth, cut off at a column if given, and that it is there; count the calls."""

    def __init__(self, run: Run, cut: int | None = None) -> None:
        self.run, self.cut, self.calls = run, cut, 0

    def __call__(self, dataset: EpisodeSet, episode: Episode) -> tuple[np.ndarray, tuple[float, ...]]:
        self.calls += 1
        chosen = self.run.protocol
        images = (*episode.supports[0], episode.query)
        pairs = [read_pair(dataset, image, episode.classes, chosen.size, chosen.nearest) for image in images]
        _, target = pairs[-1]
        labels = np.where(target == 255, 0, target).astype(np.uint8)
        labels[:, self.cut :] *= self.cut is None
        return labels, tuple(float((target == way + 1).any()) for way in range(len(episode.classes)))


@pytest.mark.parametrize("name", PROTOCOLS)
def test_perfect_masks_score_one_under_every_protocol(root: Path, tmp_path: Path, name: str) -> None:
    run = start(root, tmp_path, protocol_name=name)
    report = predict(run, Truth(run))
    results = score(read_run(tmp_path))
    assert report.done == len(read_episodes(run.list_path(0)))
    assert results.protocol == name
    scores = results.parts[0].scores
    # under panet-2019 a class has no number in a run that never draws it, as happens in fifteen episodes
    assert {value for value in scores.per_class.values() if not np.isnan(value)} == {1}
    assert set(scores.intervals.values()) <= {(1, 1)}
    assert "mIoU" in scores.intervals or name == "panet-2019"
    assert {episode.iou for episode in results.episodes} == {1}


def test_presences_are_scored_under_likewise_1_without_lines_that_a_kill_cut(root: Path, tmp_path: Path) -> None:
    run = start(root, tmp_path, protocol_name="likewise-1", count=60)
    predict(run, Truth(run))
    values = score(run).parts[0].scores.values
    assert values["presence AUROC"] == 1
    assert values["presence calibration error"] == 0
    lines = run.presences_path(0).read_text().split("\n")
    run.presences_path(0).write_text("\n".join([*lines, lines[-1][:12]]))
    (run.masks(0) / mask_name(1)).unlink()
    predict(run, Truth(run))
    assert score(run).parts[0].scores.values == values


@pytest.mark.slow
def test_scores_are_those_of_the_protocols_metric_on_the_same_masks(root: Path, tmp_path: Path) -> None:
    run = start(root, tmp_path, fold="all")
    segment = Truth(run, cut=200)
    predict(run, segment)
    results = score(run)
    for fold, part in zip(run.folds, results.parts, strict=True):
        dataset, metric = run.folds[fold], run.protocol.metric(run.folds[fold].classes)
        for episode in read_episodes(run.list_path(fold)):
            _, target = read_pair(dataset, episode.query, episode.classes, 400)
            metric.update(segment(dataset, episode)[0], target, episode)
        assert replace(part.scores, intervals={}) == metric.compute()
    values = [part.scores.values["mIoU"] for part in results.parts]
    assert results.mean is not None
    assert results.mean.values["mIoU"] == pytest.approx(np.mean(values))
    assert results.mean.counts == {"episodes": 60}
    low, high = results.mean.intervals["mIoU"]
    assert 0 < low < results.mean.values["mIoU"] < high < 1


def test_the_note_states_whether_intervals_are_part_of_the_protocol(root: Path, tmp_path: Path) -> None:
    for name, own in ("hsnet-2021", False), ("likewise-1", True):
        run = start(root, tmp_path / name, protocol_name=name)
        predict(run, Truth(run, cut=30))
        results = score(run)
        assert ("not part of hsnet-2021" in results.interval_note) != own
        assert set(results.parts[0].scores.intervals) == {"mIoU", *run.folds[0].classes}


def test_a_class_with_one_query_image_has_no_interval(root: Path, tmp_path: Path) -> None:
    run = start(root, tmp_path, count=4)
    predict(run, Truth(run))
    part = score(run).parts[0]
    assert {name for name, count in part.queries.items() if count > 1} == set(part.scores.intervals) - {"mIoU"}
    assert 1 in part.queries.values()


def test_masks_are_label_pngs_at_the_size_of_the_protocol(root: Path, tmp_path: Path) -> None:
    run = start(root, tmp_path, protocol_name="panet-2019", ways=2, count=2)
    predict(run, Truth(run))
    assert sorted(path.name for path in run.masks(0).iterdir()) == [mask_name(line) for line in range(10)]
    with Image.open(run.masks(0) / "00000.png") as mask:
        assert mask.size == (417, 417)
        assert mask.mode == "P"
        assert set(np.unique(np.asarray(mask))) <= {0, 1, 2}
    assert {episode.iou for episode in score(run).episodes} == {1}


def test_a_run_resumes_with_the_missing_masks(root: Path, tmp_path: Path) -> None:
    run = start(root, tmp_path)
    predict(run, Truth(run))
    for line in 3, 7:
        (run.masks(0) / mask_name(line)).unlink()
    (run.masks(0) / ".likewise-part-0123.png").touch()
    segment, settled = Truth(run), []
    assert predict(run, segment, progress=lambda done, of: settled.append((done, of))) == Report(2, 13, 0)
    assert segment.calls == 2
    assert settled == [(done, 15) for done in range(1, 16)]
    assert not list(run.masks(0).glob(".*"))


@pytest.mark.slow
def test_a_killed_run_resumes_and_scores_like_an_uninterrupted_one(root: Path, tmp_path: Path) -> None:
    program = f"""
import os, signal
from pathlib import Path
import test_loops
run = test_loops.start(Path({str(root)!r}), Path({str(tmp_path / "killed")!r}))
kill = lambda done, of: os.kill(os.getpid(), signal.SIGKILL) if done == 6 else None
test_loops.predict(run, test_loops.Truth(run, cut=100), progress=kill)
"""
    paths = [str(Path(__file__).parent), str(Path(fakes.__file__).parent), *filter(None, sys.path)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    ended = subprocess.run([sys.executable, "-c", program], env=environment, check=False)
    assert ended.returncode == -signal.SIGKILL
    run, unbroken = start(root, tmp_path / "killed"), start(root, tmp_path / "unbroken")
    with pytest.raises(PredictionError, match=r"9 of 15 .*PASCAL-5i fold 0 val.*00006\.png"):
        score(run)
    assert predict(run, Truth(run, cut=100)).finished_before == 6
    predict(unbroken, Truth(unbroken, cut=100))
    assert score(run).parts == score(unbroken).parts


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """A root with an image of 'bird' that cannot be read; twelve of the fifteen entries are others of fold 0."""
    root = fakes.make_voc(tmp_path / "voc", per_class=6)
    (root / "VOC2012/JPEGImages/2007_003004.jpg").write_bytes(b"\xff\xd8damaged")
    return root


def test_a_corrupt_image_stops_the_run_and_is_named(damaged: Path, tmp_path: Path) -> None:
    run = start(damaged, tmp_path / "run")
    with pytest.raises(ImageError, match=r"2007_003004\.jpg"):
        predict(run, Truth(run))


def test_episodes_of_a_corrupt_image_can_be_skipped(damaged: Path, tmp_path: Path) -> None:
    run = start(damaged, tmp_path / "run")
    touched = {
        line
        for line, episode in enumerate(read_episodes(run.list_path(0)))
        if "2007_003004" in (episode.query, *episode.supports[0])
    }
    with pytest.warns(UserWarning, match=r"episode \d+ of fold 0 .*2007_003004\.jpg"):
        report = predict(run, Truth(run), on_corrupt="skip")
    assert report == Report(15 - len(touched), 0, len(touched))
    part = score(run).parts[0]
    assert set(part.left_out) == touched
    assert "2007_003004.jpg" in next(iter(part.left_out.values()))
    assert part.scores.counts["episodes"] == 15 - len(touched)


def test_a_corrupt_target_stops_the_scores_or_is_left_out(root: Path, damaged: Path, tmp_path: Path) -> None:
    whole, run = start(root, tmp_path / "whole"), start(damaged, tmp_path / "run")
    predict(whole, Truth(whole))
    with pytest.raises(ImageError, match=r"2007_003004\.jpg"):
        score(run, whole.masks(0))
    with pytest.warns(UserWarning, match="left out"):
        part = score(run, whole.masks(0), on_corrupt="skip").parts[0]
    assert part.left_out
    assert part.scores.values["mIoU"] == 1


def test_an_unknown_value_of_on_corrupt_raises(root: Path, tmp_path: Path) -> None:
    run = start(root, tmp_path)
    for loop in (lambda: predict(run, Truth(run), on_corrupt="ignore"), lambda: score(run, on_corrupt="ignore")):
        with pytest.raises(ArgumentError, match="'ignore'"):
            loop()


def test_predictions_of_another_program_score_the_same(root: Path, tmp_path: Path) -> None:
    run = start(root, tmp_path / "run")
    segment = Truth(run, cut=150)
    predict(run, segment)
    ours = score(run)
    for line, episode in enumerate(read_episodes(run.list_path(0))):
        # black and white, as most programs write them
        save_image(segment(run.folds[0], episode)[0] > 0, tmp_path / "theirs" / mask_name(line))
    theirs = score(run, tmp_path / "theirs")
    assert theirs.parts == ours.parts
    assert theirs.settings["masks"] == str((tmp_path / "theirs").resolve())
    (tmp_path / "nested").mkdir()
    (tmp_path / "theirs").rename(tmp_path / "nested/fold0")
    assert score(run, tmp_path / "nested").parts == ours.parts


def test_a_foreign_prediction_that_is_missing_or_of_another_size_is_named(root: Path, tmp_path: Path) -> None:
    run = start(root, tmp_path / "run")
    predict(run, Truth(run))
    (run.masks(0) / "00011.png").unlink()
    with pytest.raises(PredictionError, match=r"1 of 15 .*PASCAL-5i fold 0 val.*00011\.png"):
        score(run)
    save_image(np.zeros((300, 400), bool), run.masks(0) / "00011.png")
    with pytest.raises(PredictionError, match=r"00011\.png.*400x300 .*400x400"):
        score(run)
    save_image(np.arange(160000, dtype=np.uint32).reshape(400, 400).astype(np.uint8) % 7, run.masks(0) / "00011.png")
    with pytest.raises(PredictionError, match=r"00011\.png"):
        score(run)


def test_a_label_beyond_the_ways_is_named(root: Path, tmp_path: Path) -> None:
    run = start(root, tmp_path, protocol_name="panet-2019", ways=2, count=1)
    predict(run, Truth(run))
    save_image(np.full((417, 417), 3, np.uint8), run.masks(0) / "00002.png")
    with pytest.raises(PredictionError, match=r"00002\.png.*label 3; .*0 to 2"):
        score(run)


@pytest.mark.slow
def test_scoring_does_not_load_torch() -> None:
    program = "import sys, likewise.evaluate.loops, likewise.evaluate.report.write; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
