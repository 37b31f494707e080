"""Co-saliency: groups of images in, masks of the object that they share out."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter

from likewise.errors import ArgumentError, ExampleError, ImageError, ModelError
from likewise.io.images import read_scaled
from likewise.io.paths import find_images
from likewise.ops.bilinear import resize_bilinear
from likewise.predict.co_saliency import CoSaliency, average_results
from likewise.predict.saliency import Saliency
from support.fake_runs import make_hsnet_run
from support.fakes import noise


@pytest.fixture(scope="module")
def cosaliency() -> CoSaliency:
    return CoSaliency(device="cpu")


@pytest.fixture(scope="module")
def unrefined() -> CoSaliency:
    return CoSaliency(device="cpu", edges=False)


@pytest.fixture
def group(photos: Path) -> Path:
    """Five blurred images of different sizes with a red disc somewhere."""
    for index in range(5):
        height, width = 90 + 10 * index, 130 - 10 * index
        image = Image.fromarray(noise(index, height, width)).filter(ImageFilter.GaussianBlur(4))
        pixels = np.array(image)
        rows, columns = np.mgrid[:height, :width]
        pixels[(rows - 45) ** 2 + (columns - 40 - 5 * index) ** 2 < 25**2] = 220, 30, 30
        Image.fromarray(pixels).save(photos / f"{index}.png")
    return photos


def test_each_result_has_the_size_of_its_image_and_a_mask_above_one_half(cosaliency, group):
    images = find_images([group])
    results = list(cosaliency.cosegment(images))
    for index, result in enumerate(results):
        assert result.mask.shape == result.probability.shape == (90 + 10 * index, 130 - 10 * index)
        np.testing.assert_array_equal(result.mask, result.probability > 0.5)
        assert result.classes == ("object",)


def test_two_passes_equal_one_pass_of_the_whole_group(group):
    by_torch = CoSaliency(engine="torch", device="cpu", edges=False)
    images = find_images([group])
    learned = by_torch.learn(images)
    pixels = [np.array(Image.open(image.path)) for image in images]
    network = by_torch.network.network
    inputs = np.stack([by_torch.network_input(one) for one in pixels])
    sisms = np.stack([by_torch.sism(read_scaled(one)) for one in pixels])
    with torch.inference_mode():
        tensors = network.backbone.normalise(torch.from_numpy(inputs))
        maps = torch.from_numpy(sisms)
        whole = network.segment(tensors, maps, network.encode_group(tensors, maps)).numpy()
    for index, image in enumerate(images):
        found = by_torch.segment(image, learned).probability
        expected = resize_bilinear(whole[index], found.shape, align_corners=True)
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_engines_agree(unrefined, group):
    images = find_images([group])
    by_torch = CoSaliency(engine="torch", device="cpu", edges=False)
    assert (unrefined.engine, by_torch.engine) == ("onnx", "torch")
    assert (unrefined.fingerprint, unrefined.settings) == (by_torch.fingerprint, by_torch.settings)
    ours, theirs = unrefined.learn(images), by_torch.learn(images)
    for stride, vectors in ours.vectors.items():
        np.testing.assert_allclose(vectors, theirs.vectors[stride], atol=1e-5)
    for image in images:
        # positions of nearly equal attention may swap, which changes few pixels by little
        difference = abs(unrefined.segment(image, ours).probability - by_torch.segment(image, ours).probability)
        assert np.quantile(difference, 0.9) < 2e-5
        assert difference.max() < 0.02


def test_results_do_not_depend_on_the_order_of_the_images(cosaliency, group):
    images = find_images([group])
    forwards, backwards = cosaliency.learn(images), cosaliency.learn(images[::-1])
    for image in images:
        one, other = (cosaliency.segment(image, learned).probability for learned in (forwards, backwards))
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_a_group_keeps_only_vectors(cosaliency, group):
    learned = cosaliency.learn(find_images([group]))
    numbers = sum(vector.size for vector in learned.vectors.values())
    assert numbers == len(learned) * 2 * 3 * (112 + 192)  # both sides of three levels, channels of two strides
    for vector in learned.vectors.values():
        assert vector.base is None or vector.base.nbytes == vector.nbytes


def test_the_map_of_an_image_is_computed_once_for_both_passes(group, monkeypatch):
    cosaliency, made = CoSaliency(device="cpu"), []
    network = cosaliency.maps.network
    plane = network.plane
    monkeypatch.setattr(network, "plane", lambda image: made.append(image.shape) or plane(image))
    assert len(list(cosaliency.cosegment(find_images([group])))) == 5
    assert len(made) == 5


def test_a_group_of_one_image_works_and_warns(cosaliency, group):
    learned = cosaliency.learn([group / "0.png"])
    assert learned.names == (str(group / "0.png"),)
    assert cosaliency.segment(group / "0.png", learned).mask.shape == (90, 130)
    assert "group of one" in learned.health().warnings()[0]


def test_images_in_memory_form_a_group(cosaliency, group):
    pixels = [np.array(Image.open(group / f"{index}.png")) for index in (0, 1)]
    learned = cosaliency.learn(pixels)
    assert learned.names == ("image 1", "image 2")
    on_disk = cosaliency.learn([group / "0.png", group / "1.png"])
    np.testing.assert_array_equal(
        cosaliency.segment(pixels[0], learned).mask, cosaliency.segment(group / "0.png", on_disk).mask
    )


def test_an_unreadable_image_is_listed_and_the_others_form_the_group(cosaliency, group):
    (group / "2.png").write_bytes(b"nothing")
    learned = cosaliency.learn(find_images([group]))
    assert learned.names == ("0.png", "1.png", "3.png", "4.png")
    assert [name for name, _ in learned.failed] == ["2.png"]
    alone = cosaliency.learn([group / "3.png"])
    for stride, vectors in learned.vectors.items():
        np.testing.assert_array_equal(vectors[2:3], alone.vectors[stride])
    with pytest.raises(ImageError, match=r"2\.png"):
        cosaliency.segment(group / "2.png", learned)


def test_a_group_without_a_readable_image_is_refused_at_segmentation(cosaliency, group):
    (group / "2.png").write_bytes(b"nothing")
    learned = cosaliency.learn([group / "2.png"])
    assert len(learned) == 0
    assert learned.health().warnings() == []
    with pytest.raises(ArgumentError):
        cosaliency.segment(group / "0.png", learned)


def test_a_folder_of_maps_replaces_the_saliency_model(cosaliency, group):
    maps = Path("maps")
    maps.mkdir()
    images = find_images([group])
    saliency = Saliency(device="cpu")
    for image in images:
        values = np.rint(saliency.segment(image.path).probability * 65535).astype(np.uint16)
        Image.fromarray(values).save(maps / image.name)
    given = CoSaliency(maps=maps, device="cpu")
    ours, theirs = cosaliency.learn(images), given.learn(images)
    one, other = (model.segment(images[1], learned) for model, learned in ((cosaliency, ours), (given, theirs)))
    assert np.abs(one.probability - other.probability).mean() < 0.05
    (maps / "3.png").unlink()
    with pytest.raises(ImageError, match=r"3\.png"):
        given.learn(images)
    Image.fromarray(np.zeros((100, 120), np.uint8)).save(maps / "1.png")
    assert given.segment(images[1], theirs).probability.shape == (100, 120)


def test_the_best_masks_become_examples(cosaliency, group, monkeypatch):
    images = find_images([group])
    learned = cosaliency.learn(images)
    examples = cosaliency.examples(images, learned, count=2)
    assert len(examples) == 2
    for example in examples:
        assert example.mask.shape == np.array(Image.open(example.image)).shape[:2]
        np.testing.assert_array_equal(example.mask, cosaliency.segment(example.image, learned).mask)
    monkeypatch.setattr("likewise.predict.co_saliency.MIN_EXAMPLE_AREA", 0.99)
    with pytest.raises(ExampleError):
        cosaliency.examples(images, learned, count=2)


def test_results_of_group_and_examples_are_averaged(cosaliency, group):
    images = find_images([group])
    own = cosaliency.segment(images[0], cosaliency.learn(images))
    sure = replace(own, plane=np.ones_like(own.plane))
    both = average_results(own, sure)
    np.testing.assert_allclose(both.probability, (own.probability + 1) / 2, rtol=1e-6)
    np.testing.assert_array_equal(both.mask, own.probability > 0)
    assert both.classes == ("object",)


def test_a_group_of_another_model_is_refused(cosaliency, group):
    learned = cosaliency.learn([group / "0.png"])
    other = CoSaliency(device="cpu")
    other.fingerprint = "another"
    with pytest.raises(ArgumentError):
        other.segment(group / "0.png", learned)


def test_unknown_models_and_other_methods_are_refused(tmp_path):
    with pytest.raises(ModelError, match=r"icnets.*icnet-lite0, icnet-vgg16"):
        CoSaliency("icnets")
    with pytest.raises(ModelError, match="icnet-vgg16"):
        CoSaliency("icnet-vgg16")
    with pytest.raises(ModelError, match="icnet-lite0"):
        CoSaliency(weights=tmp_path / "x.pth")
    with pytest.raises(ModelError, match="HSNet"):
        CoSaliency(str(make_hsnet_run(tmp_path / "run")))
    with pytest.raises(ModelError, match=r"salient.*saliency-lite0"):
        CoSaliency(maps="salient")
    with pytest.raises(ModelError, match="HSNet"):
        Saliency(str(tmp_path / "run"))


def test_an_empty_group_is_refused(cosaliency):
    with pytest.raises(ArgumentError):
        cosaliency.learn([])
