from pathlib import Path

import pytest

from likewise.errors import ImageError
from likewise.io.paths import ImageFile, find_images, natural_order
from support.fakes import save_flat


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
