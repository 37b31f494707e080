import numpy as np
import pytest

from likewise.viz.contact_sheet import Tile, contact_sheet


def test_tiles_have_one_width_and_images_keep_their_aspect_ratio() -> None:
    wide, tall = np.zeros((30, 90, 3), dtype=np.uint8), np.zeros((90, 30, 3), dtype=np.uint8)
    wide[:], tall[:] = (255, 0, 0), (0, 0, 255)
    sheet = contact_sheet([[Tile(wide, "wide"), Tile(tall, "tall", "caption")]], header="Sheet", subtitle="")
    assert sheet.dtype == np.uint8

    def box(colour: tuple[int, int, int]) -> tuple[int, int]:
        rows, columns = np.nonzero((sheet == colour).all(axis=2))
        return int(np.ptp(rows)) + 1, int(np.ptp(columns)) + 1

    assert box((255, 0, 0)) == (133, 400)
    height, width = box((0, 0, 255))
    assert height / width == pytest.approx(3, rel=0.03)
    assert sheet[0, 0].min() > 230, "the background is light"


def test_long_text_is_cut_at_the_tile() -> None:
    tile = Tile(np.zeros((30, 40, 3), dtype=np.uint8), "a very long title " * 20, "and caption " * 30)
    sheet = contact_sheet([[tile, Tile(tile.image)]], header="and header " * 50, subtitle="")
    ink = (sheet < 128).all(axis=2)
    title_rows = ink[: np.flatnonzero(ink[:, 600])[0]]
    assert not title_rows[-40:, 437:].any(), "the title ends before the gap"
    assert not ink[:, -30:].any()
