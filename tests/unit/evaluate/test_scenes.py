"""A run on the scenes of a benchmark, at one scale and at several."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from likewise.data.class_names import CAMVID
from likewise.data.scene_benchmarks import camvid_scenes
from likewise.data.scenes import SceneSet
from likewise.errors import OutputError, PredictionError
from likewise.evaluate.scenes import evaluate_scenes
from likewise.evaluate.scoring import score_scenes
from likewise.metrics.scenes import SceneIoU
from likewise.predict.scene_parser import SceneParser
from support import fakes
from support.scene_runs import write_run


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    return write_run(tmp_path_factory.mktemp("runs") / "run", classes=CAMVID)


def make_camvid(root: Path) -> Path:
    for index in range(3):
        fakes.write_image(root / f"test/{index}.png", fakes.noise(index, 48, 64))
        fakes.write_image(root / f"testannot/{index}.png", fakes.noise(index + 9, 48, 64)[..., 0] % 12)
    return root


@pytest.fixture
def scenes(tmp_path: Path) -> SceneSet:
    return camvid_scenes(make_camvid(tmp_path / "CamVid"))


def scored(parser: SceneParser, scenes: SceneSet) -> float:
    metric = SceneIoU(scenes.classes)
    for scene in scenes.scenes:
        metric.update(parser.parse(scene.image).labels, scenes.read_labels(scene.labels))
    return metric.compute().values["mIoU"]


def test_a_run_is_scored_at_a_single_scale_and_at_several_with_mirroring(run, scenes, tmp_path):
    results = evaluate_scenes(run, scenes, tmp_path / "out", scales=(0.5, 1.0), device="cpu")
    single, several = results.parts
    assert (single.name, several.name) == ("single-scale", "multi-scale and mirror")
    assert single.scores.values["mIoU"] == pytest.approx(scored(SceneParser(run, device="cpu"), scenes))
    parser = SceneParser(run, scales=(0.5, 1.0), mirror=True, device="cpu")
    assert several.scores.values["mIoU"] == pytest.approx(scored(parser, scenes))
    assert single.scores.values != several.scores.values
    assert results.settings["scales"] == [0.5, 1.0]
    assert len(list((tmp_path / "out/multi-scale").glob("*.labels.png"))) == 3


def test_without_scales_only_the_single_scale_is_scored(run, scenes, tmp_path):
    results = evaluate_scenes(run, scenes, tmp_path / "out", scales=(), device="cpu")
    assert [part.name for part in results.parts] == ["single-scale"]
    assert not (tmp_path / "out/multi-scale").exists()


def test_existing_labels_are_reused_and_other_settings_refused(run, scenes, tmp_path, monkeypatch):
    calls: list[tuple[int, int]] = []
    evaluate_scenes(run, scenes, tmp_path / "out", scales=(0.5,), device="cpu", progress=lambda *c: calls.append(c))
    assert calls == [(0, 6), (1, 6), (2, 6), (3, 6), (3, 6), (4, 6), (5, 6), (6, 6)]

    def never(*_: object) -> None:
        raise AssertionError("all images were parsed before")

    monkeypatch.setattr(SceneParser, "parse", never)
    again = evaluate_scenes(run, scenes, tmp_path / "out", scales=(0.5,), device="cpu")
    assert len(again.parts) == 2
    with pytest.raises(OutputError, match=r"scales was \[0\.5\] .*\[0\.75\]"):
        evaluate_scenes(run, scenes, tmp_path / "out", scales=(0.75,), device="cpu")


def test_a_model_of_other_classes_raises_with_both_lists(scenes, tmp_path):
    other = write_run(tmp_path / "run", classes=("sky", "road"))
    with pytest.raises(PredictionError, match=r"2 classes \(sky, road\).* 11 \(sky, building"):
        evaluate_scenes(other, scenes, tmp_path / "out", device="cpu")


def test_an_image_that_cannot_be_parsed_is_named(run, scenes, tmp_path):
    scenes.scenes[1].image.write_bytes(b"damaged")
    with pytest.raises(PredictionError, match=r"1 image of CamVid test .*1\.png"):
        evaluate_scenes(run, scenes, tmp_path / "out", scales=(), device="cpu")


def test_the_output_of_parse_is_scored_unchanged(run, scenes, tmp_path, likewise, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert likewise("parse", "CamVid/test", "--model", run, "-o", "parsed")[0] == 0
    results = score_scenes("parsed", scenes)
    assert results.parts[0].scores.values["mIoU"] == pytest.approx(scored(SceneParser(run, device="cpu"), scenes))
    (tmp_path / "parsed/2.labels.png").unlink()
    with pytest.raises(PredictionError, match=r"1 of 3 .*CamVid test.*2\.labels\.png"):
        score_scenes("parsed", scenes)


def test_the_command_scores_a_run_or_a_folder_of_labels(run, tmp_path, likewise, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_camvid(tmp_path / "CamVid")
    words = ("--data", "CamVid", "--benchmark", "camvid")
    code, out, err = likewise("evaluate", "scenes", run, *words, "-o", "results", "--scales", "0.5", "1")
    assert (code, err) == (0, "")
    assert "single-scale" in out
    assert "multi-scale and mirror" in out
    assert Path("results/results.json").is_file()
    for index in range(3):
        fakes.write_image(tmp_path / f"theirs/{index}.png", np.zeros((48, 64), np.uint8))
    code, out, _ = likewise("evaluate", "scenes", "theirs", *words, "-o", "other", "--inference", "guessed")
    assert code == 0
    assert "inference guessed" in out


def test_the_command_runs_a_safetensors_file_like_a_run(run, tmp_path, likewise, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_camvid(tmp_path / "CamVid")
    shutil.copy(run / "weights.safetensors", "imported.safetensors")
    words = ("--data", "CamVid", "--benchmark", "camvid", "--single", "-o", "results")
    code, out, err = likewise("evaluate", "scenes", "imported.safetensors", *words)
    assert (code, err) == (0, "")
    assert "single-scale" in out
    assert len(list(Path("results/single-scale").glob("*.labels.png"))) == 3
    code, _, err = likewise("evaluate", "scenes", "mistyped.safetensors", *words)
    assert code == 2
    assert "mistyped.safetensors" in err
    assert "missing" not in err
