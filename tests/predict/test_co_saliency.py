"""Groups of pictures in, masks of what they share out."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter

from fake_runs import make_hsnet_run
from fakes import noise
from likewise.images import PictureError
from likewise.models.icnet import join
from likewise.paths import find_pictures
from likewise.predict.co_saliency import CoSaliency, joined, read_ahead
from likewise.predict.saliency import Saliency


@pytest.fixture(scope="module")
def cosaliency() -> CoSaliency:
    return CoSaliency(device="cpu")


@pytest.fixture(scope="module")
def unrefined() -> CoSaliency:
    return CoSaliency(device="cpu", edges=False)


@pytest.fixture
def group(photos: Path) -> Path:
    """Five blurred pictures of different sizes with a red disc somewhere."""
    for index in range(5):
        height, width = 90 + 10 * index, 130 - 10 * index
        picture = Image.fromarray(noise(index, height, width)).filter(ImageFilter.GaussianBlur(4))
        pixels = np.array(picture)
        rows, columns = np.mgrid[:height, :width]
        pixels[(rows - 45) ** 2 + (columns - 40 - 5 * index) ** 2 < 25**2] = 220, 30, 30
        Image.fromarray(pixels).save(photos / f"{index}.png")
    return photos


def test_each_result_has_the_size_of_its_picture_and_they_are_masks_of_their_probability(cosaliency, group):
    pictures = find_pictures([group])
    results = list(cosaliency.cosegment(pictures))
    for index, result in enumerate(results):
        assert result.mask.shape == result.probability.shape == (90 + 10 * index, 130 - 10 * index)
        np.testing.assert_array_equal(result.mask, result.probability > 0.5)
        assert result.classes == ("object",)


def test_two_passes_give_what_the_whole_group_at_once_gives(unrefined, group):
    pictures = find_pictures([group])
    learned = unrefined.learn(pictures)
    pixels = [np.array(Image.open(picture.path)) for picture in pictures]
    images = torch.cat([unrefined.image(one) for one in pixels])
    with torch.inference_mode():
        sisms = torch.stack([unrefined.sism(one, "") for one in pixels])
        parts = [unrefined.network.learn(*(part[None] for part in pair)) for pair in zip(images, sisms, strict=True)]
        whole = unrefined.network.segment(images, sisms, join(parts))
    for index, picture in enumerate(pictures):
        found = unrefined.segment(picture, learned).probability
        height, width = found.shape
        expected = torch.nn.functional.interpolate(
            whole[index][None, None], size=(height, width), mode="bilinear", align_corners=True
        )[0, 0]
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_the_order_of_the_files_changes_nothing(cosaliency, group):
    pictures = find_pictures([group])
    forwards, backwards = cosaliency.learn(pictures), cosaliency.learn(pictures[::-1])
    for picture in pictures:
        one, other = (cosaliency.segment(picture, learned).probability for learned in (forwards, backwards))
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_of_a_group_only_vectors_are_kept(cosaliency, group):
    learned = cosaliency.learn(find_pictures([group]))
    numbers = sum(vector.numel() for vector in learned.vectors.values())
    assert numbers == len(learned) * 2 * 3 * (112 + 192)  # both sides of three levels, channels of two strides
    for vector in learned.vectors.values():
        assert vector.untyped_storage().nbytes() == vector.numel() * vector.element_size()


def test_the_map_of_a_picture_is_made_once_for_both_passes(group, monkeypatch):
    cosaliency, made = CoSaliency(device="cpu"), []
    prior = cosaliency.maps.prior
    plane = prior.plane
    monkeypatch.setattr(prior, "plane", lambda picture: made.append(picture.shape) or plane(picture))
    assert len(list(cosaliency.cosegment(find_pictures([group])))) == 5
    assert len(made) == 5


def test_a_group_of_one_works_and_says_so(cosaliency, group):
    learned = cosaliency.learn([group / "0.png"])
    assert learned.names == (str(group / "0.png"),)
    assert cosaliency.segment(group / "0.png", learned).mask.shape == (90, 130)
    assert "a group of one" in learned.health().told()[0]


def test_pictures_in_memory_make_a_group_too(cosaliency, group):
    pixels = [np.array(Image.open(group / f"{index}.png")) for index in (0, 1)]
    learned = cosaliency.learn(pixels)
    assert learned.names == ("picture 1", "picture 2")
    on_disk = cosaliency.learn([group / "0.png", group / "1.png"])
    np.testing.assert_array_equal(
        cosaliency.segment(pixels[0], learned).mask, cosaliency.segment(group / "0.png", on_disk).mask
    )


def test_a_picture_that_cannot_be_read_is_named_and_the_others_are_the_group(cosaliency, group):
    (group / "2.png").write_bytes(b"nothing")
    learned = cosaliency.learn(find_pictures([group]))
    assert learned.names == ("0.png", "1.png", "3.png", "4.png")
    assert [name for name, _ in learned.failed] == ["2.png"]
    alone = cosaliency.learn([group / "3.png"])
    for stride, vectors in learned.vectors.items():
        torch.testing.assert_close(vectors[2:3], alone.vectors[stride], rtol=0, atol=0)
    with pytest.raises(PictureError, match=r"2\.png"):
        cosaliency.segment(group / "2.png", learned)


def test_of_a_group_that_nobody_can_read_nothing_is_shared(cosaliency, group):
    (group / "2.png").write_bytes(b"nothing")
    learned = cosaliency.learn([group / "2.png"])
    assert len(learned) == 0
    assert learned.health().told() == []
    with pytest.raises(ValueError, match="no picture of the group could be read"):
        cosaliency.segment(group / "0.png", learned)


def test_a_folder_of_maps_takes_the_place_of_the_model(cosaliency, group):
    maps = Path("maps")
    maps.mkdir()
    pictures = find_pictures([group])
    saliency = Saliency(device="cpu")
    for picture in pictures:
        values = np.rint(saliency.segment(picture.path).probability * 65535).astype(np.uint16)
        Image.fromarray(values).save(maps / picture.name)
    given = CoSaliency(maps=maps, device="cpu")
    ours, theirs = cosaliency.learn(pictures), given.learn(pictures)
    one, other = (model.segment(pictures[1], learned) for model, learned in ((cosaliency, ours), (given, theirs)))
    assert np.abs(one.probability - other.probability).mean() < 0.05
    (maps / "3.png").unlink()
    with pytest.raises(ValueError, match=r"1 of the saliency maps do not fit their pictures: 3\.png has none"):
        given.learn(pictures)
    Image.fromarray(np.zeros((100, 120), np.uint8)).save(maps / "1.png")
    assert given.segment(pictures[1], theirs).probability.shape == (100, 120)


def test_the_best_masks_become_examples(cosaliency, group, monkeypatch):
    pictures = find_pictures([group])
    learned = cosaliency.learn(pictures)
    examples = cosaliency.examples(pictures, learned, count=2)
    assert len(examples) == 2
    for example in examples:
        assert example.mask.shape == np.array(Image.open(example.picture)).shape[:2]
        np.testing.assert_array_equal(example.mask, cosaliency.segment(example.picture, learned).mask)
    monkeypatch.setattr("likewise.predict.co_saliency.LEAST_SHARE", 0.99)
    with pytest.raises(ValueError, match="no mask of the group is fit to be an example"):
        cosaliency.examples(pictures, learned, count=2)


def test_group_and_examples_are_joined_by_the_mean_of_their_probabilities(cosaliency, group):
    pictures = find_pictures([group])
    own = cosaliency.segment(pictures[0], cosaliency.learn(pictures))
    sure = replace(own, probability=np.ones_like(own.probability))
    both = joined(own, sure)
    np.testing.assert_allclose(both.probability, (own.probability + 1) / 2, rtol=1e-6)
    np.testing.assert_array_equal(both.mask, own.probability > 0)
    assert both.classes == ("object",)


def test_a_group_of_another_model_is_refused(cosaliency, group):
    learned = cosaliency.learn([group / "0.png"])
    other = CoSaliency(device="cpu")
    other.fingerprint = "another"
    with pytest.raises(ValueError, match="learned with another model"):
        other.segment(group / "0.png", learned)


def test_wrong_models_are_refused_with_what_there_is(tmp_path):
    with pytest.raises(ValueError, match="no co-saliency model is called 'icnets'; there are icnet-lite0, icnet-vgg16"):
        CoSaliency("icnets")
    with pytest.raises(ValueError, match="icnet-vgg16 is a published network: pass its authors' checkpoint"):
        CoSaliency("icnet-vgg16")
    with pytest.raises(ValueError, match="icnet-lite0 has weights of its own"):
        CoSaliency(weights=tmp_path / "x.pth")
    with pytest.raises(ValueError, match="holds HSNet, which reads no groups; take a run of icnet"):
        CoSaliency(str(make_hsnet_run(tmp_path / "run")))
    with pytest.raises(ValueError, match="no saliency model is called 'salient'; there are saliency-lite0"):
        CoSaliency(maps="salient")
    with pytest.raises(ValueError, match="holds HSNet, no saliency network"):
        Saliency(str(tmp_path / "run"))


def test_no_pictures_are_no_group(cosaliency):
    with pytest.raises(ValueError, match="no pictures: a group has at least one"):
        cosaliency.learn([])


def test_pictures_are_read_a_few_ahead_and_no_more(group, monkeypatch):
    opened = []

    def read(source):
        opened.append(source)
        return np.zeros((4, 4, 3), np.uint8)

    monkeypatch.setattr("likewise.predict.co_saliency.read_picture", read)
    stream = read_ahead([f"{index}.png" for index in range(50)])
    names = [next(stream)[0] for _ in range(10)]
    assert names == [f"{index}.png" for index in range(10)]
    assert len(opened) <= 14
    stream.close()
