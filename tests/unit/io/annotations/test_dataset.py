import numpy as np

from likewise.io.annotations import AnnotatedImage, Annotations, Box, Object
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


def test_classes_are_those_of_the_list_then_those_of_the_objects() -> None:
    images = [AnnotatedImage("x.png", (Object("c", Box((0, 0, 1, 1))), Object("b", Box((0, 0, 1, 1)))))]
    assert Annotations.of(images, "coco", ["a", "b"]).classes == ("a", "b", "c")
