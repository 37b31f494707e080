"""Items are read ahead of their use: in order, a few at a time."""

import itertools
import time
from threading import Barrier, Event, Thread

import pytest

from likewise.io.prefetch import prefetch


def test_values_come_in_order_and_few_are_read_ahead() -> None:
    read: list[int] = []
    stream = prefetch(itertools.count(), lambda item: read.append(item) or 2 * item, ahead=4)
    found = [(item, future.result()) for item, future in itertools.islice(stream, 10)]
    assert found == [(item, 2 * item) for item in range(10)]
    assert len(read) <= 14
    stream.close()


def test_as_many_items_as_threads_are_in_work_at_once() -> None:
    together = Barrier(3, timeout=10)
    stream = prefetch(range(9), lambda item: together.wait() >= 0 and item, ahead=3, threads=3)
    assert [future.result() for _, future in stream] == list(range(9))


def test_values_may_be_waited_for_when_all_items_have_come() -> None:
    pairs = list(prefetch(range(6), lambda item: time.sleep(0.02) or item))
    assert [future.result() for _, future in pairs] == list(range(6))


def test_an_item_is_asked_for_when_there_is_room_for_it() -> None:
    asked: list[int] = []
    stream = prefetch((asked.append(item) or item for item in range(9)), int, ahead=1)
    for index, (_, future) in enumerate(stream):
        future.result()
        assert len(asked) == index + 1


def test_an_exception_comes_at_the_turn_of_its_item() -> None:
    stream = prefetch("1x3", int)
    assert next(stream)[1].result() == 1
    _, broken = next(stream)
    with pytest.raises(ValueError, match="x"):
        broken.result()
    assert next(stream)[1].result() == 3


@pytest.mark.parametrize(("budget", "most"), [(0, 1), (25, 2), (45, 4), (1000, 6)])
def test_items_are_read_ahead_within_the_budget(budget: int, most: int) -> None:
    read: list[int] = []
    for index, (_, future) in enumerate(
        prefetch(range(20), lambda item: read.append(item), ahead=4, cost=lambda item: 10, budget=budget)
    ):
        future.result()
        assert len(read) <= index + most
    assert read == list(range(20))


def test_an_abandoned_stream_closes_without_waiting_for_its_readers() -> None:
    release = Event()
    stream = prefetch(range(20), lambda item: release.wait(10))
    closing = Thread(target=stream.close)
    next(stream)
    closing.start()
    closing.join(5)
    waited = closing.is_alive()
    release.set()
    assert not waited
