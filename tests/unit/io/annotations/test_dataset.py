import numpy as np

from likewise.io.annotations import AnnotatedImage, Box, Object
from likewise.io.labels import IGNORE


def test_later_objects_cover_earlier_ones_and_crowds_are_ignored_or_left_out() -> None:
    objects = (
        Object("b", Box((0, 0, 3, 1))),
        Object("a", Box((1, 0, 3, 1))),
        Object("b", Box((2, 0, 3, 1)), crowd=True),
    )
    image = AnnotatedImage("x.png", objects, size_given=(1, 4))
    np.testing.assert_array_equal(image.labels(("a", "b")), [[2, 1, IGNORE, 0]])
    np.testing.assert_array_equal(image.labels(("a", "b"), crowds=False), [[2, 1, 1, 0]])
