import numpy as np
import pytest
from skimage import color, data
from skimage.draw import disk

from likewise.io.labels import IGNORE, MOST_CLASSES
from likewise.viz.draw import (
    crossed_out,
    label_palette,
    line_width,
    outline,
    overlay,
    palette,
)


def test_the_colour_of_a_class_does_not_depend_on_their_number() -> None:
    np.testing.assert_array_equal(palette(40)[:3], palette(3))
    assert palette(0).shape == (0, 3)
    assert len(np.unique(palette(100), axis=0)) == 100


# Machado, Oliveira and Fernandes (2009), full severity, in linear RGB
DICHROMACIES = {
    "none": np.eye(3),
    "protanopia": np.array([[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]]),
    "deuteranopia": np.array([[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]]),
}


@pytest.mark.parametrize("eyes", DICHROMACIES)
def test_the_first_six_colours_are_distinguishable_with_colour_vision_deficiencies(eyes: str) -> None:
    seen = (palette(6) / 255) ** 2.2 @ DICHROMACIES[eyes].T
    lab = color.rgb2lab((np.clip(seen, 0, 1) ** (1 / 2.2))[None])[0]
    distances = color.deltaE_ciede2000(lab[:, None], lab[None])
    assert distances[~np.eye(6, dtype=bool)].min() > 9


def test_the_label_palette_has_black_the_classes_and_grey_for_ignored() -> None:
    colours = label_palette()
    assert colours[0].tolist() == [0, 0, 0]
    np.testing.assert_array_equal(colours[1:IGNORE], palette(MOST_CLASSES))
    assert len(set(colours[IGNORE].tolist())) == 1


@pytest.fixture
def round_labels() -> np.ndarray:
    labels = np.zeros((120, 160), dtype=np.uint8)
    labels[disk((60, 50), 30)] = 1
    labels[disk((60, 115), 25)] = 2
    return labels


@pytest.mark.parametrize("ground", [0, 128, 255])
def test_an_overlay_shows_each_region_on_any_background(round_labels: np.ndarray, ground: int) -> None:
    image = np.full((*round_labels.shape, 3), ground, dtype=np.uint8)
    drawn = overlay(image, round_labels).astype(int)
    for point in ((60, 50), (60, 115)):
        tint = drawn[point] - drawn[0, 0]
        assert np.abs(tint).max() > 60, "the region differs from the rest"
    assert not np.array_equal(drawn[60, 50], drawn[60, 115]), "the classes differ"
    edge = drawn[60, 50 - 30 : 50 - 26]
    assert (edge == palette(1)[0]).all(axis=1).any(), "a line in the class colour is inside the edge"
    assert (drawn[60, 17:21] == 255).all(axis=1).any(), "a white line is outside"


def test_an_overlay_without_objects_is_a_copy_of_the_image() -> None:
    image = data.astronaut()[:50, :60].copy()
    drawn = overlay(image, np.zeros((50, 60), dtype=bool))
    np.testing.assert_array_equal(drawn, image)
    assert drawn is not image


def test_drawing_does_not_modify_its_inputs(round_labels: np.ndarray) -> None:
    image, labels = np.full((*round_labels.shape, 3), 90, dtype=np.uint8), round_labels.copy()
    overlay(image, labels)
    outline(image, labels == 1)
    assert (image == 90).all()
    np.testing.assert_array_equal(labels, round_labels)


def test_an_outline_does_not_change_the_interior(round_labels: np.ndarray) -> None:
    image = np.random.default_rng(0).integers(0, 255, (*round_labels.shape, 3), dtype=np.uint8)
    drawn = outline(image, round_labels == 1, colour=(1, 2, 3))
    np.testing.assert_array_equal(drawn[45:75, 35:65], image[45:75, 35:65])
    np.testing.assert_array_equal(drawn[:20], image[:20])
    assert (drawn == (1, 2, 3)).all(axis=2).sum() > 2 * 3.14 * 25


def test_a_full_mask_and_ignored_pixels_are_drawn() -> None:
    image = np.full((20, 30, 3), 100, dtype=np.uint8)
    assert overlay(image, np.ones((20, 30), dtype=bool)).shape == (20, 30, 3)
    assert (overlay(image, np.full((20, 30), IGNORE, dtype=np.uint8)) > 100).all()


def test_contours_are_thicker_in_larger_images() -> None:
    assert line_width(100, 100) == 2
    assert line_width(3000, 4000) > 10


def test_no_line_follows_the_edge_of_the_image() -> None:
    image = np.full((60, 80, 3), 100, dtype=np.uint8)
    mask = np.zeros((60, 80), dtype=bool)
    mask[:, 40:] = True
    drawn = outline(image, mask, colour=(1, 2, 3))
    assert (drawn[:, 44:] == 100).all()
    assert (drawn[:, 40:42] == (1, 2, 3)).all()
    assert (drawn[:, 39] == 255).all()
    assert (drawn[:, :39] == 100).all()


def test_a_crossed_out_image_keeps_what_is_beside_its_diagonals() -> None:
    image = np.full((60, 90, 3), 128, np.uint8)
    crossed = crossed_out(image)
    assert (crossed != image).any(axis=2)[[0, 0, 30, -1, -1], [0, -1, 45, 0, -1]].all()
    assert (crossed[28:32, :30] == 128).all()
    assert (image == 128).all()
