"""Entries of published checkpoints under our names."""

import pytest

from likewise.errors import WeightsError
from likewise.models.blocks.renaming import rename_entry

PREFIXES = {"encoder.deep.": "deep.", "encoder.": "shallow."}


@pytest.mark.parametrize(
    ("published", "ours"),
    [
        ("encoder.deep.weight", "deep.weight"),
        ("encoder.weight", "shallow.weight"),
        ("module.encoder.weight", "shallow.weight"),
    ],
)
def test_the_first_matching_prefix_is_replaced(published, ours):
    assert rename_entry(published, PREFIXES, "HSNet") == ours


def test_an_unknown_prefix_raises_with_the_entry_and_the_method():
    with pytest.raises(WeightsError, match=r"'decoder\.weight'.*HSNet"):
        rename_entry("decoder.weight", PREFIXES, "HSNet")
