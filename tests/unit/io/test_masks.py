import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image
from skimage.draw import disk

from likewise.errors import ArgumentError, ImageError
from likewise.io.masks import parse_label, read_labels, read_mask

WIDTH, HEIGHT = 24, 16


@pytest.fixture
def blob() -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), dtype=bool)
    mask[3:9, 5:20] = True
    return mask


@pytest.mark.parametrize("value", [1, 7, 128, 254, 255])
def test_a_mask_is_any_single_value_beside_zero(tmp_path: Path, blob: np.ndarray, value: int) -> None:
    Image.fromarray((blob * value).astype(np.uint8)).save(tmp_path / "mask.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.png"), blob)
    np.testing.assert_array_equal(read_mask(blob.astype(np.int64) * value), blob)


def test_masks_of_every_kind_of_array_are_read(blob: np.ndarray) -> None:
    for mask in (blob, blob.astype(np.float64), blob * np.float32(0.7), blob.astype(np.int32), blob * np.uint16(65535)):
        np.testing.assert_array_equal(read_mask(mask), blob)
    colour = np.zeros((*blob.shape, 3), dtype=np.uint8)
    colour[blob] = 200, 0, 0
    np.testing.assert_array_equal(read_mask(colour), blob)


def test_a_mask_read_from_an_array_is_a_copy(blob: np.ndarray) -> None:
    read_mask(blob)[:] = False
    assert blob.any()


def test_1_bit_masks_are_read(tmp_path: Path, blob: np.ndarray) -> None:
    Image.fromarray(blob).save(tmp_path / "mask.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.png"), blob)


def test_empty_and_full_masks_are_read(blob: np.ndarray) -> None:
    assert not read_mask(np.zeros_like(blob, dtype=np.uint8)).any()
    assert read_mask(np.full(blob.shape, 255, dtype=np.uint8)).all()
    assert not read_mask(np.zeros((4, 5, 4), dtype=np.uint8)).any()


def _round_mask(scale: int) -> np.ndarray:
    mask = np.zeros((80 * scale, 120 * scale), dtype=np.uint8)
    mask[disk((40 * scale, 60 * scale), 25 * scale)] = 255
    return mask


def test_a_mask_with_soft_edges_is_thresholded_at_the_middle(tmp_path: Path) -> None:
    soft = np.asarray(Image.fromarray(_round_mask(4)).reduce(4))
    assert len(np.unique(soft)) > 5, "the test needs soft edges"
    np.testing.assert_array_equal(read_mask(soft), soft > 127)
    np.testing.assert_array_equal(read_mask(soft.astype(np.uint16) * 257), soft > 127)
    Image.fromarray(_round_mask(1)).save(tmp_path / "mask.jpg", quality=60)
    assert (read_mask(tmp_path / "mask.jpg") != (_round_mask(1) > 127)).mean() < 0.002
    coloured = np.stack([soft] * 3, axis=2)
    np.testing.assert_array_equal(read_mask(coloured), soft > 127)


def test_a_palette_mask_is_read_by_its_label(tmp_path: Path, blob: np.ndarray) -> None:
    labels = blob.astype(np.uint8) * 15
    labels[12:, :4] = 3
    labels[2, 5:20] = 255
    image = Image.fromarray(labels)
    image.putpalette(np.random.default_rng(0).integers(0, 255, 768).astype(np.uint8).tobytes())
    path = tmp_path / "labels.png"
    image.save(path)
    np.testing.assert_array_equal(read_mask(path, label=15), blob)
    np.testing.assert_array_equal(read_mask(path, label=3), labels == 3)
    np.testing.assert_array_equal(read_mask(labels, label=15), blob)
    with pytest.raises(ImageError, match=r"labels\.png: .*0, 3, 15, 255"):
        read_mask(path)
    with pytest.raises(ImageError, match=r"label 4; .* 0, 3, 15, 255"):
        read_mask(path, label=4)


@pytest.mark.parametrize("values", [(15, 255), (1, 2), (128, 255), (5, 40, 130, 160, 255), (1, 255)])
def test_labels_are_never_mistaken_for_soft_edges(blob: np.ndarray, values: tuple[int, ...]) -> None:
    labels = np.zeros((60, 80), dtype=np.uint8)
    for index, value in enumerate(values):
        labels[5 + 10 * index : 13 + 10 * index, 10:70] = value
    with pytest.raises(ImageError, match=", ".join(map(str, sorted(values)))):
        read_mask(labels)
    np.testing.assert_array_equal(read_mask(labels, label=values[0]), labels == values[0])


def test_a_black_and_white_palette_is_read_by_its_colours(tmp_path: Path, blob: np.ndarray) -> None:
    image = Image.fromarray((~blob).astype(np.uint8))
    image.putpalette([255, 255, 255, 0, 0, 0])  # index 0 is white, as image optimisers write it
    image.save(tmp_path / "optimised.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "optimised.png"), blob)


def test_an_alpha_channel_that_is_not_constant_is_the_mask(
    tmp_path: Path, colours: np.ndarray, blob: np.ndarray
) -> None:
    Image.fromarray(np.dstack([colours, blob * np.uint8(255)])).save(tmp_path / "cutout.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "cutout.png"), blob)
    opaque = np.dstack([np.stack([blob * np.uint8(255)] * 3, axis=2), np.full(blob.shape, 255, np.uint8)])
    np.testing.assert_array_equal(read_mask(opaque), blob)
    grey_alpha = Image.merge("LA", (Image.new("L", (WIDTH, HEIGHT), 9), Image.fromarray(blob * np.uint8(255))))
    np.testing.assert_array_equal(read_mask(grey_alpha), blob)


def test_a_photograph_is_no_mask(colours: np.ndarray) -> None:
    with pytest.raises(ImageError):
        read_mask(colours)
    with pytest.raises(ImageError, match="200 different values"):
        read_mask(np.tile(np.arange(200, dtype=np.uint8), (9, 1)))
    with pytest.raises(ImageError):
        read_mask(colours, label=1)


def test_arrays_of_other_shapes_or_ranges_are_refused() -> None:
    with pytest.raises(ImageError, match=r"\(2, 3, 4, 5\) uint8"):
        read_mask(np.zeros((2, 3, 4, 5), dtype=np.uint8))
    with pytest.raises(ImageError, match=r"\(3, 4\) complex128"):
        read_mask(np.zeros((3, 4), dtype=complex))
    with pytest.raises(ImageError, match=r"-2\.5 to 3"):
        read_mask(np.array([[-2.5, 3.0]]))
    with pytest.raises(ImageError, match="nan"):
        read_mask(np.array([[np.nan, 1.0]]))
    with pytest.raises(ImageError):
        read_mask(np.array([[0.5, 1.0]]), label=1)


@given(st.tuples(*[st.integers(1, 30)] * 4))
def test_a_mask_of_another_size_is_refused_with_both_sizes(sizes: tuple[int, int, int, int]) -> None:
    mask, size = np.ones(sizes[:2], dtype=bool), sizes[2:]
    if sizes[:2] == size:
        assert read_mask(mask, size=size).all()
        return
    with pytest.raises(ImageError) as caught:
        read_mask(mask, size=size)
    message = str(caught.value)
    assert f"{sizes[1]}x{sizes[0]} (width x height)" in message
    assert f"{sizes[3]}x{sizes[2]} (width x height)" in message
    assert ("EXIF" in message) == (sizes[:2] == size[::-1])


@given(hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=20)))
def test_a_saved_mask_comes_back(mask: np.ndarray) -> None:
    file = io.BytesIO()
    Image.fromarray(mask.astype(np.uint8) * 255).save(file, format="png")
    np.testing.assert_array_equal(read_mask(Image.open(file)), mask)


def test_labels_are_the_stored_values(tmp_path: Path) -> None:
    labels = np.array([[0, 1, 20], [255, 3, 3]], dtype=np.uint8)
    Image.fromarray(labels).save(tmp_path / "grey.png")
    np.testing.assert_array_equal(read_labels(tmp_path / "grey.png"), labels)
    image = Image.fromarray(labels)
    image.putpalette(list(range(255, -1, -1)) * 3)
    image.save(tmp_path / "palette.png")
    np.testing.assert_array_equal(read_labels(tmp_path / "palette.png"), labels)
    Image.fromarray(labels.astype(np.uint16)).save(tmp_path / "deep.png")
    np.testing.assert_array_equal(read_labels(tmp_path / "deep.png"), labels)
    assert read_labels(tmp_path / "deep.png").dtype == np.uint8


def test_labels_beyond_8_bits_and_colours_are_refused(tmp_path: Path, colours: np.ndarray) -> None:
    Image.fromarray(np.array([[0, 300]], dtype=np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(ImageError, match=r"deep\.png: .*0, 300"):
        read_labels(tmp_path / "deep.png")
    Image.fromarray(colours).save(tmp_path / "colour.png")
    with pytest.raises(ImageError, match=r"colour\.png: "):
        read_labels(tmp_path / "colour.png")


@pytest.mark.parametrize("quality", [50, 75, 90, 95, 100])
@pytest.mark.parametrize("resaved", [False, True])
def test_a_jpeg_mask_is_black_and_white_at_any_quality(quality: int, resaved: bool) -> None:
    for left in (21, 24, 27):  # beside and on the 8 x 8 grid
        mask = np.zeros((80, 120), np.uint8)
        mask[disk((40, 30 + left), 20)] = 255
        file = io.BytesIO()
        Image.fromarray(mask).save(file, "JPEG", quality=quality)
        image = Image.open(file)
        found = read_mask(Image.fromarray(np.asarray(image)) if resaved else image)
        assert (found != (mask > 127)).mean() < 0.002


def test_one_colour_in_a_jpeg_and_with_soft_edges_is_a_mask(tmp_path: Path) -> None:
    red = _round_mask(4)[..., None] // 255 * np.array((220, 30, 40), np.uint8)
    soft = np.asarray(Image.fromarray(red).reduce(4))
    truth = _round_mask(1) > 127
    assert (read_mask(soft) != truth).mean() < 0.01
    Image.fromarray(soft).save(tmp_path / "red.jpg", quality=95)
    assert (read_mask(tmp_path / "red.jpg") != truth).mean() < 0.01
    two = soft.copy()
    two[:20, :20] = 0, 128, 0
    Image.fromarray(two).save(tmp_path / "two.jpg", quality=95)
    for source in (two, tmp_path / "two.jpg"):
        with pytest.raises(ImageError, match="several colours"):
            read_mask(source)


@pytest.mark.parametrize("quality", [50, 75, 90, 95, 100])
@pytest.mark.parametrize("subsampling", [0, 2])
@pytest.mark.parametrize("resaved", [False, True])
def test_paint_of_any_colour_in_a_jpeg_is_a_mask(quality: int, subsampling: int, resaved: bool) -> None:
    for index, colour in enumerate([(255, 0, 0), (128, 0, 0), (0, 0, 255), (255, 255, 0), (64, 0, 128), (0, 128, 255)]):
        drawn = np.zeros((80, 120, 3), np.uint8)
        mask = np.zeros((80, 120), bool)
        mask[disk((37 + index, 51 + index), 6 + 4 * index)] = True
        drawn[mask] = colour
        file = io.BytesIO()
        Image.fromarray(drawn).save(file, "JPEG", quality=quality, subsampling=subsampling)
        image = Image.open(file)
        found = read_mask(np.asarray(image) if resaved else image)
        assert (found & mask).sum() / (found | mask).sum() > 0.9


@pytest.mark.parametrize("colour", [(0, 128, 0), (128, 128, 0), (200, 30, 200), (255, 255, 255)])
def test_a_second_colour_in_a_jpeg_is_never_merged(colour: tuple[int, int, int]) -> None:
    for side in (7, 12, 30):
        drawn = np.zeros((80, 120, 3), np.uint8)
        drawn[disk((40, 40), 20)] = 255, 0, 0
        drawn[30 : 30 + side, 75 : 75 + side] = colour
        for quality in (75, 95):
            file = io.BytesIO()
            Image.fromarray(drawn).save(file, "JPEG", quality=quality)
            image = Image.open(file)
            for source in (image, np.asarray(image), drawn):
                with pytest.raises(ImageError, match="several colours"):
                    read_mask(source)
    thin = np.zeros((80, 120, 3), np.uint8)
    thin[disk((40, 40), 20)] = 255, 0, 0
    thin[:, 100] = 0, 128, 0
    with pytest.raises(ImageError, match="several colours"):
        read_mask(thin)


def test_a_label_of_an_image_in_colours_lists_them(blob: np.ndarray) -> None:
    colours = np.zeros((*blob.shape, 3), np.uint8)
    colours[blob], colours[12:, :4] = (128, 0, 0), (0, 128, 0)
    with pytest.raises(ImageError, match=r"label 1 .*128,0,0; 0,128,0; .*--label R,G,B"):
        read_mask(colours, label=1)


@pytest.mark.parametrize("count", [5, 70])
def test_instance_ids_are_one_mask_with_a_warning(tmp_path: Path, count: int) -> None:
    ids = np.zeros((80, 120), np.uint16)
    for index in range(count):
        row, column = divmod(index, 12)
        ids[row * 12 + 2 : row * 12 + 10, column * 10 + 1 : column * 10 + 8] = index + 1
    Image.fromarray(ids).save(tmp_path / "x_cp_masks.png")
    with pytest.warns(UserWarning, match=rf"x_cp_masks\.png: .* {count} objects"):
        np.testing.assert_array_equal(read_mask(tmp_path / "x_cp_masks.png"), ids > 0)
    np.testing.assert_array_equal(read_mask(tmp_path / "x_cp_masks.png", label="nonzero"), ids > 0)
    np.testing.assert_array_equal(read_mask(ids, label=2), ids == 2)


def test_few_labels_of_eight_bits_are_no_instances() -> None:
    labels = np.zeros((60, 80), np.uint8)
    labels[10:20, 10:20], labels[30:40, 30:40] = 1, 2
    with pytest.raises(ImageError, match="--label nonzero"):
        read_mask(labels)
    np.testing.assert_array_equal(read_mask(labels, label="nonzero"), labels > 0)


def test_a_tiff_that_shows_white_as_zero_is_read_as_stored(tmp_path: Path, blob: np.ndarray) -> None:
    tifffile = pytest.importorskip("tifffile")
    tifffile.imwrite(tmp_path / "inverting.tif", blob * np.uint8(255), photometric="miniswhite")
    assert Image.open(tmp_path / "inverting.tif").tag_v2[262] == 0
    np.testing.assert_array_equal(read_mask(tmp_path / "inverting.tif"), blob)


def test_translucent_paint_is_the_object(blob: np.ndarray) -> None:
    for alpha in (1, 100, 127, 255):
        paint = np.zeros((*blob.shape, 4), np.uint8)
        paint[blob] = 255, 0, 0, alpha
        np.testing.assert_array_equal(read_mask(paint), blob)


def test_a_colour_selects_the_object(tmp_path: Path, blob: np.ndarray) -> None:
    colours = np.zeros((*blob.shape, 3), np.uint8)
    colours[blob], colours[12:, :4] = (128, 0, 0), (0, 128, 0)
    with pytest.raises(ImageError, match=r"128,0,0; 0,128,0"):
        read_mask(colours)
    np.testing.assert_array_equal(read_mask(colours, label=(128, 0, 0)), blob)
    palette = Image.fromarray(colours).quantize(8)
    np.testing.assert_array_equal(read_mask(palette, label=(128, 0, 0)), blob)
    with pytest.raises(ImageError, match=r"label 1,2,3; .* 128,0,0"):
        read_mask(colours, label=(1, 2, 3))
    with pytest.raises(ImageError, match="no colours"):
        read_mask(blob, label=(1, 2, 3))


def test_float_masks_of_whole_numbers_are_read_as_integers(blob: np.ndarray) -> None:
    np.testing.assert_array_equal(read_mask(blob * np.float32(255)), blob)
    labels = blob * 2.0
    labels[0, 0] = 1
    with pytest.raises(ImageError, match="0, 1, 2"):
        read_mask(labels)


def test_labels_are_parsed() -> None:
    assert [parse_label(text) for text in ("7", "128,0,0", "#800000", "nonzero")] == [
        7, (128, 0, 0), (128, 0, 0), "nonzero",
    ]  # fmt: skip
    for text in ("cat", "1,2", "1,2,300", "-1", "#12345g", ""):
        with pytest.raises(ArgumentError, match=f"'{text}'"):
            parse_label(text)
