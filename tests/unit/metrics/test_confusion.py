import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix, jaccard_score

from likewise.errors import PredictionError
from likewise.metrics.confusion import confusion
from likewise.metrics.scenes import SceneIoU
from support.label_maps import labels


@given(st.integers(0, 2**32 - 1), st.integers(2, 9))
def test_confusion_and_iou_agree_with_scikit_learn(seed: int, classes: int) -> None:
    generator = np.random.default_rng(seed)
    prediction = generator.integers(0, classes, (6, 7), dtype=np.uint8)
    target = generator.integers(0, classes, (6, 7), dtype=np.uint8)
    target[generator.random((6, 7)) < 0.2] = 255
    counted = target != 255
    truth, guess = target[counted], prediction[counted]
    matrix = confusion(prediction, target, classes)
    np.testing.assert_array_equal(matrix, confusion_matrix(truth, guess, labels=range(classes)))
    scene = SceneIoU([str(i) for i in range(classes)])
    scene.update(prediction, target)
    present = np.union1d(truth, guess)
    expected = jaccard_score(truth, guess, labels=present, average=None)
    assert [scene.compute().per_class[str(i)] for i in present] == pytest.approx(list(expected))


def test_maps_of_different_sizes_raise() -> None:
    with pytest.raises(PredictionError, match=r" 3x1 .* 2x1"):
        confusion(labels("000"), labels("00"), 2)


def test_labels_beyond_the_classes_raise() -> None:
    with pytest.raises(PredictionError, match=r"label 2; .*0 to 1"):
        confusion(labels("02"), labels("00"), 2)
    with pytest.raises(PredictionError, match=r"label 3; .*0 to 1"):
        confusion(labels("00"), labels("x3"), 2)
