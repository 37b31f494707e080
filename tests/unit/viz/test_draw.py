import numpy as np
import pytest
from skimage import color, data
from skimage.draw import disk

from likewise.io.labels import IGNORE
from likewise.viz.draw import (
    Tile,
    contact_sheet,
    label_palette,
    line_width,
    outline,
    overlay,
    palette,
)


def test_a_class_keeps_its_colour_however_many_there_are() -> None:
    np.testing.assert_array_equal(palette(40)[:3], palette(3))
    assert palette(0).shape == (0, 3)
    assert len(np.unique(palette(100), axis=0)) == 100


# Machado, Oliveira and Fernandes (2009), full severity, in linear RGB
DICHROMACIES = {
    "nobody": np.eye(3),
    "protanopia": np.array([[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]]),
    "deuteranopia": np.array([[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]]),
}


@pytest.mark.parametrize("eyes", DICHROMACIES)
def test_the_first_six_colours_are_told_apart_by_the_colour_blind(eyes: str) -> None:
    seen = (palette(6) / 255) ** 2.2 @ DICHROMACIES[eyes].T
    lab = color.rgb2lab((np.clip(seen, 0, 1) ** (1 / 2.2))[None])[0]
    distances = color.deltaE_ciede2000(lab[:, None], lab[None])
    assert distances[~np.eye(6, dtype=bool)].min() > 9


def test_the_label_palette_has_black_the_classes_and_grey_for_ignored() -> None:
    colours = label_palette(2)
    assert colours[0].tolist() == [0, 0, 0]
    np.testing.assert_array_equal(colours[1:3], palette(2))
    assert not colours[3:IGNORE].any()
    assert len(set(colours[IGNORE].tolist())) == 1


@pytest.fixture
def round_labels() -> np.ndarray:
    labels = np.zeros((120, 160), dtype=np.uint8)
    labels[disk((60, 50), 30)] = 1
    labels[disk((60, 115), 25)] = 2
    return labels


@pytest.mark.parametrize("ground", [0, 128, 255])
def test_an_overlay_shows_each_region_on_any_ground(round_labels: np.ndarray, ground: int) -> None:
    image = np.full((*round_labels.shape, 3), ground, dtype=np.uint8)
    drawn = overlay(image, round_labels).astype(int)
    for point in ((60, 50), (60, 115)):
        tint = drawn[point] - drawn[0, 0]
        assert np.abs(tint).max() > 60, "the region differs from the rest"
    assert not np.array_equal(drawn[60, 50], drawn[60, 115]), "the classes differ"
    edge = drawn[60, 50 - 30 : 50 - 26]
    assert (edge == palette(1)[0]).all(axis=1).any(), "a line in the full colour stands inside the edge"
    assert (drawn[60, 17:21] == 255).all(axis=1).any(), "and a white one outside"


def test_an_overlay_of_nothing_is_the_image_and_not_the_same_array() -> None:
    image = data.astronaut()[:50, :60].copy()
    drawn = overlay(image, np.zeros((50, 60), dtype=bool))
    np.testing.assert_array_equal(drawn, image)
    assert drawn is not image


def test_drawing_changes_no_input(round_labels: np.ndarray) -> None:
    image, labels = np.full((*round_labels.shape, 3), 90, dtype=np.uint8), round_labels.copy()
    overlay(image, labels)
    outline(image, labels == 1)
    assert (image == 90).all()
    np.testing.assert_array_equal(labels, round_labels)


def test_an_outline_leaves_the_inside_as_it_is(round_labels: np.ndarray) -> None:
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


def test_a_contact_sheet_has_even_tiles_that_keep_their_aspect() -> None:
    wide, tall = np.zeros((30, 90, 3), dtype=np.uint8), np.zeros((90, 30, 3), dtype=np.uint8)
    wide[:], tall[:] = (255, 0, 0), (0, 0, 255)
    sheet = contact_sheet([[Tile(wide, "wide"), Tile(tall, "tall", "caption")]], header="Sheet", tile_width=200)
    assert sheet.dtype == np.uint8

    def box(colour: tuple[int, int, int]) -> tuple[int, int]:
        rows, columns = np.nonzero((sheet == colour).all(axis=2))
        return int(np.ptp(rows)) + 1, int(np.ptp(columns)) + 1

    assert box((255, 0, 0)) == (67, 200)
    height, width = box((0, 0, 255))
    assert height / width == pytest.approx(3, rel=0.03)
    assert sheet[0, 0].min() > 230, "the ground is light"


def test_long_titles_are_cut_at_their_tile() -> None:
    tile = Tile(np.zeros((30, 40, 3), dtype=np.uint8), "a very long title " * 20, "and caption " * 30)
    sheet = contact_sheet([[tile, Tile(tile.image)]], header="and header " * 50, tile_width=200)
    ink = (sheet < 128).all(axis=2)
    title_rows = ink[: np.flatnonzero(ink[:, 300])[0]]
    assert not title_rows[-20:, 219:].any(), "nothing of the title reaches into the gap or the next tile"
    assert not ink[:, -15:].any()


def test_an_empty_contact_sheet_is_refused() -> None:
    for rows in ([], [[]], [[Tile(np.zeros((3, 4, 3), dtype=np.uint8))], []]):
        with pytest.raises(ValueError, match="at least one row, and in each row at least one tile"):
            contact_sheet(rows)


def test_no_line_runs_along_the_edge_of_the_image() -> None:
    image = np.full((60, 80, 3), 100, dtype=np.uint8)
    mask = np.zeros((60, 80), dtype=bool)
    mask[:, 40:] = True
    drawn = outline(image, mask, colour=(1, 2, 3))
    assert (drawn[:, 44:] == 100).all()
    assert (drawn[:, 40:42] == (1, 2, 3)).all()
    assert (drawn[:, 39] == 255).all()
    assert (drawn[:, :39] == 100).all()
