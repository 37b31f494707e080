"""Supports keep foreground features only, and survive packing into rows."""

import numpy as np
import pytest

from likewise.errors import ConceptError
from likewise.ops.hypercorrelation.supports import (
    Support,
    SupportLevel,
    check_packed,
    check_supports,
    pack_supports,
    unpack_supports,
)


def random_taps(channels: tuple[int, ...], height: int = 4, width: int = 5, seed: int = 0) -> list[np.ndarray]:
    """Return features in [0, 1), nonzero at about half of the positions."""
    random = np.random.default_rng(seed)
    inside = random.random((height, width)) > 0.5
    return [(random.random((own, height, width)) * inside).astype(np.float32) for own in channels]


def test_a_support_level_keeps_the_foreground_and_nothing_else():
    taps = [np.zeros((3, 4, 5), np.float32), np.zeros((2, 4, 5), np.float32)]
    taps[0][:, 1, 2] = 1, 2, 3
    taps[1][:, 3, 4] = 4, 5
    level = SupportLevel.of(taps)
    assert level.positions.tolist() == [[1, 2], [3, 4]]
    assert level.plane == (4, 5)
    assert level.features[0].tolist() == [[1, 2, 3], [0, 0, 0]]
    assert level.features[1].tolist() == [[0, 0], [4, 5]]


def test_supports_of_different_sizes_survive_packing():
    supports = []
    for height, width in ((4, 5), (3, 7)):
        taps = random_taps((3, 6), height, width)
        levels = {8: SupportLevel.of(taps), 16: SupportLevel.of([tap[:, ::2, ::2] for tap in taps])}
        supports.append(Support(levels))
    rows = pack_supports(supports)
    assert all(len(row) == 2 for row in rows.values())
    assert all(row.dtype == np.float16 for name, row in rows.items() if "features" in name)
    for support, again in zip(supports, unpack_supports(rows), strict=True):
        for stride, level in support.levels.items():
            assert again.levels[stride].plane == level.plane
            assert again.levels[stride].positions.tolist() == level.positions.tolist()
            for ours, theirs in zip(again.levels[stride].features, level.features, strict=True):
                np.testing.assert_array_equal(ours, theirs.astype(np.float16))


BROKEN = {
    "an example has no positions at stride 8": ("8.positions", lambda rows: np.full_like(rows, -1)),
    "a position at stride 8 lies outside its image": ("8.positions", lambda rows: np.full_like(rows, 3000)),
    "a plane at stride 16 is empty or too large": ("16.plane", lambda rows: np.full_like(rows, -4)),
    "a plane at stride 8 is empty or too large": ("8.plane", lambda rows: np.full_like(rows, 30000)),
    "planes and positions at stride 8": ("8.plane", lambda rows: rows[:, :1]),
    "at stride 8 are not whole numbers": ("8.positions", lambda rows: rows.astype(np.float32)),
    "a position at stride 8 is negative": (
        "8.positions",
        lambda rows: np.concatenate([rows[:, :-1], [[[2, -128]]]], 1),
    ),
    "positions at stride 8 are not in order": ("8.positions", lambda rows: rows[:, ::-1]),
    "features 0 at stride 16": ("16.features.0", lambda rows: rows[..., :2]),
    "stride 16 has fewer features than positions": ("16.features.0", lambda rows: rows[:, :1]),
}


@pytest.mark.parametrize("message", BROKEN)
def test_damaged_rows_raise(message):
    levels = {stride: SupportLevel.of(random_taps((3,))) for stride in (8, 16)}
    rows = pack_supports([Support(levels)])
    check_packed(rows, {8: [3], 16: [3]}, most=320**2)
    name, damage = BROKEN[message]
    rows[name] = damage(rows[name])
    with pytest.raises(ValueError, match=message):
        check_packed(rows, {8: [3], 16: [3]}, most=320**2)


def test_rows_of_other_taps_raise():
    rows = pack_supports([Support({8: SupportLevel.of(random_taps((3,)))})])
    with pytest.raises(ValueError, match=r"8\.features\.1"):
        check_packed(rows, {8: [3, 3]}, most=320**2)


def test_supports_of_another_backbone_and_no_supports_raise():
    support = Support({8: SupportLevel.of(random_taps((3, 6)))})
    check_supports([support], {8: [3, 6]})
    with pytest.raises(ConceptError, match=r"2 taps of 9 channels.* 1 of 3"):
        check_supports([support], {8: [3]})
    with pytest.raises(ConceptError, match="no supports"):
        check_supports([], {8: [3, 6]})
