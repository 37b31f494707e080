import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from likewise import folder
from likewise.folder import (
    Example,
    OutputError,
    Picture,
    Report,
    find_examples,
    find_pictures,
    natural_order,
    segment_folder,
)
from likewise.formats import WRITERS
from likewise.images import PictureError


def save(path: Path, value: int = 200, size: tuple[int, int] = (12, 8)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB" if path.suffix != ".gif" else "P", size, (value,) * 3 if path.suffix != ".gif" else value).save(
        path
    )
    return path


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder `photos` in the working directory."""
    monkeypatch.chdir(tmp_path)
    path = Path("photos")
    path.mkdir()
    return path


def names(pictures: list[Picture]) -> list[str]:
    return [picture.name for picture in pictures]


# --- which pictures -------------------------------------------------------------------------------------------------


def test_numbers_in_names_sort_as_numbers() -> None:
    texts = ["img10.jpg", "img2.jpg", "Img1.jpg", "a", "1", "img", "img02.jpg", "²"]
    assert sorted(texts, key=natural_order) == sorted(texts[3:] + texts[:3], key=natural_order)
    ordered = sorted(texts, key=natural_order)
    assert ordered.index("Img1.jpg") < ordered.index("img2.jpg") < ordered.index("img10.jpg")


def test_a_folder_is_searched_with_all_that_is_below_it(photos: Path) -> None:
    for name in ("img10.jpg", "img2.JPG", "sub/deep/b.png", "sub/a.webp", "z.tif"):
        save(photos / name)
    for name in ("notes.txt", "sub/data.json", "README"):
        (photos / name).write_text("no picture")
    for name in (".hidden.jpg", ".cache/thumbnail.jpg", "sub/.trash/x.jpg"):
        save(photos / name)
    found = find_pictures([photos])
    assert names(found) == ["img2.JPG", "img10.jpg", "sub/a.webp", "sub/deep/b.png", "z.tif"]
    assert found[0].path == photos / "img2.JPG"


def test_files_keep_their_order_and_come_once(photos: Path) -> None:
    b, a = save(photos / "b.jpg"), save(photos / "a.jpg")
    assert names(find_pictures([b, a, photos / ".." / "photos" / "b.jpg", photos])) == ["b.jpg", "a.jpg"]


def test_globs_are_expanded_where_the_shell_did_not(photos: Path) -> None:
    for name in ("1.jpg", "2.png", "sub/3.jpg", "sub/.hidden.jpg", "notes.txt"):
        save(photos / name) if not name.endswith("txt") else (photos / name).write_text("")
    assert names(find_pictures(["photos/*.jpg"])) == ["1.jpg"]
    assert names(find_pictures(["photos/**/*.jpg"])) == ["1.jpg", "sub/3.jpg"]
    assert names(find_pictures([str(photos.resolve() / "**")])) == ["1.jpg", "2.png", "sub/3.jpg"]
    assert names(find_pictures(["photos/*"])) == ["1.jpg", "2.png", "sub/3.jpg"]
    assert names(find_pictures(["*/1.*"])) == ["photos/1.jpg"]


def test_a_name_with_brackets_is_a_name_where_it_exists(photos: Path) -> None:
    save(photos / "photo[1].jpg")
    assert names(find_pictures(["photos/photo[1].jpg"])) == ["photo[1].jpg"]


def test_masks_and_outputs_beside_their_pictures_are_left_out(photos: Path) -> None:
    for name in ("x.jpg", "x.mask.png", "x.overlay.jpg", "y.png", "y_mask.png", "alone_mask.png", "unmask.png"):
        save(photos / name)
    assert names(find_pictures([photos])) == ["alone_mask.png", "unmask.png", "x.jpg", "y.png"]
    assert names(find_pictures(sorted(photos.iterdir()))) == ["alone_mask.png", "unmask.png", "x.jpg", "y.png"]


def test_excluded_files_and_the_output_folder_are_left_out(photos: Path) -> None:
    for name in ("a.jpg", "b.jpg", "out/a.mask.png", "out/else.jpg", "outside/c.jpg"):
        save(photos / name)
    exclude = [photos / "b.jpg", photos / "out"]
    for paths in ([photos], ["photos/**"], ["photos/*"], ["photos/**/*.*"]):
        assert names(find_pictures(paths, exclude=exclude)) == ["a.jpg", "outside/c.jpg"], paths


def test_a_folder_named_outright_is_searched_though_it_is_the_output(photos: Path) -> None:
    save(photos / "a.jpg")
    assert names(find_pictures([photos], exclude=[photos])) == ["a.jpg"]
    assert names(find_pictures(["photos/*.jpg"], exclude=[photos])) == ["a.jpg"]


def test_outputs_of_another_earlier_run_are_left_out(photos: Path) -> None:
    for name in ("a.jpg", "masks/a.mask.png", "masks/sub/a.overlay.jpg", "masks/picture.png"):
        save(photos / name)
    (photos / "masks" / ".likewise").mkdir()
    assert names(find_pictures([photos])) == ["a.jpg", "masks/picture.png"]
    assert names(find_pictures(["photos/**"])) == ["a.jpg", "masks/picture.png"]


def test_folders_that_link_to_each_other_are_entered_once(photos: Path) -> None:
    save(photos / "a.jpg")
    try:
        (photos / "loop").symlink_to(photos.resolve(), target_is_directory=True)
    except OSError:
        pytest.skip("no symbolic links here")
    assert names(find_pictures([photos])) == ["a.jpg"]


def test_equal_names_below_two_roots_get_their_folders_before_them(photos: Path) -> None:
    for name in ("a/x.jpg", "b/x.jpg", "b/y.jpg", "c/a/x.jpg"):
        save(photos / name)
    found = find_pictures([photos / "a", photos / "b", photos / "c" / "a"])
    assert names(found) == ["photos/a/x.jpg", "b/x.jpg", "y.jpg", "c/a/x.jpg"]


def test_paths_without_pictures_are_named(photos: Path) -> None:
    save(photos / "masks" / "only.txt.png")
    (photos / "empty").mkdir()
    with pytest.raises(PictureError, match=r"photos/absent\.jpg: no such file or folder"):
        find_pictures(["photos/absent.jpg"])
    with pytest.raises(PictureError, match=r"photos/\*\.webp: no picture matches"):
        find_pictures(["photos/*.webp"])
    with pytest.raises(PictureError, match="photos/empty: no picture in this folder"):
        find_pictures(["photos/empty"])
    with pytest.raises(PictureError, match="photos/masks: no picture to segment; examples' masks"):
        find_pictures(["photos/masks"], exclude=[photos / "masks" / "only.txt.png"])
    with pytest.raises(PictureError, match="no path given"):
        find_pictures([])


# --- which examples -------------------------------------------------------------------------------------------------


def test_an_example_is_a_picture_and_a_mask_joined_by_an_equals_sign(photos: Path) -> None:
    cat, mask = save(photos / "cat.jpg"), save(photos / "elsewhere.png")
    assert find_examples([f"{cat}={mask}"]) == [Example(cat, mask, "object")]


def test_names_with_equals_signs_are_understood(photos: Path) -> None:
    odd, mask = save(photos / "a=b.jpg"), save(photos / "m=n.png")
    assert find_examples([f"{odd}={mask}"]) == [Example(odd, mask, "object")]
    beside = save(photos / "a=b.mask.png")
    assert find_examples([str(odd)]) == [Example(odd, beside, "object")]


def test_an_equals_sign_that_can_be_read_in_two_ways_is_refused(photos: Path) -> None:
    for name in ("a", "b=c", "a=b", "c"):
        Image.new("L", (3, 3)).save(photos / name, format="png")
    os.chdir(photos)
    with pytest.raises(PictureError, match="may be a with mask b=c or a=b with mask c; rename"):
        find_examples(["a=b=c"])


@pytest.mark.parametrize("mask_name", ["cat.mask.png", "cat_mask.png", "cat.png"])
def test_a_mask_beside_its_picture_is_found(photos: Path, mask_name: str) -> None:
    cat, mask = save(photos / "cat.jpg"), save(photos / mask_name)
    expected = [Example(cat, mask, "object")]
    assert find_examples([cat]) == expected
    assert find_examples([cat, mask]) == expected, "named one after the other"
    assert find_examples([mask, cat]) == expected, "as a shell may sort photos/*"


def test_a_png_is_not_its_own_mask(photos: Path) -> None:
    cat = save(photos / "cat.png")
    with pytest.raises(PictureError, match=r"cat\.png: no mask beside it; looked for cat\.mask\.png, cat_mask\.png\."):
        find_examples([cat])
    with pytest.raises(PictureError, match="no mask beside it"):
        find_examples([cat, cat])


def test_a_mask_of_the_same_stem_follows_its_picture(photos: Path) -> None:
    cat, mask = save(photos / "cat.png"), save(photos / "masks" / "cat.png")
    assert find_examples([cat, mask]) == [Example(cat, mask, "object")]


def test_two_pictures_of_one_stem_with_masks_of_their_own_are_two_examples(photos: Path) -> None:
    pictures = [save(photos / "a" / "1.png"), save(photos / "b" / "1.png")]
    masks = [save(photos / "a" / "1.mask.png"), save(photos / "b" / "1.mask.png")]
    assert find_examples(pictures) == [Example(*pair, "object") for pair in zip(pictures, masks, strict=True)]


def test_a_shell_expansion_of_pictures_and_masks_gives_each_pair_once(photos: Path) -> None:
    for stem in ("1", "2"):
        save(photos / f"{stem}.jpg")
        save(photos / f"{stem}.png")
    expected = [Example(photos / f"{stem}.jpg", photos / f"{stem}.png", "object") for stem in ("1", "2")]
    assert find_examples(sorted(photos.iterdir())) == expected
    assert find_examples([*sorted(photos.glob("*.jpg")), *sorted(photos.glob("*.png"))]) == expected


def test_a_folder_of_pairs_is_a_class_and_its_subfolders_are_classes(photos: Path) -> None:
    for name in ("pets/1.jpg", "pets/1.png", "pets/cats/tom.jpg", "pets/cats/tom_mask.png", "pets/dogs/rex.png"):
        save(photos / name)
    for name in (
        "pets/dogs/rex.mask.png",
        "pets/dogs/rex.overlay.jpg",
        "pets/.hidden/x.jpg",
        "pets/notes/todo.txt.gif",
    ):
        save(photos / name)
    (photos / "pets/notes/todo.txt.gif").unlink()
    pets = photos / "pets"
    assert find_examples([pets]) == [
        Example(pets / "1.jpg", pets / "1.png", "pets"),
        Example(pets / "cats/tom.jpg", pets / "cats/tom_mask.png", "cats"),
        Example(pets / "dogs/rex.png", pets / "dogs/rex.mask.png", "dogs"),
    ]
    os.chdir(pets)
    assert {example.class_name for example in find_examples(["."])} == {"pets", "cats", "dogs"}


def test_masks_may_be_missing_where_a_box_takes_their_place(photos: Path) -> None:
    cat, dog, mask = save(photos / "a/cat.jpg"), save(photos / "a/dog.jpg"), save(photos / "a/dog.png")
    assert find_examples([cat], masks_required=False) == [Example(cat, None, "object")]
    assert find_examples([photos / "a"], masks_required=False) == [Example(cat, None, "a"), Example(dog, mask, "a")]
    with pytest.raises(
        PictureError, match=r"cat\.jpg: no mask beside it; looked for cat\.mask\.png, .*, cat\.png\. Give"
    ):
        find_examples([photos / "a"])


def test_examples_that_do_not_exist_are_named(photos: Path) -> None:
    cat = save(photos / "cat.jpg")
    (photos / "empty").mkdir()
    for texts, message in (
        (["photos/dog.jpg"], r"photos/dog\.jpg: no such example"),
        ([f"{cat}=photos/absent.png"], r"there is no file photos/absent\.png; check"),
        ([f"{cat}="], "there is no file of the empty name"),
        (["x=y"], "there is no file x and no file y"),
        (["x=y=z"], "no = in it stands between two files that exist"),
        (["photos/empty"], "photos/empty: no picture in this folder"),
        ([], "no example given"),
    ):
        with pytest.raises(PictureError, match=message):
            find_examples(texts)


# --- a run ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class FakeResult:
    labels: np.ndarray
    classes: tuple[str, ...] = ("bright",)
    scores: tuple[float, ...] = (0.5,)

    @property
    def mask(self) -> np.ndarray:
        return self.labels > 0

    @property
    def probability(self) -> np.ndarray:
        return self.mask.astype(np.float32)


def bright(picture: np.ndarray) -> FakeResult:
    """A stand-in for the model: what is brighter than the middle."""
    return FakeResult((picture[..., 0] > 127).astype(np.uint8))


@pytest.fixture
def seven(photos: Path) -> list[Picture]:
    """Seven pictures of different sizes, the upper half of each bright."""
    for index in range(7):
        array = np.zeros((10 + index, 14, 3), dtype=np.uint8)
        array[: 5 + index // 2] = 255
        path = photos / ("sub" if index % 2 else "") / f"{index}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(array).save(path)
    return find_pictures([photos])


def run(pictures: list[Picture], segment: Callable[[np.ndarray], Any] = bright, **options: Any) -> Report:
    options = {"formats": ("mask", "coco"), "classes": ("bright",), "settings": {"model": "panet"}} | options
    return segment_folder(pictures, segment, options.pop("out", "out"), **options)


def files_of(out: str = "out") -> set[str]:
    return {path.relative_to(out).as_posix() for path in Path(out).rglob("*") if path.is_file()}


def never(picture: np.ndarray) -> FakeResult:
    raise AssertionError("nothing was left to do")


def test_every_format_of_every_picture_is_written(seven: list[Picture]) -> None:
    calls: list[tuple[int, int]] = []
    report = run(seven, formats=(*WRITERS, "coco"), progress=lambda settled, total: calls.append((settled, total)))
    assert (report.done, report.skipped, report.failed) == (7, 0, [])
    assert report.seconds > 0
    stems = ["0", "2", "4", "6", "sub/1", "sub/3", "sub/5"]
    suffixes = [suffix for suffix, _ in WRITERS.values()]
    records = {".likewise/finished.jsonl", ".likewise/settings.json", "coco.json"}
    assert files_of() == {stem + suffix for stem in stems for suffix in suffixes} | records
    assert calls == [(settled, 7) for settled in range(8)]
    with Image.open("out/sub/3.mask.png") as mask:
        np.testing.assert_array_equal(np.asarray(mask)[:, 0], [255] * 6 + [0] * 7)


def test_a_second_run_skips_what_is_finished(seven: list[Picture]) -> None:
    run(seven)
    before = Path("out/coco.json").read_text()
    Path("out/coco.json").unlink()
    calls: list[tuple[int, int]] = []
    report = run(seven, never, progress=lambda settled, total: calls.append((settled, total)))
    assert (report.done, report.skipped, report.failed) == (0, 7, [])
    assert calls == [(7, 7)]
    assert Path("out/coco.json").read_text() == before


def test_what_is_missing_changed_or_new_is_done(seven: list[Picture], photos: Path) -> None:
    run(seven)
    Path("out/2.mask.png").unlink()
    save(photos / "sub/3.png", value=10)
    save(photos / "new.jpg")
    report = run(find_pictures([photos]))
    assert (report.done, report.skipped, report.failed) == (3, 5, [])
    coco = COCO("out/coco.json")
    assert [image["file_name"] for image in coco.dataset["images"]] == [
        "0.png", "2.png", "4.png", "6.png", "new.jpg", "sub/1.png", "sub/3.png", "sub/5.png",
    ]  # fmt: skip
    assert (coco.dataset["images"][6]["height"], coco.dataset["images"][6]["width"]) == (8, 12)
    assert not coco.getAnnIds(imgIds=7), "the changed picture is dark now"
    report = run(find_pictures([photos]), never, formats=("mask", "coco"))
    assert report.skipped == 8


def test_another_format_is_added_to_a_finished_run(seven: list[Picture]) -> None:
    run(seven, formats=("mask",))
    assert run(seven, never, formats=("coco",)).skipped == 7
    assert len(json.loads(Path("out/coco.json").read_text())["annotations"]) == 7
    assert run(seven, formats=("mask", "cutout")).done == 7


def test_pictures_of_earlier_runs_stay_in_the_coco_file(seven: list[Picture]) -> None:
    run(seven[:3])
    run(seven[3:])
    assert len(json.loads(Path("out/coco.json").read_text())["images"]) == 7


def test_other_settings_are_refused_by_name_and_force_does_all_again(seven: list[Picture]) -> None:
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


def test_settings_that_cannot_be_read_are_refused(seven: list[Picture]) -> None:
    run(seven)
    Path("out/.likewise/settings.json").write_text("{")
    with pytest.raises(
        OutputError, match=r"settings\.json: the settings of the earlier run cannot be read; pass --force"
    ):
        run(seven)


def test_settings_of_a_run_that_finished_nothing_do_not_matter(seven: list[Picture]) -> None:
    def interrupted(picture: np.ndarray) -> FakeResult:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(seven, interrupted)
    assert run(seven, settings={"model": "hsnet"}).done == 7


def test_pictures_that_fail_are_reported_and_the_others_done(seven: list[Picture], photos: Path) -> None:
    (photos / "bad.jpg").write_bytes(b"<html>")
    (photos / "empty.jpg").touch()
    save(photos / "heavy.png", size=(99, 7))
    pictures = [*find_pictures([photos]), Picture(photos / "gone.jpg", "gone.jpg")]

    def no_heavy(picture: np.ndarray) -> FakeResult:
        if picture.shape[1] == 99:
            raise RuntimeError("out of memory")
        return bright(picture)

    report = run(pictures, no_heavy)
    assert (report.done, report.skipped) == (7, 0)
    reasons = {path.name: reason for path, reason in report.failed}
    assert reasons["bad.jpg"].startswith("a web page, not a picture")
    assert reasons["empty.jpg"].startswith("empty (0 bytes)")
    assert reasons["gone.jpg"].startswith("no such file")
    assert reasons["heavy.png"] == "RuntimeError: out of memory"
    assert len(json.loads(Path("out/coco.json").read_text())["images"]) == 7
    again = run(pictures, never)
    assert again.skipped == 7
    assert len(again.failed) == 4


def test_a_picture_that_fails_now_leaves_the_coco_file(seven: list[Picture]) -> None:
    run(seven)
    seven[0].path.write_bytes(b"damaged since")
    run(seven)
    assert COCO("out/coco.json").dataset["images"][0]["file_name"] == "2.png"


def test_pictures_that_differ_in_the_suffix_alone_keep_it(photos: Path) -> None:
    for name in ("a.jpg", "a.webp", "b.jpg", "c.jpg", "c.tif", "c.jpg.bmp"):
        save(photos / name)
    run(find_pictures([photos]), formats=("mask",))
    masks = {name for name in files_of() if name.endswith(".mask.png")}
    assert masks == {"a.jpg.mask.png", "a.webp.mask.png", "b.mask.png", "c.jpg.mask.png", "c.tif.mask.png"} | {
        "c.jpg.bmp.mask.png"
    }


def test_two_pictures_of_one_name_are_refused(photos: Path) -> None:
    a, b = save(photos / "a" / "x.jpg"), save(photos / "b" / "x.jpg")
    with pytest.raises(ValueError, match=r"two pictures are named x\.jpg"):
        run([Picture(a, "x.jpg"), Picture(b, "x.jpg")])


def test_no_input_is_ever_overwritten(photos: Path) -> None:
    picture, mask = save(photos / "cat.jpg"), save(photos / "cat.mask.png")
    before = mask.read_bytes()
    pictures = find_pictures([picture])
    for force in (False, True):
        with pytest.raises(OutputError, match=r"cat\.mask\.png: is an input and would be overwritten"):
            run(pictures, out=photos, protect=[mask], force=force)
    odd = save(photos / "dog.cutout.png")
    with pytest.raises(OutputError, match=r"dog\.cutout\.png: is an input"):
        run([Picture(save(photos / "dog.jpg"), "dog.jpg"), Picture(odd, "else.png")], out=photos, formats=["cutout"])
    assert mask.read_bytes() == before
    assert not (photos / ".likewise").exists(), "found out before anything is written"


def test_masks_that_are_not_ours_are_kept_unless_forced(photos: Path) -> None:
    picture, mask = save(photos / "cat.jpg"), save(photos / "cat.mask.png")
    before = mask.read_bytes()
    with pytest.raises(OutputError, match=r"cat\.mask\.png: exists and was not made by an earlier run.*--force"):
        run(find_pictures([picture]), out=photos)
    assert mask.read_bytes() == before
    assert run(find_pictures([picture]), out=photos, force=True).done == 1
    assert run(find_pictures([photos]), never, out=photos).skipped == 1


def test_an_output_that_is_a_file_is_refused(seven: list[Picture]) -> None:
    Path("out").write_text("")
    with pytest.raises(OutputError, match="out: a file, where the folder for the results is needed"):
        run(seven)


def _write_failing_from(count: int, error: OSError) -> tuple[str, Callable[..., None]]:
    suffix, write = WRITERS["mask"]
    calls = iter(range(100))

    def failing(picture: np.ndarray, result: Any, path: Path) -> None:
        if next(calls) >= count:
            raise error
        write(picture, result, path)

    return suffix, failing


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES, errno.EROFS])
def test_a_disk_that_refuses_stops_the_run_with_what_is_finished_kept(
    seven: list[Picture], monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    with monkeypatch.context() as patch:
        patch.setitem(WRITERS, "mask", _write_failing_from(3, OSError(code, os.strerror(code))))
        with pytest.raises(OutputError, match=f"cannot be written .*{os.strerror(code)}.*what is finished is kept"):
            run(seven)
    report = run(seven)
    assert (report.done, report.skipped) == (4, 3)


def test_a_folder_that_cannot_be_made_is_named(seven: list[Picture]) -> None:
    Path("file").write_text("")
    with pytest.raises(OutputError, match=r"cannot be written .*[Nn]ot a directory"):
        run(seven, out="file/out")


def test_one_result_that_cannot_be_written_fails_alone(seven: list[Picture]) -> None:
    Path("out/2.mask.png").mkdir(parents=True)
    report = run(seven, force=True)
    assert report.done == 6
    assert [(path.name, "cannot be written" in reason) for path, reason in report.failed] == [("2.png", True)]


def test_a_model_error_about_a_shape_fails_alone(seven: list[Picture]) -> None:
    def wrong(picture: np.ndarray) -> FakeResult:
        return FakeResult(np.zeros((3, 3, 3), dtype=np.uint8)) if len(picture) == 12 else bright(picture)

    report = run(seven, wrong, formats=("overlay",))
    assert [path.name for path, _ in report.failed] == ["2.png"]


def test_an_interrupted_run_leaves_whole_files_and_is_resumed(seven: list[Picture]) -> None:
    calls = iter(range(100))

    def interrupted(picture: np.ndarray) -> FakeResult:
        if next(calls) == 4:
            raise KeyboardInterrupt
        return bright(picture)

    threads = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        run(seven, interrupted)
    assert threading.active_count() == threads, "no thread is left behind"
    stems = [name.removesuffix(".mask.png") for name in files_of() if name.endswith(".mask.png")]
    recorded = [json.loads(line)["name"] for line in Path("out/.likewise/finished.jsonl").read_text().splitlines()]
    assert sorted(f"{stem}.png" for stem in stems) == sorted(recorded)
    assert len(recorded) == 4
    assert not [name for name in files_of() if "part" in name]
    report = run(seven)
    assert (report.done, report.skipped) == (3, 4)


KILLED = """
import sys, time
from pathlib import Path
sys.path[:0] = {path!r}
from test_folder import bright, run
from likewise.folder import find_pictures

def slow(picture):
    time.sleep(0.02)
    return bright(picture)

run(find_pictures(["photos"]), slow, formats=("mask", "overlay", "cutout", "coco"))
"""


def test_a_run_that_is_killed_at_any_point_is_resumed_and_ends_as_if_it_never_was(photos: Path) -> None:
    generator = np.random.default_rng(0)
    for index in range(40):
        noise = generator.integers(0, 256, (50, 60, 3), dtype=np.uint8)
        Image.fromarray(noise).save(photos / f"{index}.png")
    pictures = find_pictures([photos])
    formats = ("mask", "overlay", "cutout", "coco")
    program = KILLED.format(path=[str(Path(__file__).parent), str(Path(folder.__file__).parents[1])])
    finished = Path("out/.likewise/finished.jsonl")
    recorded = 0
    for _ in range(3):
        with subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE) as process:
            deadline = time.monotonic() + 60
            while process.poll() is None and time.monotonic() < deadline:
                if finished.exists() and finished.read_bytes().count(b"\n") >= recorded + 5:
                    break
                time.sleep(0.003)
            alive = process.poll() is None
            process.send_signal(signal.SIGKILL)
            assert process.stderr is not None
            errors = process.stderr.read().decode()
        assert alive, errors
        recorded = finished.read_bytes().count(b"\n")
        for name in files_of():
            if "part" not in name and not name.startswith(".likewise"):
                with Image.open(f"out/{name}") as image:
                    image.load()
    assert not Path("out/coco.json").exists()
    with finished.open("ab") as file:
        file.write(b'{"size": 12, "mtime_')  # what a kill within a write leaves, and below too
    Path("out/.likewise-part-0.mask.png").write_bytes(b"half")

    report = run(pictures, formats=formats)
    assert report.skipped >= 15
    assert report.done + report.skipped == 40
    assert report.failed == []
    assert run(pictures, never, formats=formats).skipped == 40, "a line follows the one that was cut short"
    fresh = run(pictures, formats=formats, out="fresh")
    assert fresh.done == 40
    assert files_of("out") == files_of("fresh"), "nothing half written is left"
    for name in files_of("out") - {".likewise/finished.jsonl"}:
        assert Path("out", name).read_bytes() == Path("fresh", name).read_bytes(), name


def test_few_pictures_are_in_memory_at_a_time(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for index in range(60):
        save(photos / f"{index}.png")
    read, used, lead = 0, 0, []
    lock = threading.Lock()
    original = folder.read_picture

    def counting(path: Path) -> np.ndarray:
        nonlocal read
        with lock:
            read += 1
        return original(path)

    def segment(picture: np.ndarray) -> FakeResult:
        nonlocal used
        used += 1
        time.sleep(0.002)
        lead.append(read - used)
        return bright(picture)

    monkeypatch.setattr(folder, "read_picture", counting)
    assert run(find_pictures([photos]), segment).done == 60
    assert max(lead) <= 5
    assert max(lead) >= 1, "the next pictures are read while the model works"


def test_reading_goes_on_while_the_model_works(seven: list[Picture], monkeypatch: pytest.MonkeyPatch) -> None:
    read_before = threading.Event()
    original = folder.read_picture

    def reading(path: Path) -> np.ndarray:
        if path.name == "2.png":
            read_before.set()
        return original(path)

    def segment(picture: np.ndarray) -> FakeResult:
        assert read_before.wait(5), "the second picture is read while the first is with the model"
        return bright(picture)

    monkeypatch.setattr(folder, "read_picture", reading)
    assert run(seven, segment).failed == []


def test_these_modules_do_not_load_torch() -> None:
    program = "import sys, likewise.folder, likewise.draw; sys.exit('torch' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(Path(folder.__file__).parents[1])}
    assert subprocess.run([sys.executable, "-c", program], env=environment, check=False).returncode == 0
