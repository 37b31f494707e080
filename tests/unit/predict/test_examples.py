"""Examples: how arguments name them, and which pixels they mark."""

import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from likewise.errors import ArgumentError, ExampleError, ImageError
from likewise.predict.examples import Example, mark
from likewise.predict.find_examples import find_examples
from support.fakes import noise, save_flat, write_image
from support.scenes import scene


def test_an_example_is_an_image_and_a_mask_joined_by_an_equals_sign(photos: Path) -> None:
    cat, mask = save_flat(photos / "cat.jpg"), save_flat(photos / "elsewhere.png")
    assert find_examples([f"{cat}={mask}"])[0] == [Example(cat, mask=mask)]


def test_file_names_may_contain_equals_signs(photos: Path) -> None:
    odd, mask = save_flat(photos / "a=b.jpg"), save_flat(photos / "m=n.png")
    assert find_examples([f"{odd}={mask}"])[0] == [Example(odd, mask=mask)]
    beside = save_flat(photos / "a=b.mask.png")
    assert find_examples([str(odd)])[0] == [Example(odd, mask=beside)]


def test_an_ambiguous_equals_sign_is_refused(photos: Path) -> None:
    for name in ("a", "b=c", "a=b", "c"):
        Image.new("L", (3, 3)).save(photos / name, format="png")
    os.chdir(photos)
    with pytest.raises(ExampleError, match="a with mask b=c or a=b with mask c"):
        find_examples(["a=b=c"])


@pytest.mark.parametrize("mask_name", ["cat.mask.png", "cat_mask.png", "cat.png"])
def test_a_mask_beside_its_image_is_found(photos: Path, mask_name: str) -> None:
    cat, mask = save_flat(photos / "cat.jpg"), save_flat(photos / mask_name)
    expected = [Example(cat, mask=mask)]
    assert find_examples([cat])[0] == expected
    assert find_examples([cat, mask])[0] == expected, "named one after the other"
    assert find_examples([mask, cat])[0] == expected, "as a shell may sort photos/*"


def test_a_png_is_not_its_own_mask(photos: Path) -> None:
    cat = save_flat(photos / "cat.png")
    with pytest.raises(ExampleError, match=r"cat\.png.*cat\.mask\.png, cat_mask\.png\."):
        find_examples([cat])
    with pytest.raises(ExampleError, match=r"cat\.png"):
        find_examples([cat, cat])


def test_a_mask_of_the_same_stem_follows_its_image(photos: Path) -> None:
    cat, mask = save_flat(photos / "cat.png"), save_flat(photos / "masks" / "cat.png")
    assert find_examples([cat, mask])[0] == [Example(cat, mask=mask)]


def test_two_images_of_one_stem_with_masks_of_their_own_are_two_examples(photos: Path) -> None:
    images = [save_flat(photos / "a" / "1.png"), save_flat(photos / "b" / "1.png")]
    masks = [save_flat(photos / "a" / "1.mask.png"), save_flat(photos / "b" / "1.mask.png")]
    assert find_examples(images)[0] == [Example(pair[0], mask=pair[1]) for pair in zip(images, masks, strict=True)]


def test_a_shell_expansion_of_images_and_masks_gives_each_pair_once(photos: Path) -> None:
    for stem in ("1", "2"):
        save_flat(photos / f"{stem}.jpg")
        save_flat(photos / f"{stem}.png")
    expected = [Example(photos / f"{stem}.jpg", mask=photos / f"{stem}.png") for stem in ("1", "2")]
    assert find_examples(sorted(photos.iterdir()))[0] == expected
    assert find_examples([*sorted(photos.glob("*.jpg")), *sorted(photos.glob("*.png"))])[0] == expected


def test_a_folder_of_pairs_is_a_class_and_its_subfolders_are_classes(photos: Path) -> None:
    for name in ("pets/1.jpg", "pets/1.png", "pets/cats/tom.jpg", "pets/cats/tom_mask.png", "pets/dogs/rex.png"):
        save_flat(photos / name)
    for name in (
        "pets/dogs/rex.mask.png",
        "pets/dogs/rex.overlay.jpg",
        "pets/.hidden/x.jpg",
        "pets/notes/todo.txt.gif",
    ):
        save_flat(photos / name)
    (photos / "pets/notes/todo.txt.gif").unlink()
    pets = photos / "pets"
    assert find_examples([pets])[0] == [
        Example(pets / "1.jpg", mask=pets / "1.png", class_name="pets"),
        Example(pets / "cats/tom.jpg", mask=pets / "cats/tom_mask.png", class_name="cats"),
        Example(pets / "dogs/rex.png", mask=pets / "dogs/rex.mask.png", class_name="dogs"),
    ]
    os.chdir(pets)
    assert {example.class_name for example in find_examples(["."])[0]} == {"pets", "cats", "dogs"}


def test_linked_class_folders_are_named_after_their_links(photos: Path) -> None:
    for name in ("red", "blue"):
        save_flat(photos / f"store/{name}/images/1.jpg")
        save_flat(photos / f"store/{name}/images/1.png")
        (photos / "pets").mkdir(exist_ok=True)
        (photos / "pets" / name).symlink_to(f"../store/{name}/images")
    assert {example.class_name for example in find_examples([photos / "pets"])[0]} == {"red", "blue"}
    (photos / "cats").symlink_to("store/red/images")
    assert [example.class_name for example in find_examples([photos / "cats"])[0]] == ["cats"]


def test_a_link_back_up_does_not_repeat_examples(photos: Path) -> None:
    image, mask = save_flat(photos / "pets/ball/1.jpg"), save_flat(photos / "pets/ball/1.png")
    (photos / "pets/ball/up").symlink_to("..")
    (photos / "pets/ball/self").symlink_to("self")
    assert find_examples([photos / "pets"])[0] == [Example(image, mask=mask, class_name="ball")]


def test_a_tilde_is_the_home_folder_on_both_sides_of_a_pair(photos: Path, monkeypatch) -> None:
    monkeypatch.setenv("HOME", str(photos))
    image, mask = save_flat(photos / "cat.jpg"), save_flat(photos / "cat.mask.png")
    assert find_examples(["~/cat.jpg=~/cat.mask.png"])[0] == [Example(image, mask=mask)]
    assert find_examples(["~/cat.jpg"])[0] == [Example(image, mask=mask)]


def test_boxes_and_scribbles_take_the_place_of_masks_in_order(photos: Path) -> None:
    cat, dog = save_flat(photos / "cat.jpg"), save_flat(photos / "dog.jpg")
    save_flat(photos / "dog.png")
    assert find_examples([cat, dog], boxes=["1,2,3,4", "0,0,5,6"]) == (
        [Example(cat, box=(1, 2, 3, 4)), Example(dog, box=(0, 0, 5, 6))],
        [],
    )
    assert find_examples([cat], scribbles=[Path("strokes.png")])[0] == [Example(cat, scribbles=Path("strokes.png"))]
    with pytest.raises(ArgumentError, match=r"2, boxes: 3;"):
        find_examples([cat, dog], boxes=["1,2,3,4"] * 3)
    with pytest.raises(ArgumentError, match=r"1, scribbles: 2;"):
        find_examples([cat], scribbles=[Path("a.png"), Path("b.png")])
    with pytest.raises(ArgumentError):
        find_examples([cat], boxes=["1,2,3,4"], scribbles=[Path("a.png")])
    with pytest.raises(ValueError, match="1,2,3"):
        find_examples([cat], boxes=["1,2,3"])


def test_a_box_is_for_the_image_without_a_mask(photos: Path) -> None:
    cat, mask = save_flat(photos / "cat.jpg"), save_flat(photos / "cat.png")
    dog = save_flat(photos / "dog.jpg")
    found = find_examples([cat, dog], boxes=["1,2,3,4"])[0]
    assert sorted(found, key=lambda example: example.name) == [Example(cat, mask=mask), Example(dog, box=(1, 2, 3, 4))]


def test_a_box_makes_a_mask_of_the_object_inside() -> None:
    image, disc = scene()
    _, foreground, background = mark(Example(image, box=(38, 28, 92, 82)))
    assert (foreground & disc).sum() / (foreground | disc).sum() > 0.85
    np.testing.assert_array_equal(background, ~foreground)


def test_of_a_negative_all_inside_the_box_is_not_the_object() -> None:
    image, _ = scene()
    assert mark(Example(image, box=(38, 28, 92, 82), absent=True))[1].sum() == 54 * 54


def test_beside_a_box_alone_all_but_a_ring_is_unknown() -> None:
    image, _ = scene()
    _, foreground, background = mark(Example(image, box=(38, 28, 92, 82), box_only=True))
    known = np.zeros(foreground.shape, bool)
    known[14:95, 24:105] = True
    np.testing.assert_array_equal(foreground | background, known)
    assert not (foreground & background).any()


def test_points_make_a_mask() -> None:
    image, disc = scene()
    _, foreground, background = mark(Example(image, points=[(65, 55, 1), (10, 10, 0)]))
    assert (foreground & disc).sum() / (foreground | disc).sum() > 0.85
    np.testing.assert_array_equal(background, ~foreground)


def test_the_points_of_one_image_are_one_example(photos: Path) -> None:
    cat, dog = save_flat(photos / "cat.jpg"), save_flat(photos / "dog.jpg")
    (found,), _ = find_examples([cat], points=["3,2,+", "9,7.5,-"])
    assert found == Example(cat, points=[(3, 2, 1), (9, 7.5, 0)])
    first, second = find_examples([cat, dog], points=["3,2,+ 9,7,-", "1,1"])[0]
    assert (first.points, second.points) == ([(3, 2, 1), (9, 7, 0)], [(1, 1, 1)])
    with pytest.raises(ArgumentError, match=r"2, points: 3;"):
        find_examples([cat, dog], points=["1,1,+"] * 3)
    with pytest.raises(ArgumentError, match="1,1,x"):
        find_examples([cat], points=["1,1,x"])
    with pytest.raises(ArgumentError, match="boxes and points"):
        find_examples([cat], points=["1,1,+"], boxes=["1,2,3,4"])


def test_the_error_for_an_image_without_a_mask_lists_the_names_tried(photos: Path) -> None:
    save_flat(photos / "a/cat.jpg")
    with pytest.raises(ExampleError, match=r"cat\.jpg.*cat\.mask\.png, .*, cat\.png\."):
        find_examples([photos / "a"])


def test_concepts_are_separated_from_images_and_a_label_goes_to_every_mask(photos: Path) -> None:
    cat, mask = save_flat(photos / "cat.jpg"), save_flat(photos / "cat.png")
    assert find_examples(["pets.concept"]) == ([], [Path("pets.concept")])
    examples, concepts = find_examples(["pets.concept", cat], label=8)
    assert examples == [Example(cat, mask=mask, label=8)]
    assert concepts == [Path("pets.concept")]


def test_the_error_for_a_missing_example_names_it(photos: Path) -> None:
    cat = save_flat(photos / "cat.jpg")
    (photos / "empty").mkdir()
    for texts, message in (
        (["photos/dog.jpg"], r"photos/dog\.jpg"),
        ([f"{cat}=photos/absent.png"], r"photos/absent\.png;"),
        ([f"{cat}="], "empty name"),
        (["x=y"], "x and y"),
        (["x=y=z"], "x=y=z"),
        (["photos/empty"], "photos/empty"),
        ([], ""),
    ):
        with pytest.raises(ExampleError, match=message):
            find_examples(texts)


def test_a_mask_and_scribbles_mark_foreground_and_background(photos: Path) -> None:
    cat = save_flat(photos / "cat.png", size=(12, 8))
    mask = np.zeros((8, 12), bool)
    mask[2:5, 3:7] = True
    image, foreground, background = mark(Example(cat, mask=mask))
    assert image.shape == (8, 12, 3)
    np.testing.assert_array_equal(foreground, mask)
    np.testing.assert_array_equal(background, ~mask)
    strokes = np.zeros((8, 12), np.uint8)
    strokes[3, 3:6], strokes[7, :] = 1, 2
    _, foreground, background = mark(Example(cat, scribbles=Image.fromarray(strokes)))
    np.testing.assert_array_equal(foreground, strokes == 1)
    np.testing.assert_array_equal(background, strokes == 2)


def test_scribbles_without_a_background_stroke_make_the_rest_background(photos: Path) -> None:
    cat = save_flat(photos / "cat.png", size=(12, 8))
    strokes = np.zeros((8, 12), np.uint8)
    strokes[3, 3:6] = 1
    _, foreground, background = mark(Example(cat, scribbles=Image.fromarray(strokes)))
    np.testing.assert_array_equal(background, ~foreground)


def test_a_mask_without_background_warns(photos: Path) -> None:
    cat = save_flat(photos / "cat.png", size=(12, 8))
    with pytest.warns(UserWarning, match=r"cat\.png"):
        mark(Example(cat, mask=np.ones((8, 12), bool)))


def test_ignored_pixels_are_unknown_whatever_marks_them(photos: Path) -> None:
    cat = save_flat(photos / "cat.png", size=(12, 8))
    ignore = np.zeros((8, 12), bool)
    ignore[:4] = True
    strokes = np.full((8, 12), 2, np.uint8)
    strokes[2:6, 3:6] = 1
    for marks in ({"mask": strokes == 1}, {"scribbles": strokes}):
        _, foreground, background = mark(Example(cat, ignore=ignore, **marks))
        np.testing.assert_array_equal(foreground, (strokes == 1) & ~ignore)
        np.testing.assert_array_equal(background, (strokes == 2) & ~ignore)
    with pytest.raises(ExampleError, match=r"cat\.png"):
        mark(Example(cat, mask=ignore, ignore=ignore))
    with pytest.raises(ImageError):
        mark(Example(cat, mask=ignore, ignore=ignore[:4]))


def test_examples_are_compared_by_value(photos: Path) -> None:
    mask = np.zeros((8, 12), bool)
    mask[2, 3] = True
    example = Example("cat.png", mask=mask, class_name="cat")
    assert example == Example("cat.png", mask=mask.copy(), class_name="cat")
    assert example != Example("cat.png", mask=~mask, class_name="cat")
    assert example != Example("cat.png", mask="mask.png", class_name="cat")
    assert repr(example) == "Example('cat.png', 'cat', mask)"


def test_a_saved_example_is_found_with_the_same_pixels(photos: Path) -> None:
    image = np.random.default_rng(0).integers(0, 255, (8, 12, 3), dtype=np.uint8)
    inside = np.zeros((8, 12), bool)
    inside[2:6, 3:6] = True
    example = Example(image, mask=inside)
    example.save(photos / "cat.png")
    (found,), _ = find_examples([photos / "cat.png"])
    for one, other in zip(mark(example), mark(found), strict=True):
        np.testing.assert_array_equal(one, other)
    unsure = Example(image, mask=inside, ignore=np.eye(8, 12, dtype=bool))
    unsure.save(photos / "dog.png")
    for one, other in zip(
        mark(unsure), mark(Example(photos / "dog.png", scribbles=photos / "dog.scribbles.png")), strict=True
    ):
        np.testing.assert_array_equal(one, other)
    assert Image.open(io.BytesIO(unsure._repr_png_())).size == (12, 8)


def write_pair(image: Path, mask: Path) -> None:
    write_image(image, noise(0))
    save_flat(mask, size=(80, 60))


def test_images_and_masks_in_two_folders_are_pairs(photos: Path) -> None:
    for stem in ("1", "2"):
        write_pair(photos / f"set/images/{stem}.jpg", photos / f"set/masks/{stem}.png")
    images, masks = photos / "set/images", photos / "set/masks"
    pairs = [(images / f"{stem}.jpg", masks / f"{stem}.png") for stem in ("1", "2")]
    for text, name in ((photos / "set", "set"), (images, "set"), (f"{images}={masks}", "object")):
        assert find_examples([text])[0] == [Example(image, mask=mask, class_name=name) for image, mask in pairs]


def test_the_parts_of_a_data_set_name_no_class_but_class_folders_do(photos: Path) -> None:
    write_pair(photos / "set/img_dir/train/1.jpg", photos / "set/ann_dir/train/1.png")
    write_pair(photos / "pets/images/cat/1.jpg", photos / "pets/masks/cat/1.png")
    write_pair(photos / "test/1.jpg", photos / "test/1.png")
    found = find_examples([photos / "set", photos / "pets", photos / "test"])[0]
    assert [example.class_name for example in found] == ["set", "cat", "test"]


def test_linked_folders_keep_their_names_and_links_back_up_end(photos: Path) -> None:
    for store in ("red", "blue"):
        write_pair(photos / f"store/{store}/images/1.jpg", photos / f"store/{store}/images/1.png")
        (photos / "pets").mkdir(exist_ok=True)
        (photos / f"pets/{store}").symlink_to((photos / f"store/{store}/images").resolve(), target_is_directory=True)
    (photos / "store/red/images/up").symlink_to("..", target_is_directory=True)
    assert [example.class_name for example in find_examples([photos / "pets"])[0]] == ["blue", "red"]


def test_an_image_without_a_mask_is_left_out_of_a_folder_with_a_warning(photos: Path) -> None:
    write_pair(photos / "ball/0.jpg", photos / "ball/0_mask.png")
    write_image(photos / "ball/1.jpg", noise(1))
    with pytest.warns(UserWarning, match=r"ball: 1 of 2 .*1\.jpg"):
        (found,), _ = find_examples([photos / "ball"])
    assert found.mask == photos / "ball/0_mask.png"
    with pytest.raises(ExampleError, match=r"1\.jpg"):
        find_examples([photos / "ball"], strict=True)


@pytest.mark.parametrize("images", [1, 2])
def test_the_boxes_of_one_image_are_one_example(photos: Path, images: int) -> None:
    two = save_flat(photos / "two.jpg")
    (found,), _ = find_examples([two] * images, boxes=["0,0,3,3", "6,4,9,8"])
    assert found == Example(two, box=[(0, 0, 3, 3), (6, 4, 9, 8)])
    with pytest.raises(ArgumentError, match=r"2, boxes: 3"):
        find_examples([two, save_flat(photos / "one.jpg")], boxes=["0,0,3,3"] * 3)


def test_a_mask_of_most_of_the_image_with_all_corners_is_reported_and_inverted(photos: Path) -> None:
    cat = save_flat(photos / "cat.jpg", size=(12, 8))
    inverted = np.ones((8, 12), bool)
    inverted[2:5, 3:7] = False
    with pytest.warns(UserWarning, match=r"cat\.jpg: .*88%.*--invert"):
        mark(Example(cat, mask=inverted))
    np.testing.assert_array_equal(mark(Example(cat, mask=inverted, invert=True))[1], ~inverted)
    Image.fromarray(inverted).save(photos / "cat.mask.png")
    (found,), _ = find_examples([cat], invert=True)
    np.testing.assert_array_equal(mark(found)[1], ~inverted)


def test_a_label_is_a_number_a_colour_or_a_name_of_a_palette(photos: Path) -> None:
    cat, mask = save_flat(photos / "cat.jpg"), save_flat(photos / "cat.png")
    for text, label in (("7", 7), ("nonzero", "nonzero"), ("#800000", (128, 0, 0)), (7, 7)):
        assert find_examples([cat], label=text)[0] == [Example(cat, mask=mask, label=label)]
    (found,), _ = find_examples([cat], label="bicycle", palette="voc")
    assert found.label == (0, 128, 0)
    with pytest.raises(ArgumentError, match="'ball'"):
        find_examples([cat], label="ball")
    (photos / "labelmap.txt").write_text("background:0,0,0::\nball:9,8,7::\n")
    assert find_examples([cat], label="ball")[0][0].label == (9, 8, 7)
    with pytest.raises(ExampleError, match=r"'bal'.*ball"):
        find_examples([cat], label="bal")


@pytest.mark.parametrize("name", ["", "  "])
def test_an_example_without_a_class_name_is_refused(name: str) -> None:
    with pytest.raises(ArgumentError, match=repr(name)):
        Example(np.zeros((20, 20, 3), np.uint8), mask=np.ones((20, 20), bool), class_name=name)
