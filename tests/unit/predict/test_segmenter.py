"""`Segmenter`: one concept in any number of images."""

import itertools

import numpy as np
import pytest

from likewise import Example, FewShot
from likewise.errors import ArgumentError, ImageError, ModelError
from support.scenes import scene


@pytest.fixture(scope="module", params=["prototypes-lite0", "panet-lite0"])
def few_shot(request: pytest.FixtureRequest) -> FewShot:
    return FewShot(request.param)


def test_a_segmenter_equals_the_short_form(few_shot):
    concept = few_shot.learn(Example(*scene()))
    query, _ = scene(at=(60, 90), seed=1)
    segmenter = few_shot.prepare(concept)
    assert segmenter.concept is concept
    assert segmenter(query) == few_shot.segment(query, concept)


@pytest.mark.parametrize("batch_size", [None, 1, 3])
def test_a_stream_keeps_the_order_of_images_of_any_size(few_shot, batch_size):
    segmenter = few_shot.prepare(few_shot.learn(Example(*scene())))
    sizes = [(120, 160), (90, 120), (120, 160), (200, 60), (120, 160), (90, 120), (160, 120)]
    images = [scene(size, at=(5, 3), seed=seed)[0] for seed, size in enumerate(sizes)]
    results = list(segmenter.stream((image for image in images), batch_size=batch_size))
    assert len(results) == len(images)
    for image, result in zip(images, results, strict=True):
        np.testing.assert_allclose(result.probability, segmenter(image).probability, atol=1e-4)


def test_a_stream_takes_any_number_of_images(few_shot):
    segmenter = few_shot.prepare(few_shot.learn(Example(*scene())))
    endless = segmenter.stream(itertools.repeat(scene()[0]))
    assert len(list(itertools.islice(endless, 5))) == 5
    endless.close()
    assert list(segmenter.stream([])) == []


def test_a_stream_ends_at_an_image_that_cannot_be_read(few_shot, tmp_path):
    image, mask = scene()
    segmenter = few_shot.prepare(few_shot.learn(Example(image, mask=mask)))
    found = segmenter.stream([image, image, tmp_path / "none.png", image], batch_size=4)
    assert next(found) == segmenter(image)
    next(found)
    with pytest.raises(ImageError, match=r"none\.png"):
        next(found)
    with pytest.raises(ArgumentError):
        segmenter.stream([image], batch_size=0)
    with pytest.raises(ArgumentError):
        segmenter.stream("cat.jpg")


def test_the_features_of_an_image_answer_as_the_image_does(few_shot):
    segmenter = few_shot.prepare(few_shot.learn(Example(*scene())))
    query, _ = scene(at=(60, 90), seed=1)
    features = few_shot.encode(query)
    assert segmenter.from_features(features, query) == segmenter(query)
    found = segmenter.answer(features)
    assert found.probabilities.shape == (2, *features.levels[0].shape[2:])
    assert found.judged is not None


def test_other_methods_do_not_answer_from_features():
    few_shot = FewShot()
    segmenter = few_shot.prepare(few_shot.learn(Example(*scene())))
    segmenter._head = object()
    with pytest.raises(ModelError, match="prototypes-lite0"):
        segmenter.answer(few_shot.encode(scene()[0]))


def test_presence_is_fitted_to_images_in_any_order(few_shot, tmp_path):
    segmenter = few_shot.prepare(few_shot.learn(Example(*scene())))
    images = [scene(at=(10 * number, 40), seed=number)[0] for number in range(4)]
    images += [np.random.default_rng(number).integers(0, 256, (90, 120, 3), dtype=np.uint8) for number in range(4)]
    before = segmenter.presence_settings
    fitted = segmenter.fit_presence(images)
    assert (
        fitted.presence_settings == segmenter.fit_presence([tmp_path / "none.png", *reversed(images)]).presence_settings
    )
    assert segmenter.presence_settings == before, "the segmenter itself stays"
    assert fitted.presence_settings["fitted examples"] != before["fitted examples"]
    assert fitted.presence != before["fitted presence"]
    found = [segmenter(image).mask.any() for image in images]
    fitted.presence = (max(segmenter(image).presences[0] for image in images) + 1e-3,)
    assert any(found)
    assert not any(fitted(image).mask.any() for image in images)


def test_presence_is_fitted_to_a_part_of_many_images(few_shot, monkeypatch):
    segmenter = few_shot.prepare(few_shot.learn(Example(*scene())))
    images = [scene(at=(10 * number, 40), seed=number)[0] for number in range(8)]
    monkeypatch.setattr("likewise.predict.segmenter.MOST", 6)
    every = [0, 1, 3, 4, 6, 7]
    assert (
        segmenter.fit_presence(images).presence_settings
        == segmenter.fit_presence([images[at] for at in every]).presence_settings
    )


def test_presence_of_few_images_is_not_fitted(few_shot):
    segmenter = few_shot.prepare(few_shot.learn(Example(*scene())))
    with pytest.warns(UserWarning, match="3 can be read"):
        assert segmenter.fit_presence([scene()[0]] * 3).presence == segmenter.presence
    with pytest.raises(ArgumentError, match="photos"):
        segmenter.fit_presence("photos/")


def test_presence_that_always_counts_cannot_be_fitted():
    few_shot = FewShot(presence=0)
    with pytest.raises(ArgumentError):
        few_shot.prepare(few_shot.learn(Example(*scene()))).fit_presence([scene()[0]] * 8)
