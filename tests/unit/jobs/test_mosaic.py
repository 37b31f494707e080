"""TIFF files in windows: blending, tiles, regions, georeference and bounded memory."""

import errno
import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from likewise import Example
from likewise.errors import ImageError, OutputError
from likewise.io.images import read_image
from likewise.io.paths import ImageFile
from likewise.io.raster import Raster
from likewise.jobs import mosaic
from likewise.jobs.mosaic import Mosaics, window_of
from likewise.jobs.outputs import list_images
from likewise.jobs.pipeline import Report, process_images
from likewise.jobs.writers import regions_of
from likewise.predict.edges import LARGEST
from likewise.predict.heads.protocol import Found
from likewise.predict.result import Result

tifffile = pytest.importorskip("tifffile")

GEO = [
    (33550, 12, 3, (0.5, 0.5, 0.0), True),
    (33922, 12, 6, (0.0, 0.0, 0.0, 500000.0, 5600000.0, 0.0), True),
    (34735, 3, 8, (1, 1, 0, 1, 3072, 0, 1, 32632), True),
]


class Bright:
    """Finds what is bright, in place of a model: red is the first class, green the second."""

    def __init__(self, *classes: str) -> None:
        self.concept: Any = SimpleNamespace(classes=classes)
        self.windows: list[tuple[int, ...]] = []

    def probabilities(self, pixels: np.ndarray) -> Found:
        self.windows.append(pixels.shape[:2])
        planes = pixels[..., : len(self.concept.classes)].transpose(2, 0, 1).astype(np.float32) / 255
        return Found(np.concatenate([1 - planes.sum(axis=0, keepdims=True), planes]))


@pytest.fixture
def smooth(photos: Path) -> tuple[Path, np.ndarray]:
    """An image of two classes that changes smoothly."""
    rows, columns = np.mgrid[:300, :420]
    red = 110 * (1 + np.sin(rows / 23) * np.cos(columns / 31))
    green = (110 - red).clip(0)
    values = np.stack([red, green, red * 0], axis=2).astype(np.uint8)
    tifffile.imwrite(photos / "x.tif", values, photometric="rgb", tile=(64, 32), compression="zlib", extratags=GEO)
    return photos / "x.tif", values


def never(image: Any, file: ImageFile) -> Any:
    raise AssertionError("an image is segmented whole")


def run(segmenter: Bright, images: list[ImageFile], **options: Any) -> Report:
    options = {"formats": ("mask", "labels", "probability", "coco")} | options
    windowed = Mosaics(segmenter, 100)  # type: ignore[arg-type]
    classes = segmenter.concept.classes
    return process_images(images, never, "out", classes=classes, settings={}, windowed=windowed, **options)


def read(name: str) -> np.ndarray:
    return tifffile.imread(f"out/{name}")


@pytest.mark.parametrize("classes", [("red",), ("red", "green")])
def test_windows_give_what_the_whole_image_gives(smooth: tuple[Path, np.ndarray], classes: tuple[str, ...]) -> None:
    path, values = smooth
    segmenter = Bright(*classes)
    assert run(segmenter, list_images(path)).failed == []
    assert len(segmenter.windows) > 12
    assert set(segmenter.windows) == {(100, 100)}
    planes = segmenter.probabilities(values).probabilities
    expected = planes.argmax(axis=0).astype(np.uint8)
    sure = abs(np.sort(planes, axis=0)[-1] - np.sort(planes, axis=0)[-2]) > 1e-5
    np.testing.assert_array_equal(read("x.labels.tif")[sure], expected[sure])
    np.testing.assert_array_equal(read("x.mask.tif"), read("x.labels.tif") * (255 if len(classes) == 1 else 1))
    np.testing.assert_allclose(read("x.probability.tif") / 65535, 1 - planes[0], atol=1e-5)
    whole = regions_of("x.tif", Result(read("x.labels.tif"), 1 - planes[0], classes, None, (0.5,) * len(classes)))
    recorded = json.loads(Path("out/.likewise/finished.jsonl").read_text())
    assert [region["counts"] for region in recorded["regions"]] == [region.counts for region in whole.regions]
    assert [region["category"] for region in recorded["regions"]] == [region.category for region in whole.regions]


def test_outputs_are_tiles_at_the_same_place(smooth: tuple[Path, np.ndarray]) -> None:
    run(Bright("red"), list_images(smooth[0]))
    for name in ("x.mask.tif", "x.labels.tif", "x.probability.tif"):
        with tifffile.TiffFile(f"out/{name}") as file:
            page = file.pages[0]
            assert page.is_tiled
            assert [page.tags[code].value for code, *_ in GEO] == [value for *_, value, _ in GEO]
    with Image.open("out/x.labels.tif") as image:
        assert image.mode == "P"
    assert run(Bright("red"), list_images(smooth[0])).skipped == 1
    (smooth[0].parent / "x.labels.tif").write_bytes(Path("out/x.labels.tif").read_bytes())
    assert [file.name for file in list_images(smooth[0].parent)] == ["x.tif"]


def test_one_row_of_windows_is_in_memory(smooth: tuple[Path, np.ndarray], monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []
    original = Raster.rows
    monkeypatch.setattr(
        Raster, "rows", lambda self, start, stop: (asked.append((start, stop)), original(self, start, stop))[1]
    )
    segmenter = Bright("red")
    run(segmenter, list_images(smooth[0]), formats=("mask",))
    windows = [(start, stop) for start, stop in asked if stop - start == 100]
    assert len(windows) == 4, "each row of windows is read once"
    assert max(stop - start for start, stop in asked) == 100
    assert len(segmenter.windows) == 4 * 6


def test_the_number_of_many_windows_is_reported(
    smooth: tuple[Path, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mosaic, "MANY", 23)  # 4 x 6 windows
    with pytest.warns(UserWarning, match=r"x\.tif: 24 windows of 100 pixels.* --window"):
        run(Bright("red"), list_images(smooth[0]))


def test_missing_data_has_no_object_and_empty_windows_are_not_segmented(photos: Path) -> None:
    values = np.full((250, 200), 0.9, np.float32)
    values[:, :110] = -9999
    tifffile.imwrite(photos / "x.tif", values, extratags=[*GEO, (42113, 2, 6, "-9999", True)], rowsperstrip=50)
    segmenter = Bright("red")
    run(segmenter, list_images(photos / "x.tif"))
    assert len(segmenter.windows) == 3 * 2
    np.testing.assert_array_equal(read("x.mask.tif") > 0, values > 0)
    assert not read("x.probability.tif")[:, :110].any()


def test_large_files_and_those_with_a_georeference_are_taken(photos: Path, smooth: tuple[Path, np.ndarray]) -> None:
    tifffile.imwrite(photos / "plain.tif", np.zeros((40, 50), np.uint8))
    (photos / "cut.tif").write_bytes(b"II*\0")
    segmenter: Any = Bright("red")
    taken = [Mosaics(segmenter, large=large).takes(file) for large in (2000, 1999) for file in list_images(photos)]
    assert taken == [False, False, True, False, True, True]


def test_an_output_that_windows_do_not_have_is_named(smooth: tuple[Path, np.ndarray]) -> None:
    report = run(Bright("red"), list_images(smooth[0]), formats=("mask", "overlay"))
    assert "no overlay output; choose from mask" in report.failed[0][1]
    assert not list(Path("out").glob("*.tif"))


@pytest.mark.parametrize("at", ["header", "tiles"])
def test_a_cut_file_fails_alone(smooth: tuple[Path, np.ndarray], photos: Path, at: str) -> None:
    content = smooth[0].read_bytes()
    order = np.frombuffer(content[4:8], "<u4")[0]  # tifffile writes the header first
    (photos / "cut.tif").write_bytes(content[: order + 4 if at == "header" else len(content) - 400])
    report = process_images(
        list_images(photos),
        lambda image, file: (_ for _ in ()).throw(ImageError("whole")),
        "out",
        classes=("red",),
        settings={},
        windowed=Mosaics(Bright("red"), 100),  # type: ignore[arg-type]
    )
    assert [path.name for path, _ in report.failed] == ["cut.tif"]
    assert report.done == 1
    assert sorted(path.name for path in Path("out").glob("*.tif")) == ["x.mask.tif"]


def test_a_full_disk_ends_the_run_and_leaves_no_part(
    smooth: tuple[Path, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: Any, **options: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(tifffile.TiffWriter, "write", full)
    with pytest.raises(OutputError, match="free disk space"):
        run(Bright("red"), list_images(smooth[0]))
    assert not list(Path("out").glob("*.tif")) + list(Path("out").glob(".likewise-part*"))


def test_all_pages_have_masks_of_their_own_and_the_first_is_noted(photos: Path) -> None:
    with tifffile.TiffWriter(photos / "stack.tif") as file:
        for value in (10, 200, 30):
            file.write(np.full((20, 30, 3), value, np.uint8), photometric="rgb", metadata=None)
    with pytest.warns(UserWarning, match=r"stack\.tif: has 3 pages.*--pages all"):
        assert [file.name for file in list_images(photos)] == ["stack.tif"]
    files = list_images(photos, pages="all")
    assert [file.name for file in files] == ["stack.page1.tif", "stack.page2.tif", "stack.page3.tif"]

    def bright(image: Any, file: ImageFile) -> Result:
        labels = (image.pixels[..., 0] > 127).astype(np.uint8)
        return Result(labels, labels.astype(np.float32), ("bright",), None, (1.0,), image)

    process_images(files, bright, "out", classes=("bright",), settings={})
    masks = [np.asarray(Image.open(f"out/stack.page{page}.mask.png")).mean() for page in (1, 2, 3)]
    assert masks == [0, 255, 0]


def test_windows_are_as_large_as_the_images_of_the_examples(photos: Path) -> None:
    Image.new("RGB", (400, 225)).save(photos / "a.png")
    assert window_of([Example(photos / "a.png", box=(0, 0, 9, 9))]) == 300
    assert window_of([Example(np.zeros((40, 50, 3), np.uint8), box=(0, 0, 9, 9))]) == LARGEST
    assert window_of([]) == LARGEST


@pytest.mark.parametrize("point", [False, True])
def test_geojson_has_the_outlines_in_units_of_the_map(
    photos: Path, monkeypatch: pytest.MonkeyPatch, point: bool
) -> None:
    values = np.zeros((210, 160, 3), np.uint8)
    values[20:150, 30:110, 0], values[60:80, 50:70], values[190:200, 4:150, 0] = 250, 0, 250
    keys = (1, 1, 0, 2, 1025, 0, 1, 2 if point else 1, 3072, 0, 1, 32632)
    tifffile.imwrite(
        photos / "x.tif", values, photometric="rgb", rowsperstrip=40, extratags=[*GEO[:2], (34735, 3, 12, keys, True)]
    )
    monkeypatch.setattr(mosaic, "BLOCK", 130 * 33)
    run(Bright("red"), list_images(photos / "x.tif"), formats=("geojson",))
    found = json.loads(Path("out/x.geojson").read_text())
    assert found["crs"]["properties"]["name"].endswith("EPSG::32632")
    assert [feature["properties"]["class"] for feature in found["features"]] == ["red", "red"]
    corners = np.array([
        corner for part in found["features"][0]["geometry"]["coordinates"] for ring in part for corner in ring
    ])  # fmt: skip
    half = 0.5 if point else 0
    assert corners.min(axis=0).tolist() == [500000 + (30 - half) / 2, 5600000 - (150 - half) / 2]
    assert corners.max(axis=0).tolist() == [500000 + (110 - half) / 2, 5600000 - (20 - half) / 2]
    area = sum(shoelace(np.array(ring)) for part in found["features"][0]["geometry"]["coordinates"] for ring in part)
    assert abs(area) == (130 * 80 - 20 * 20) / 4


def shoelace(ring: np.ndarray) -> float:
    assert ring[0].tolist() == ring[-1].tolist()
    x, y = (ring - ring[0]).T
    return float(x[:-1] @ y[1:] - y[:-1] @ x[1:]) / 2


def test_one_scale_is_that_of_all_files(photos: Path) -> None:
    for index, top in enumerate((500, 3000)):
        values = np.linspace(0, top, 40 * 50, dtype=np.uint16).reshape(40, 50)
        tifffile.imwrite(photos / f"{index}.tif", values, rowsperstrip=10)
    tifffile.imwrite(photos / "8.tif", np.full((40, 50), 255, np.uint8))
    brightest = [
        [int(read_image(file.source).max()) for file in list_images(photos, one_scale=one_scale)]
        for one_scale in (False, True)
    ]
    assert brightest == [[125, 187, 255], [31, 187, 255]]
