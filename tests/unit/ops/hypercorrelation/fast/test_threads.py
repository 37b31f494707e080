"""The same work on several items, one thread for each."""

import threading

import pytest
import torch

from likewise.ops.hypercorrelation.fast import operators, threads
from likewise.ops.hypercorrelation.fast.threads import one_thread_each


@pytest.fixture(autouse=True)
def _two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def threads_of(item: int) -> tuple[int, int]:
    return item, torch.get_num_threads()


@pytest.mark.parametrize("count", range(6))
def test_all_are_done_in_their_order_and_what_is_left_over_on_all_threads(count):
    even = count - count % 2
    expected = [1] * even + [2] * (count - even)
    assert one_thread_each(threads_of, range(count)) == list(enumerate(expected))


def test_the_number_of_threads_is_restored_here_and_in_new_threads():
    one_thread_each(threads_of, range(4))
    assert torch.get_num_threads() == 2
    found = []
    thread = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert found == [2]


def test_with_one_thread_no_other_is_started(monkeypatch):
    torch.set_num_threads(1)
    monkeypatch.setattr(threads, "ThreadPoolExecutor", None)
    assert one_thread_each(threads_of, range(3)) == [(0, 1), (1, 1), (2, 1)]


def test_with_fast_off_items_share_all_threads(monkeypatch):
    monkeypatch.setattr(operators, "FAST", False)
    monkeypatch.setattr(threads, "ThreadPoolExecutor", None)
    assert one_thread_each(threads_of, range(3)) == [(0, 2), (1, 2), (2, 2)]


def test_nothing_is_learned_on_any_thread():
    x = torch.ones(3, requires_grad=True)
    for result in one_thread_each(lambda item: item * x, range(3)):
        assert not result.requires_grad


def test_an_error_is_raised_here():
    def fail(item: int) -> None:
        raise ValueError(f"no {item}")

    with pytest.raises(ValueError, match="no 0"):
        one_thread_each(fail, range(4))
    assert torch.get_num_threads() == 2
