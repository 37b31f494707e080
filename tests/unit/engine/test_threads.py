"""BLAS computes in one thread where images share the processors."""

import threading

import numpy as np
import pytest
from threadpoolctl import ThreadpoolController

from likewise.engine.threads import images_at_once, one_blas_thread


def blas_threads() -> list[int]:
    return [each.get_num_threads() for each in ThreadpoolController().select(user_api="blas").lib_controllers]


def test_products_have_one_thread_until_the_end_of_the_limit():
    before = blas_threads()
    with one_blas_thread():
        assert set(blas_threads()) <= {1}
        with one_blas_thread():
            assert set(blas_threads()) <= {1}
        assert set(blas_threads()) <= {1}
    assert blas_threads() == before


def test_threads_inside_do_not_end_the_limit_of_the_one_that_started_them():
    before, seen = blas_threads(), []

    @one_blas_thread()
    def product() -> None:
        np.ones((64, 64)) @ np.ones((64, 64))
        seen.extend(blas_threads())

    with one_blas_thread():
        threads = [threading.Thread(target=product) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert set(blas_threads()) <= {1}
    assert set(seen) <= {1}
    assert blas_threads() == before


def test_an_error_ends_the_limit():
    before = blas_threads()
    with pytest.raises(KeyError), one_blas_thread():
        raise KeyError
    assert blas_threads() == before


def test_at_least_one_image_and_at_most_a_few_at_once():
    assert 1 <= images_at_once() <= 4
