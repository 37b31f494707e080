"""The same work on several things, each on a thread of its own."""

import threading

import pytest
import torch

from likewise.ops.hypercorrelation.fast.threads import one_thread_each


@pytest.fixture(autouse=True)
def _two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def where(item: int) -> tuple[int, int, int]:
    return item, torch.get_num_threads(), threading.get_ident()


@pytest.mark.parametrize("count", range(6))
def test_all_are_done_in_their_order_and_what_is_left_over_on_all_threads(count):
    found = one_thread_each(where, range(count))
    assert [item for item, *_ in found] == list(range(count))
    even = count - count % 2
    assert [threads for _, threads, _ in found] == [1] * even + [2] * (count - even)
    here = threading.get_ident()
    assert [thread == here for *_, thread in found] == [False] * even + [True] * (count - even)


def test_afterwards_threads_are_as_many_as_before_here_and_in_new_ones():
    one_thread_each(where, range(4))
    assert torch.get_num_threads() == 2
    found = []
    thread = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert found == [2]


def test_one_thread_does_all_itself():
    torch.set_num_threads(1)
    assert {thread for *_, thread in one_thread_each(where, range(3))} == {threading.get_ident()}


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
