"""`Inputs`: the size at which a few-shot network sees an image."""

import numpy as np
import pytest

from likewise.errors import ImageError
from likewise.predict.inputs import Inputs

INPUTS = Inputs(side=320, smallest=32, multiple=32)


def test_the_size_keeps_the_aspect_in_multiples_of_the_stride():
    assert INPUTS.size(320, 320) == (320, 320)
    assert INPUTS.size(400, 1600) == (160, 640)


def test_a_strip_keeps_its_area():
    height, width = INPUTS.size(16, 4000)
    assert height == 32
    assert height * width <= 320**2


def test_an_image_without_a_position_of_its_own_is_refused():
    assert INPUTS.resize(np.zeros((16, 40, 3), np.uint8)).shape[2] == 3
    with pytest.raises(ImageError, match="15"):
        INPUTS.resize(np.zeros((15, 40, 3), np.uint8))
