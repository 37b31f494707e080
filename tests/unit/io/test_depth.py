import numpy as np

from likewise.io.depth import parse_nodata, to_8_bits

HEIGHT, WIDTH = 16, 24


def test_a_hot_pixel_does_not_darken_the_image() -> None:
    deep = np.linspace(400, 3400, HEIGHT * WIDTH).reshape(HEIGHT, WIDTH).astype(np.uint16)
    expected = to_8_bits(deep)
    deep[3, 4] = 65535
    hot = to_8_bits(deep)
    assert hot[3, 4] == 255
    np.testing.assert_array_equal(np.delete(hot.ravel(), 3 * WIDTH + 4), np.delete(expected.ravel(), 3 * WIDTH + 4))
    assert 190 < expected.max() < 255


def test_dead_pixels_and_empty_ranges_are_harmless() -> None:
    values = np.linspace(-300, 900, 500).reshape(20, 25)
    values[0, 0] = -30000
    assert to_8_bits(values)[0, 0] == 0
    assert to_8_bits(values)[19, 24] == 255
    for constant in (np.full((3, 4), 7.5), np.zeros((1, 1)), np.full((2, 2), np.nan)):
        assert to_8_bits(constant, nodata=7.5).shape == constant.shape


def test_the_value_of_missing_data_is_a_number_or_none() -> None:
    assert parse_nodata("-9999 \0") == -9999
    assert parse_nodata("none") is None
    assert parse_nodata(None) is None
