"""Annotations of one format into another."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from likewise.errors import ArgumentError, DataSetError, OutputError
from likewise.io.annotations import FORMATS, read_annotations, write_annotations
from likewise.io.annotations.dataset import Annotations
from likewise.io.class_lists import LEGEND
from likewise.jobs.convert import DRAWN, convert_annotations
from support.annotated import CLASSES, annotated


@pytest.fixture
def given(tmp_path: Path) -> Annotations:
    annotations = annotated(tmp_path / "in", 3)
    write_annotations(annotations, tmp_path / "in", "coco")
    return annotations


@pytest.mark.parametrize("format", sorted(FORMATS.keys() - {"parquet", "table"}))
def test_objects_survive_a_conversion_and_back(tmp_path: Path, given: Annotations, format: str) -> None:
    done = convert_annotations(tmp_path / "in", tmp_path / "out", format)
    assert len(done) == len(given)
    images = tmp_path / "out" / ("images" if format == "yolo" else "")
    for image in given.images:
        (images / image.name).parent.mkdir(parents=True, exist_ok=True)
        (images / image.name).write_bytes(image.image.read_bytes())
    convert_annotations(tmp_path / "out", tmp_path / "back.json", "coco", tolerance=0)
    found = {image.name: image for image in read_annotations(tmp_path / "back.json", images=images).images}
    for image in given.images:
        own = found.get(image.name) or found.get(Path(image.name).name)
        for name in CLASSES if own else ():
            assert (own.mask(name) != image.mask(name)).mean() < 0.08


@pytest.mark.parametrize("format", DRAWN)
def test_images_are_drawn(tmp_path: Path, given: Annotations, format: str) -> None:
    convert_annotations(tmp_path / "in/coco.json", tmp_path / "out", format)
    stem = Path(given.images[3].name).with_suffix("")
    if format == "areas":
        rows = [line.split(",") for line in (tmp_path / "out/areas.csv").read_text(encoding="utf-8").splitlines()]
        (own,) = (row for row in rows if row[0] == given.images[3].name)
        assert own[-3:] == [str(given.images[3].mask(name).sum()) for name in CLASSES]
        return
    suffix = {"labels": ".labels.png", "overlay": ".overlay.jpg", "cutout": ".cutout.png"}[format]
    drawn = Image.open(tmp_path / f"out/{stem}{suffix}")
    assert drawn.size == given.images[3].size[::-1]
    if format == "labels":
        assert (tmp_path / "out" / LEGEND).is_file()
        np.testing.assert_array_equal(np.asarray(drawn) == 1, given.images[3].mask("cat"))


def test_classes_are_chosen_and_the_tolerance_is_kept(tmp_path: Path, given: Annotations) -> None:
    for tolerance, name in ((0, "exact"), (1, "simple")):
        convert_annotations(tmp_path / "in", tmp_path / name, "yolo", classes=["cat"], tolerance=tolerance)
    sizes = [sum(path.stat().st_size for path in (tmp_path / name).rglob("*.txt")) for name in ("exact", "simple")]
    assert sizes[0] > 1.5 * sizes[1]
    assert "cat" in (tmp_path / "exact/data.yaml").read_text()
    assert "dog" not in (tmp_path / "exact/data.yaml").read_text()


def test_wrong_arguments_and_existing_files_are_refused(tmp_path: Path, given: Annotations) -> None:
    for options, message in (({"format": "gif"}, "'gif'"), ({"format": "coco", "tolerance": -1}, "-1")):
        with pytest.raises(ArgumentError, match=message):
            convert_annotations(tmp_path / "in", tmp_path / "out", **options)
    with pytest.raises(ArgumentError, match="'green'"):
        convert_annotations(tmp_path / "in", tmp_path / "out", "coco", classes=["green"])
    for out in (tmp_path / "in", tmp_path / "in/coco.json"):
        with pytest.raises(OutputError, match="in"):
            convert_annotations(tmp_path / "in", out, "coco")
    convert_annotations(tmp_path / "in", tmp_path / "in", "labelme", force=True)
    assert len(list((tmp_path / "in").rglob("*.json"))) == 1 + len(given)
    for path in (tmp_path / "in").rglob("*.png"):
        path.unlink()
    with pytest.warns(UserWarning, match="4 of 4"), pytest.raises(DataSetError, match="overlay needs the images"):
        convert_annotations(tmp_path / "in/coco.json", tmp_path / "drawn", "overlay")


@pytest.mark.slow
def test_the_command_converts(likewise, tmp_path: Path, given: Annotations) -> None:
    code, out, err = likewise("convert", tmp_path / "in", tmp_path / "yolo", "--to", "yolo", "--classes", "cat")
    assert (code, err) == (0, "")
    assert "4 images" in out
    assert "coco to yolo" in out
    code, _, err = likewise("convert", tmp_path / "in/1.png", tmp_path / "x", "--to", "yolo")
    assert code == 2
    assert "no such file" in err
