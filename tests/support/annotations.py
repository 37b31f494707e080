"""The checker of annotations in tests: beartype, where an int may stand for a float, as PEP 484 has it."""

from collections.abc import Iterator
from contextlib import contextmanager

import jaxtyping
from beartype import BeartypeConf, beartype

check = beartype(conf=BeartypeConf(is_pep484_tower=True))


@contextmanager
def unchecked_shapes() -> Iterator[None]:
    """Do not check shapes while torch traces: sizes are tensors then."""
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)
