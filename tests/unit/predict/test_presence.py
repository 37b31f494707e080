import numpy as np
import pytest

from likewise import Example, FewShot
from likewise.errors import ConceptError, ModelError
from likewise.ops.presence import Evidence
from likewise.predict import presence
from likewise.predict.presence import Calibration, Examples, Judged, presence_logit, semantic_rows


@pytest.fixture(scope="module")
def few_shot():
    return FewShot()


def texture(kind: int, seed: int = 0, size: int = 160) -> np.ndarray:
    """Stripes or spots, not the same twice."""
    random = np.random.default_rng([kind, seed])
    y, x = np.mgrid[:size, :size] + random.integers(40)
    pattern = np.sin(x / 3) if kind == 0 else np.sin(x / 9) * np.sin(y / 9)
    colour = np.array([(255, 80, 30), (40, 200, 90)][kind])
    noise = random.normal(0, 12, (size, size, 3))
    return (colour * (0.6 + 0.4 * pattern[..., None]) + noise).clip(0, 255).astype(np.uint8)


def half(kind: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A grey image with one texture in a half."""
    image, mask = np.full((160, 160, 3), 128, np.uint8), np.zeros((160, 160), bool)
    mask[:, 80 * (seed % 2) : 80 * (seed % 2) + 80] = True
    image[mask] = texture(kind, seed)[mask]
    return image, mask


def positive(kind: int, seed: int, **options) -> Example:
    image, mask = half(kind, seed)
    return Example(image, mask=mask, **options)


def test_presence_is_a_probability_for_each_class(few_shot):
    concept = few_shot.learn([positive(0, 0, class_name="a"), positive(1, 0, class_name="b")])
    result = few_shot.segment(half(0, 1)[0], concept)
    assert len(result.presences) == 2
    assert all(0 <= own <= 1 for own in result.presences)
    assert result.presence == max(result.presences)


def test_a_class_below_the_threshold_has_no_pixel(few_shot):
    concept = few_shot.learn(positive(0, 0))
    query = half(0, 1)[0]
    always, never = FewShot(presence=0), FewShot(presence=1)
    assert always.segment(query, concept).mask.any()
    hidden = never.segment(query, concept)
    assert not hidden.mask.any()
    assert hidden.probability.max() < 0.5
    assert hidden.presence == always.segment(query, concept).presence


def test_a_negative_lowers_the_presence_of_what_it_shows(few_shot):
    without = few_shot.learn([positive(0, 0)])
    negative = few_shot.learn([positive(0, 0), Example(texture(1, 5), absent=True)])
    query = half(1, 2)[0]
    assert few_shot.segment(query, negative).presence < few_shot.segment(query, without).presence


def test_a_marked_region_that_is_not_the_object_is_a_negative(few_shot):
    image, mask = half(1, 3)
    concept = few_shot.learn([positive(0, 0), Example(image, mask=mask, absent=True)])
    assert "1 negative" in str(concept)
    query = half(1, 2)[0]
    assert few_shot.segment(query, concept).presence < few_shot.segment(query, few_shot.learn(positive(0, 0))).presence


def test_negatives_do_not_change_the_masks_of_what_is_present():
    few_shot = FewShot(presence=0)
    query = half(0, 1)[0]
    without = few_shot.segment(query, few_shot.learn(positive(0, 0)))
    negative = few_shot.segment(query, few_shot.learn([positive(0, 0), Example(texture(1, 5), absent=True)]))
    np.testing.assert_array_equal(without.labels, negative.labels)


def test_negatives_are_saved_and_merged(few_shot, tmp_path):
    negative = few_shot.learn([Example(texture(1, 5), absent=True)])
    negative.save(tmp_path / "no.concept")
    both = few_shot.learn(positive(0, 0)).merged(type(negative).load(tmp_path / "no.concept"))
    expected = few_shot.learn([positive(0, 0), Example(texture(1, 5), absent=True)])
    query = half(1, 2)[0]
    assert few_shot.segment(query, both).presence == few_shot.segment(query, expected).presence


def test_only_negatives_are_refused(few_shot):
    concept = few_shot.learn(Example(texture(1), absent=True, class_name="cat"))
    with pytest.raises(ConceptError, match="'cat' has only negatives"):
        few_shot.prepare(concept)


def test_the_strongest_negative_counts_alone_beside_many_others(few_shot):
    given = [positive(0, 0), Example(texture(1, 5), absent=True)]
    others = [
        Example(np.random.default_rng(seed).integers(0, 256, (90, 120, 3), np.uint8), absent=True) for seed in range(5)
    ]
    presences = [few_shot.segment(texture(1, 5), few_shot.learn([*given, *more])).presence for more in ([], others)]
    assert max(presences) < few_shot.segment(texture(1, 5), few_shot.learn(given[:1])).presence
    assert presences[1] < 0.3


def test_a_fitted_judge_parts_a_folder_and_keeps_its_negatives(few_shot):
    given = [positive(0, 0), Example(texture(1, 5), absent=True)]
    segmenter = few_shot.prepare(few_shot.learn(given))
    showing, lacking = [half(0, seed)[0] for seed in range(1, 7)], [half(1, seed)[0] for seed in range(1, 7)]
    fitted = segmenter.fit_presence([*showing, *lacking])
    assert all(fitted(image).mask.any() for image in showing)
    assert not any(fitted(image).mask.any() for image in [*lacking, texture(1, 5)])
    before = [segmenter(image).presence for image in showing]
    assert np.mean([fitted(image).presence for image in showing]) > np.mean(before)


def test_each_class_of_a_fitted_judge_has_its_own_images(few_shot):
    concept = few_shot.learn([positive(kind, 0, class_name=name) for kind, name in enumerate("ab")])
    segmenter = few_shot.prepare(concept)
    images = [half(kind, seed)[0] for seed in range(1, 5) for kind in (0, 1)]
    fitted = segmenter.fit_presence(images)
    for at, image in enumerate(images):
        assert np.argmax(fitted(image).presences) == at % 2


def test_a_method_without_presence_takes_no_world(tmp_path):
    with pytest.raises(ModelError, match="'torch'"):
        FewShot("prototypes", engine="onnx", world=tmp_path / "a.world")


def test_several_classes_keep_their_own_objects(few_shot):
    concept = few_shot.learn([positive(0, 0, class_name="a"), positive(1, 0, class_name="b")])
    always = FewShot(presence=0)
    alone = {name: always.learn(positive(kind, 0, class_name=name)) for kind, name in enumerate("ab")}
    for kind, name in enumerate("ab"):
        query, mask = half(kind, 1)
        beside = always.segment(query, concept).labels == kind + 1
        single = always.segment(query, alone[name]).mask
        assert (beside & mask).sum() >= 0.95 * (single & mask).sum()


def test_rows_of_a_positive_hold_the_mean_of_its_object_first():
    features = np.random.default_rng(0).normal(size=(4, 3, 3)).astype(np.float32)
    rows = semantic_rows(features, np.ones((6, 6), bool), absent=False)
    assert rows["semantic"].shape == (1, 16, 4)
    assert rows["semantic"][0, 0].any()
    assert not rows["semantic"][0, 1:].any()
    assert rows["absent"] == 0


def test_presence_is_logistic_in_the_evidence(monkeypatch):
    monkeypatch.setattr(presence, "CALIBRATION", Calibration((2, 3, 1, 4, -4), (1, 0, 0, 0), 0.5))
    assert presence_logit(Evidence(0.5, 1), Examples(1, None)) == pytest.approx(2)
    assert presence_logit(Evidence(0.5, 1), Examples(1, 0.75)) == pytest.approx(3)
    judged = Judged(presence_logit(Evidence(1, 1), Examples(1, 0.0)), Evidence(1, 1), Examples(1, 0.0))
    assert judged.presence == pytest.approx(1 / (1 + np.exp(-1)))
    assert judged.expected_iou(0) == pytest.approx(0.5)
