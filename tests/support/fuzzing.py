"""Random damages, drawn by hypothesis: some in each run of the tests, for hours where the environment says so."""

import os
import time
from collections.abc import Callable
from typing import TypeVar

from hypothesis import HealthCheck, given, settings
from hypothesis.strategies import SearchStrategy

EXAMPLES = int(os.environ.get("LIKEWISE_FUZZ_EXAMPLES", "40"))
"""Draws of a round."""

HOURS = float(os.environ.get("LIKEWISE_FUZZ_HOURS", "0"))
"""Processor time of all random damages of concepts; rounds follow each other until it has passed. 0: one round."""

Drawn = TypeVar("Drawn")


def fuzz(
    check: Callable[[Drawn], None],
    strategy: SearchStrategy[Drawn],
    record_property: Callable[[str, object], None],
    *,
    share: float,
) -> None:
    """Call `check` with draws of `strategy`, and record their number and the processor time for `make robustness`.

    Args:
        share: part of `HOURS` that this test runs for.
    """
    tried = 0

    @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(strategy)
    def draw(value: Drawn) -> None:
        nonlocal tried
        tried += 1
        check(value)

    start = time.process_time()
    draw()
    while time.process_time() - start < share * HOURS * 3600:
        draw()
    record_property("tried", tried)
    record_property("fuzzed", time.process_time() - start)
