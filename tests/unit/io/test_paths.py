import os
import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from likewise.errors import ImageError
from likewise.io.paths import ImageFile, find_images, find_mask, images_in, natural_order, visible_entries
from support.fakes import noise, save_flat, write_image


def names(images: list[ImageFile]) -> list[str]:
    return [image.name for image in images]


def test_natural_order_sorts_numbers_by_value() -> None:
    texts = ["img10.jpg", "img2.jpg", "Img1.jpg", "a", "1", "img", "img02.jpg", "²"]
    assert sorted(texts, key=natural_order) == sorted(texts[3:] + texts[:3], key=natural_order)
    ordered = sorted(texts, key=natural_order)
    assert ordered.index("Img1.jpg") < ordered.index("img2.jpg") < ordered.index("img10.jpg")


def test_a_folder_is_searched_recursively_without_hidden_entries(photos: Path) -> None:
    for name in ("img10.jpg", "img2.JPG", "sub/deep/b.png", "sub/a.webp", "z.tif"):
        save_flat(photos / name)
    for name in ("notes.txt", "sub/data.json", "README"):
        (photos / name).write_text("no image")
    for name in (".hidden.jpg", ".cache/thumbnail.jpg", "sub/.trash/x.jpg"):
        save_flat(photos / name)
    found = find_images([photos])
    assert names(found) == ["img2.JPG", "img10.jpg", "sub/a.webp", "sub/deep/b.png", "z.tif"]
    assert found[0].path == photos / "img2.JPG"


def test_files_keep_their_order_and_duplicates_are_dropped(photos: Path) -> None:
    b, a = save_flat(photos / "b.jpg"), save_flat(photos / "a.jpg")
    assert names(find_images([b, a, photos / ".." / "photos" / "b.jpg", photos])) == ["b.jpg", "a.jpg"]


def test_globs_are_expanded(photos: Path) -> None:
    for name in ("1.jpg", "2.png", "sub/3.jpg", "sub/.hidden.jpg", "notes.txt"):
        save_flat(photos / name) if not name.endswith("txt") else (photos / name).write_text("")
    assert names(find_images(["photos/*.jpg"])) == ["1.jpg"]
    assert names(find_images(["photos/**/*.jpg"])) == ["1.jpg", "sub/3.jpg"]
    assert names(find_images([str(photos.resolve() / "**")])) == ["1.jpg", "2.png", "sub/3.jpg"]
    assert names(find_images(["photos/*"])) == ["1.jpg", "2.png", "sub/3.jpg"]
    assert names(find_images(["*/1.*"])) == ["photos/1.jpg"]


def test_an_existing_name_with_brackets_is_not_a_glob(photos: Path) -> None:
    save_flat(photos / "photo[1].jpg")
    assert names(find_images(["photos/photo[1].jpg"])) == ["photo[1].jpg"]


def test_masks_and_outputs_beside_their_images_are_skipped(photos: Path) -> None:
    for name in ("x.jpg", "x.mask.png", "x.overlay.jpg", "y.png", "y_mask.png", "alone_mask.png", "unmask.png"):
        save_flat(photos / name)
    assert names(find_images([photos])) == ["alone_mask.png", "unmask.png", "x.jpg", "y.png"]
    assert names(find_images(sorted(photos.iterdir()))) == ["alone_mask.png", "unmask.png", "x.jpg", "y.png"]


def test_excluded_files_and_folders_are_skipped(photos: Path) -> None:
    for name in ("a.jpg", "b.jpg", "out/a.mask.png", "out/else.jpg", "outside/c.jpg"):
        save_flat(photos / name)
    exclude = [photos / "b.jpg", photos / "out"]
    for paths in ([photos], ["photos/**"], ["photos/*"], ["photos/**/*.*"]):
        assert names(find_images(paths, exclude=exclude)) == ["a.jpg", "outside/c.jpg"], paths


def test_a_folder_is_searched_even_if_it_is_also_the_output_folder(photos: Path) -> None:
    save_flat(photos / "a.jpg")
    assert names(find_images([photos], exclude=[photos])) == ["a.jpg"]
    assert names(find_images(["photos/*.jpg"], exclude=[photos])) == ["a.jpg"]


def test_outputs_in_the_folder_of_an_earlier_run_are_skipped(photos: Path) -> None:
    for name in ("a.jpg", "masks/a.mask.png", "masks/sub/a.overlay.jpg", "masks/image.png"):
        save_flat(photos / name)
    (photos / "masks" / ".likewise").mkdir()
    assert names(find_images([photos])) == ["a.jpg", "masks/image.png"]
    assert names(find_images(["photos/**"])) == ["a.jpg", "masks/image.png"]


def test_a_folder_reached_by_a_link_is_entered_once(photos: Path) -> None:
    save_flat(photos / "a.jpg")
    try:
        (photos / "loop").symlink_to(photos.resolve(), target_is_directory=True)
    except OSError:
        pytest.skip("no symbolic links here")
    assert names(find_images([photos])) == ["a.jpg"]


def test_links_out_of_the_folder_are_followed_only_if_asked(photos: Path, tmp_path: Path) -> None:
    save_flat(photos / "a.jpg")
    store = tmp_path / "store"
    for name in ("b.jpg", "deep/c.jpg"):
        save_flat(store / name)
    (photos / "folder").symlink_to(store)
    (photos / "file.jpg").symlink_to(store / "b.jpg")
    (photos / "inside.jpg").symlink_to("a.jpg")
    with pytest.warns(UserWarning, match=r"photos: .*: 2; --follow-links"):
        assert names(find_images([photos])) == ["a.jpg"]
    assert names(find_images([photos], follow_links=True)) == ["a.jpg", "file.jpg", "folder/deep/c.jpg"]
    assert names(find_images([photos / "folder"])) == ["b.jpg", "deep/c.jpg"], "a link that is given is followed"
    assert names(find_images([photos / "file.jpg"])) == ["file.jpg"]


@pytest.mark.parametrize("follow_links", [False, True])
def test_links_to_themselves_and_to_nothing_do_not_end_the_search(photos: Path, follow_links: bool) -> None:
    save_flat(photos / "a.jpg")
    for name, target in {"self": "self", "x.jpg": "x.jpg", "gone.jpg": "nothing.jpg", "gone": "nothing"}.items():
        (photos / name).symlink_to(target)
    found = find_images([photos, photos / "x.jpg"], follow_links=follow_links)
    assert names(found) == ["a.jpg", "gone.jpg", "x.jpg"], "reading the last two fails with a reason"


@pytest.mark.skipif(os.geteuid() == 0, reason="the administrator reads every folder")
def test_an_unreadable_folder_is_skipped_with_a_warning(photos: Path) -> None:
    save_flat(photos / "a.jpg")
    closed = photos / "closed"
    closed.mkdir(mode=0)
    with pytest.warns(UserWarning, match="closed"):
        assert names(find_images([photos])) == ["a.jpg"]


def test_a_folder_that_the_system_refuses_is_skipped_with_a_warning(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_flat(photos / "a.jpg")
    (photos / "closed").mkdir()
    original = Path.iterdir

    def refusing(path: Path) -> Iterator[Path]:
        if path.name == "closed":
            raise PermissionError(13, "Permission denied")
        return original(path)

    monkeypatch.setattr(Path, "iterdir", refusing)
    with pytest.warns(UserWarning, match="closed"):
        assert names(find_images([photos])) == ["a.jpg"]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_a_name_that_is_not_utf8_is_found(photos: Path) -> None:
    save_flat(photos / "a.jpg")
    (photos / "a.jpg").rename(photos / os.fsdecode(b"\xff\xfe.jpg"))
    assert names(find_images([photos])) == ["\udcff\udcfe.jpg"]


def test_a_tilde_is_the_home_folder(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(photos.resolve()))
    save_flat(photos / "a.jpg")
    assert names(find_images(["~/a.jpg"])) == ["a.jpg"]


def test_equal_names_below_two_roots_are_extended_by_their_folders(photos: Path) -> None:
    for name in ("a/x.jpg", "b/x.jpg", "b/y.jpg", "c/a/x.jpg"):
        save_flat(photos / name)
    found = find_images([photos / "a", photos / "b", photos / "c" / "a"])
    assert names(found) == ["photos/a/x.jpg", "b/x.jpg", "y.jpg", "c/a/x.jpg"]


def test_paths_without_images_raise_an_error_that_names_them(photos: Path) -> None:
    save_flat(photos / "masks" / "only.txt.png")
    (photos / "empty").mkdir()
    with pytest.raises(ImageError, match=r"photos/absent\.jpg"):
        find_images(["photos/absent.jpg"])
    with pytest.raises(ImageError, match=r"photos/\*\.webp"):
        find_images(["photos/*.webp"])
    with pytest.raises(ImageError, match="photos/empty"):
        find_images(["photos/empty"])
    with pytest.raises(ImageError, match="photos/masks"):
        find_images(["photos/masks"], exclude=[photos / "masks" / "only.txt.png"])
    with pytest.raises(ImageError):
        find_images([])


@pytest.mark.parametrize(
    "mask", ["x.mask.png", "x_mask.PNG", "x_masks.tif", "X_cp_masks.png", "x.png", "x.TIF", "x.npy"]
)
def test_masks_beside_an_image_are_found_and_not_taken_for_images(photos: Path, mask: str) -> None:
    write_image(photos / "x.JPG", noise(0))
    np.save(photos / mask, np.zeros((3, 4))) if mask.endswith("npy") else save_flat(photos / mask)
    assert find_mask(photos / "x.JPG") == photos / mask
    assert names(find_images([photos])) == ["x.JPG"]


def test_names_pair_whatever_their_case_and_unicode_normal_form(photos: Path) -> None:
    composed, decomposed = unicodedata.normalize("NFC", "Café"), unicodedata.normalize("NFD", "CAFÉ")
    write_image(photos / f"{composed}.jpg", noise(0))
    save_flat(photos / f"{decomposed}.png")
    assert find_mask(photos / f"{composed}.jpg") == photos / f"{decomposed}.png"
    assert len(find_images([photos])) == 1


def test_photographs_of_one_stem_are_images(photos: Path) -> None:
    write_image(photos / "x.jpg", noise(0))
    write_image(photos / "x.png", noise(1))
    assert names(find_images([photos])) == ["x.jpg", "x.png"]


def test_a_cutout_beside_its_photograph_is_a_mask(photos: Path) -> None:
    write_image(photos / "x.jpg", noise(0))
    cutout = np.dstack([noise(0), np.zeros((60, 80), np.uint8)])
    write_image(photos / "x.png", cutout)
    assert names(find_images([photos])) == ["x.jpg"]


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ("set/images/1.jpg", "set/masks/1.png"),
        ("set/JPEGImages/1.JPG", "set/SegmentationClass/1.png"),
        ("set/img_dir/train/1.jpg", "set/ann_dir/train/1.png"),
        ("set/train/images/1.jpg", "set/train/labels/1_mask.png"),
    ],
)
def test_masks_in_a_sibling_folder_are_found_and_not_taken_for_images(photos: Path, image: str, mask: str) -> None:
    write_image(photos / image, noise(0))
    save_flat(photos / mask)
    save_flat((photos / mask).with_name("alone.png"))
    assert find_mask(photos / image) == photos / mask
    assert set(names(find_images([photos]))) == {image, str(Path(mask).with_name("alone.png"))}


def test_files_that_systems_leave_are_skipped(photos: Path) -> None:
    for name in ("a.jpg", "._a.jpg", "__MACOSX/a.jpg", "@eaDir/a.jpg", ".DS_Store/a.jpg"):
        save_flat(photos / name)
    (photos / "Thumbs.db").touch()
    assert [entry.name for entry in visible_entries(photos)] == ["a.jpg"]
    assert names(find_images([photos])) == ["a.jpg"]


def test_label_images_that_a_run_wrote_for_other_tools_are_skipped(photos: Path) -> None:
    for name in ("a.jpg", "out/voc/SegmentationClass/a.png", "voc/b.jpg"):
        save_flat(photos / name)
    (photos / "out/.likewise").mkdir()
    assert names(find_images([photos])) == ["a.jpg", "voc/b.jpg"]


def test_a_folder_without_images_or_that_is_not_there_has_none(photos: Path) -> None:
    assert images_in(photos) == images_in(photos / "absent") == []
    save_flat(photos / "a.jpg")
    save_flat(photos / "out/b.jpg")
    assert names(images_in(photos, photos / "out")) == ["a.jpg"]
