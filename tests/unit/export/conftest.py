"""Shapes are not checked while torch traces."""

from collections.abc import Iterator

import pytest

from support import annotations


@pytest.fixture(autouse=True, scope="module")
def unchecked_shapes() -> Iterator[None]:
    with annotations.unchecked_shapes():
        yield
