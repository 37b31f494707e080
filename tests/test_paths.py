"""Which files a person's paths name."""

from pathlib import Path

import pytest

from fakes import save_flat
from likewise.images import PictureError
from likewise.paths import Picture, find_pictures, natural_order


def names(pictures: list[Picture]) -> list[str]:
    return [picture.name for picture in pictures]


def test_numbers_in_names_sort_as_numbers() -> None:
    texts = ["img10.jpg", "img2.jpg", "Img1.jpg", "a", "1", "img", "img02.jpg", "²"]
    assert sorted(texts, key=natural_order) == sorted(texts[3:] + texts[:3], key=natural_order)
    ordered = sorted(texts, key=natural_order)
    assert ordered.index("Img1.jpg") < ordered.index("img2.jpg") < ordered.index("img10.jpg")


def test_a_folder_is_searched_with_all_that_is_below_it(photos: Path) -> None:
    for name in ("img10.jpg", "img2.JPG", "sub/deep/b.png", "sub/a.webp", "z.tif"):
        save_flat(photos / name)
    for name in ("notes.txt", "sub/data.json", "README"):
        (photos / name).write_text("no picture")
    for name in (".hidden.jpg", ".cache/thumbnail.jpg", "sub/.trash/x.jpg"):
        save_flat(photos / name)
    found = find_pictures([photos])
    assert names(found) == ["img2.JPG", "img10.jpg", "sub/a.webp", "sub/deep/b.png", "z.tif"]
    assert found[0].path == photos / "img2.JPG"


def test_files_keep_their_order_and_come_once(photos: Path) -> None:
    b, a = save_flat(photos / "b.jpg"), save_flat(photos / "a.jpg")
    assert names(find_pictures([b, a, photos / ".." / "photos" / "b.jpg", photos])) == ["b.jpg", "a.jpg"]


def test_globs_are_expanded_where_the_shell_did_not(photos: Path) -> None:
    for name in ("1.jpg", "2.png", "sub/3.jpg", "sub/.hidden.jpg", "notes.txt"):
        save_flat(photos / name) if not name.endswith("txt") else (photos / name).write_text("")
    assert names(find_pictures(["photos/*.jpg"])) == ["1.jpg"]
    assert names(find_pictures(["photos/**/*.jpg"])) == ["1.jpg", "sub/3.jpg"]
    assert names(find_pictures([str(photos.resolve() / "**")])) == ["1.jpg", "2.png", "sub/3.jpg"]
    assert names(find_pictures(["photos/*"])) == ["1.jpg", "2.png", "sub/3.jpg"]
    assert names(find_pictures(["*/1.*"])) == ["photos/1.jpg"]


def test_a_name_with_brackets_is_a_name_where_it_exists(photos: Path) -> None:
    save_flat(photos / "photo[1].jpg")
    assert names(find_pictures(["photos/photo[1].jpg"])) == ["photo[1].jpg"]


def test_masks_and_outputs_beside_their_pictures_are_left_out(photos: Path) -> None:
    for name in ("x.jpg", "x.mask.png", "x.overlay.jpg", "y.png", "y_mask.png", "alone_mask.png", "unmask.png"):
        save_flat(photos / name)
    assert names(find_pictures([photos])) == ["alone_mask.png", "unmask.png", "x.jpg", "y.png"]
    assert names(find_pictures(sorted(photos.iterdir()))) == ["alone_mask.png", "unmask.png", "x.jpg", "y.png"]


def test_excluded_files_and_the_output_folder_are_left_out(photos: Path) -> None:
    for name in ("a.jpg", "b.jpg", "out/a.mask.png", "out/else.jpg", "outside/c.jpg"):
        save_flat(photos / name)
    exclude = [photos / "b.jpg", photos / "out"]
    for paths in ([photos], ["photos/**"], ["photos/*"], ["photos/**/*.*"]):
        assert names(find_pictures(paths, exclude=exclude)) == ["a.jpg", "outside/c.jpg"], paths


def test_a_folder_named_outright_is_searched_though_it_is_the_output(photos: Path) -> None:
    save_flat(photos / "a.jpg")
    assert names(find_pictures([photos], exclude=[photos])) == ["a.jpg"]
    assert names(find_pictures(["photos/*.jpg"], exclude=[photos])) == ["a.jpg"]


def test_outputs_of_another_earlier_run_are_left_out(photos: Path) -> None:
    for name in ("a.jpg", "masks/a.mask.png", "masks/sub/a.overlay.jpg", "masks/picture.png"):
        save_flat(photos / name)
    (photos / "masks" / ".likewise").mkdir()
    assert names(find_pictures([photos])) == ["a.jpg", "masks/picture.png"]
    assert names(find_pictures(["photos/**"])) == ["a.jpg", "masks/picture.png"]


def test_folders_that_link_to_each_other_are_entered_once(photos: Path) -> None:
    save_flat(photos / "a.jpg")
    try:
        (photos / "loop").symlink_to(photos.resolve(), target_is_directory=True)
    except OSError:
        pytest.skip("no symbolic links here")
    assert names(find_pictures([photos])) == ["a.jpg"]


def test_equal_names_below_two_roots_get_their_folders_before_them(photos: Path) -> None:
    for name in ("a/x.jpg", "b/x.jpg", "b/y.jpg", "c/a/x.jpg"):
        save_flat(photos / name)
    found = find_pictures([photos / "a", photos / "b", photos / "c" / "a"])
    assert names(found) == ["photos/a/x.jpg", "b/x.jpg", "y.jpg", "c/a/x.jpg"]


def test_paths_without_pictures_are_named(photos: Path) -> None:
    save_flat(photos / "masks" / "only.txt.png")
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
