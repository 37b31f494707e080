"""Runs over folders: what is written, skipped, kept and refused."""

import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from likewise.errors import ArgumentError, ImageError, OutputError
from likewise.io.images import ScaledImage
from likewise.io.paths import ImageFile, find_images
from likewise.jobs import pipeline
from likewise.jobs.writers import WRITERS
from likewise.predict.result import Result
from support.fakes import noise, save_flat, write_image
from support.pipeline_runs import bright, files_of, never, run


def test_every_format_of_every_image_is_written(seven: list[ImageFile]) -> None:
    calls: list[tuple[int, int]] = []
    report = run(seven, formats=(*WRITERS, "coco"), progress=lambda settled, total: calls.append((settled, total)))
    assert (report.done, report.skipped, report.failed) == (7, 0, [])
    assert report.seconds > 0
    stems = ["0", "2", "4", "6", "sub/1", "sub/3", "sub/5"]
    suffixes = [suffix for suffix, _ in WRITERS.values()]
    records = {".likewise/finished.jsonl", ".likewise/lock", ".likewise/settings.json", "coco.json"}
    assert files_of() == {stem + suffix for stem in stems for suffix in suffixes} | records
    assert calls == [(settled, 7) for settled in range(8)]
    with Image.open("out/sub/3.mask.png") as mask:
        np.testing.assert_array_equal(np.asarray(mask)[:, 0], [255] * 6 + [0] * 7)


def test_a_second_run_skips_finished_images(seven: list[ImageFile]) -> None:
    run(seven)
    before = Path("out/coco.json").read_text()
    Path("out/coco.json").unlink()
    calls: list[tuple[int, int]] = []
    report = run(seven, never, progress=lambda settled, total: calls.append((settled, total)))
    assert (report.done, report.skipped, report.failed) == (0, 7, [])
    assert calls == [(7, 7)]
    assert Path("out/coco.json").read_text() == before


def test_missing_changed_and_new_images_are_processed(seven: list[ImageFile], photos: Path) -> None:
    run(seven)
    Path("out/2.mask.png").unlink()
    save_flat(photos / "sub/3.png", value=10)
    save_flat(photos / "new.jpg")
    report = run(find_images([photos]))
    assert (report.done, report.skipped, report.failed) == (3, 5, [])
    coco = COCO("out/coco.json")
    assert [image["file_name"] for image in coco.dataset["images"]] == [
        "0.png", "2.png", "4.png", "6.png", "new.jpg", "sub/1.png", "sub/3.png", "sub/5.png",
    ]  # fmt: skip
    assert (coco.dataset["images"][6]["height"], coco.dataset["images"][6]["width"]) == (8, 12)
    assert not coco.getAnnIds(imgIds=7), "the changed image is dark now"
    report = run(find_images([photos]), never, formats=("mask", "coco"))
    assert report.skipped == 8


def test_another_format_is_added_to_a_finished_run(seven: list[ImageFile]) -> None:
    run(seven, formats=("mask",))
    assert run(seven, never, formats=("coco",)).skipped == 7
    assert len(json.loads(Path("out/coco.json").read_text())["annotations"]) == 7
    assert run(seven, formats=("mask", "cutout")).done == 7


def test_images_of_earlier_runs_stay_in_the_coco_file(seven: list[ImageFile]) -> None:
    run(seven[:3])
    run(seven[3:])
    assert len(json.loads(Path("out/coco.json").read_text())["images"]) == 7


def test_changed_settings_are_refused_by_name_and_force_processes_all_images(seven: list[ImageFile]) -> None:
    run(seven, settings={"model": "panet", "backbone": "lite0"})
    changed = {"model": "panet", "backbone": "vgg16", "size": 417}
    with pytest.raises(OutputError) as caught:
        run(seven, settings=changed)
    assert "backbone was 'lite0' and is now 'vgg16', size was None and is now 417" in str(caught.value)
    assert "--force" in str(caught.value)
    assert "model" not in str(caught.value)
    with pytest.raises(OutputError, match=r"classes was \['bright'\] and is now \['dark'\]"):
        run(seven, classes=("dark",), settings={"model": "panet", "backbone": "lite0"})
    assert run(seven, settings=changed, force=True).done == 7
    assert run(seven, never, settings=changed).skipped == 7


def test_unreadable_settings_are_refused(seven: list[ImageFile]) -> None:
    run(seven)
    Path("out/.likewise/settings.json").write_text("{")
    with pytest.raises(OutputError, match=r"settings\.json.*--force"):
        run(seven)


def test_settings_of_a_run_without_finished_images_are_replaced(seven: list[ImageFile]) -> None:
    def interrupted(image: ScaledImage, file: ImageFile) -> Result:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(seven, interrupted)
    assert run(seven, settings={"model": "hsnet"}).done == 7


def test_failed_images_are_reported_and_the_others_processed(seven: list[ImageFile], photos: Path) -> None:
    (photos / "bad.jpg").write_bytes(b"<html>")
    (photos / "empty.jpg").touch()
    save_flat(photos / "heavy.png", size=(99, 7))
    images = [*find_images([photos]), ImageFile(photos / "gone.jpg", "gone.jpg")]

    def no_heavy(image: ScaledImage, file: ImageFile) -> Result:
        if image.size[1] == 99:
            raise RuntimeError("out of memory")
        return bright(image)

    report = run(images, no_heavy)
    assert (report.done, report.skipped) == (7, 0)
    reasons = {path.name: reason for path, reason in report.failed}
    assert "web page" in reasons["bad.jpg"]
    assert "0 bytes" in reasons["empty.jpg"]
    assert "gone.jpg" in reasons
    assert not any("jpg" in reason for reason in reasons.values()), "the report names the path beside the reason"
    assert reasons["heavy.png"] == "RuntimeError: out of memory"
    assert len(json.loads(Path("out/coco.json").read_text())["images"]) == 7
    again = run(images, never)
    assert again.skipped == 7
    assert len(again.failed) == 4


def test_an_image_that_fails_in_a_later_run_is_removed_from_the_coco_file(seven: list[ImageFile]) -> None:
    run(seven)
    seven[0].path.write_bytes(b"damaged since")
    run(seven)
    assert COCO("out/coco.json").dataset["images"][0]["file_name"] == "2.png"


def test_images_that_differ_in_the_suffix_alone_keep_it(photos: Path) -> None:
    for seed, name in enumerate(("a.jpg", "a.webp", "b.jpg", "c.jpg", "c.tif", "c.jpg.bmp")):
        write_image(photos / name, noise(seed))
    run(find_images([photos]), formats=("mask",))
    masks = {name for name in files_of() if name.endswith(".mask.png")}
    assert masks == {"a.jpg.mask.png", "a.webp.mask.png", "b.mask.png", "c.jpg.mask.png", "c.tif.mask.png"} | {
        "c.jpg.bmp.mask.png"
    }


def test_two_images_with_one_name_are_refused(photos: Path) -> None:
    a, b = save_flat(photos / "a" / "x.jpg"), save_flat(photos / "b" / "x.jpg")
    with pytest.raises(ArgumentError, match=r"x\.jpg"):
        run([ImageFile(a, "x.jpg"), ImageFile(b, "x.jpg")])


def test_inputs_are_never_overwritten(photos: Path) -> None:
    image, mask = save_flat(photos / "cat.jpg"), save_flat(photos / "cat.mask.png")
    before = mask.read_bytes()
    images = find_images([image])
    for force in (False, True):
        with pytest.raises(OutputError, match=r"cat\.mask\.png"):
            run(images, out=photos, protect=[mask], force=force)
    odd = save_flat(photos / "dog.cutout.png")
    with pytest.raises(OutputError, match=r"dog\.cutout\.png"):
        run(
            [ImageFile(save_flat(photos / "dog.jpg"), "dog.jpg"), ImageFile(odd, "else.png")],
            out=photos,
            formats=["cutout"],
        )
    assert mask.read_bytes() == before
    assert not (photos / ".likewise").exists(), "the check precedes any write"


def test_foreign_masks_are_kept_unless_forced(photos: Path) -> None:
    image, mask = save_flat(photos / "cat.jpg"), save_flat(photos / "cat.mask.png")
    before = mask.read_bytes()
    with pytest.raises(OutputError, match=r"cat\.mask\.png.*--force"):
        run(find_images([image]), out=photos)
    assert mask.read_bytes() == before
    assert run(find_images([image]), out=photos, force=True).done == 1
    assert run(find_images([photos]), never, out=photos).skipped == 1


def test_a_mask_drawn_into_the_output_folder_is_kept_and_counted_in_the_coco_file(seven: list[ImageFile]) -> None:
    run(seven[:3])
    new = seven[3]
    drawn = Path("out", new.name).with_suffix(".mask.png")
    Image.fromarray(np.eye(14, dtype=np.uint8)[:10] * 255).save(drawn)
    corrected = Path("out", seven[0].name).with_suffix(".mask.png")
    Image.fromarray(np.eye(14, dtype=np.uint8)[:10] * 255).save(corrected)
    before = drawn.read_bytes(), corrected.read_bytes()
    report = run(seven, formats=("mask", "overlay", "coco"))
    assert (drawn.read_bytes(), corrected.read_bytes()) == before
    assert sorted(report.kept) == sorted([new.path, seven[0].path])
    coco = COCO("out/coco.json")
    areas = {coco.imgs[each["image_id"]]["file_name"]: each["area"] for each in coco.anns.values()}
    assert areas[new.name] == areas[seven[0].name] == 10
    assert len(areas) == 7
    assert Path("out", seven[0].name).with_suffix(".overlay.jpg").exists(), "other outputs are still written"
    again = run(seven, never, formats=("mask", "overlay", "coco"))
    assert (len(again.kept), again.skipped) == (2, 5)


def test_a_corrected_output_as_example_processes_all_other_images_again(seven: list[ImageFile]) -> None:
    run(seven, settings={"concept": "1"})
    corrected = Path("out", seven[0].name).with_suffix(".mask.png")
    with pytest.raises(OutputError, match="examples"):
        run(seven, settings={"concept": "2"})
    before = corrected.read_bytes()
    report = run(seven, settings={"concept": "2"}, protect=[corrected])
    assert (report.done, report.again, report.kept) == (6, True, [seven[0].path])
    assert corrected.read_bytes() == before
    assert run(seven, never, settings={"concept": "2"}, protect=[corrected]).skipped == 6
    assert len(COCO("out/coco.json").imgs) == 7


def test_a_dry_run_counts_and_writes_nothing(seven: list[ImageFile]) -> None:
    assert run(seven, never, dry_run=True).planned == 7
    assert not Path("out").exists()
    run(seven[:3])
    before = files_of()
    report = run(seven, never, dry_run=True)
    assert (report.planned, report.skipped) == (4, 3)
    assert files_of() == before
    with pytest.raises(OutputError, match="model"):
        run(seven, settings={"model": "hsnet"}, dry_run=True)


def test_an_image_that_needs_more_memory_than_allowed_fails_alone(seven: list[ImageFile]) -> None:
    report = run(seven, memory=13 * 14 * 24)
    assert [path.name for path, _ in report.failed] == ["4.png", "6.png", "5.png"], "taller than 13 pixels"
    assert all("--memory" in reason for _, reason in report.failed)


def test_images_at_once_are_written_in_order(seven: list[ImageFile]) -> None:
    together = threading.Barrier(2, timeout=10)

    def segment(image: ScaledImage, file: ImageFile) -> Result:
        if file in seven[:2]:
            together.wait()  # or this fails: the first two are in work at the same time
        if file == seven[0]:
            time.sleep(0.05)
        return bright(image)

    report = run(seven, segment, at_once=2)
    assert (report.done, report.failed) == (7, [])
    written = [json.loads(line)["name"] for line in Path("out/.likewise/finished.jsonl").read_text().splitlines()]
    assert written == [file.name for file in seven]


@pytest.mark.parametrize("at_once", [1, 3])
def test_large_images_are_not_read_ahead(photos: Path, monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    for index in range(6):
        save_flat(photos / f"{index}.png", size=(40, 40))
    held, most = 0, 0
    original = pipeline.read_scaled

    def reading(image: ImageFile, short: int | None) -> ScaledImage:
        nonlocal held, most
        held += 1
        most = max(most, held)
        return original(image, short)

    def segment(image: ScaledImage, file: ImageFile) -> Result:
        nonlocal held
        time.sleep(0.02)
        held -= 1
        return bright(image)

    monkeypatch.setattr(pipeline, "read_scaled", reading)
    assert run(find_images([photos]), segment, memory=1600 * 24, at_once=at_once).done == 6
    assert most == 1


def test_an_output_that_is_a_file_is_refused(seven: list[ImageFile]) -> None:
    Path("out").write_text("")
    with pytest.raises(OutputError, match="out"):
        run(seven)


def test_a_result_that_a_writer_cannot_handle_fails_alone(seven: list[ImageFile]) -> None:
    def wrong(image: ScaledImage, file: ImageFile) -> Result:
        result = bright(image)
        return replace(result, labels=result.labels[:3]) if len(image.pixels) == 12 else result

    report = run(seven, wrong, formats=("overlay",))
    assert [path.name for path, _ in report.failed] == ["2.png"]


def test_few_images_are_in_memory_at_a_time(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for index in range(60):
        save_flat(photos / f"{index}.png")
    read, used, lead = 0, 0, []
    lock = threading.Lock()
    original = pipeline.read_scaled

    def counting(image: ImageFile, short: int | None) -> ScaledImage:
        nonlocal read
        with lock:
            read += 1
        return original(image, short)

    def segment(image: ScaledImage, file: ImageFile) -> Result:
        nonlocal used
        used += 1
        time.sleep(0.002)
        lead.append(read - used)
        return bright(image)

    monkeypatch.setattr(pipeline, "read_scaled", counting)
    assert run(find_images([photos]), segment).done == 60
    assert max(lead) <= 5


def test_images_are_read_while_the_model_works(seven: list[ImageFile], monkeypatch: pytest.MonkeyPatch) -> None:
    read_before = threading.Event()
    original = pipeline.read_scaled

    def reading(image: ImageFile, short: int | None) -> ScaledImage:
        if image.name == "2.png":
            read_before.set()
        return original(image, short)

    def segment(image: ScaledImage, file: ImageFile) -> Result:
        assert read_before.wait(60), "the second image is read while the first is with the model"
        return bright(image)

    monkeypatch.setattr(pipeline, "read_scaled", reading)
    assert run(seven, segment).failed == []


@pytest.mark.slow
def test_jobs_and_viz_do_not_import_torch() -> None:
    program = (
        "import sys, likewise.jobs.segment, likewise.jobs.cosegment, likewise.jobs.saliency, likewise.jobs.parse, "
        "likewise.jobs.demo, likewise.viz.draw; sys.exit('torch' in sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(pipeline.__file__).parents[2])}
    assert subprocess.run([sys.executable, "-c", program], env=environment, check=False).returncode == 0


def test_the_model_gets_the_file_of_each_image_and_its_errors_concern_that_image(seven: list[ImageFile]) -> None:
    def segment(image: ScaledImage, file: ImageFile) -> Result:
        if file.name == "2.png":
            raise ImageError("no map")
        return bright(image)

    report = run(seven, segment)
    assert [(path.name, reason) for path, reason in report.failed] == [("2.png", "no map")]
    assert report.done == 6


def test_a_legend_names_the_labels_of_label_images(seven: list[ImageFile]) -> None:
    run(seven, classes=("a", "b"), formats=("labels",), out="classes")
    assert Path("classes/legend.csv").read_text().splitlines()[:3] == [
        "label,class,red,green,blue", "0,background,0,0,0", "1,a,238,51,119",
    ]  # fmt: skip
    run(seven, classes=("7", "38"), labels=(7, 38), formats=("labels",), out="scenes")
    assert [line.split(",")[:2] for line in Path("scenes/legend.csv").read_text().splitlines()[1:]] == [
        ["7", "7"], ["38", "38"],
    ]  # fmt: skip
    run(seven, classes=("a",), formats=("labels",), out="one")
    assert Path("one/legend.csv").read_text().splitlines()[2].startswith("1,a,")
    for formats, classes in ((("mask",), ("a",)), (("labels", "mask"), ("a",)), (("overlay",), ("a", "b"))):
        run(seven, classes=classes, formats=formats, out="none", force=True)
        assert not Path("none/legend.csv").exists()
