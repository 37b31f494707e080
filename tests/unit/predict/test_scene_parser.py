"""Scene parsing: images of any size, windows, scales and mirror images."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from likewise.errors import ArgumentError, ImageError, ModelError, WeightsError
from likewise.io.resize import resize_image
from likewise.ops.bilinear import resize_bilinear
from likewise.predict import scene_parser
from likewise.predict.scene_parser import SceneParser
from likewise.predict.windows import axis_windows
from likewise.weights import PRETRAINED
from likewise.weights.checkpoint import read_header, read_state
from support.fakes import noise
from support.scene_runs import CLASSES, write_run


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    return write_run(tmp_path_factory.mktemp("runs") / "mcibi")


@pytest.fixture(scope="module")
def parser(run: Path) -> SceneParser:
    return SceneParser(run, device="cpu")


def smooth(height: int, width: int, seed: int = 0) -> np.ndarray:
    """An image of broad coloured patches."""
    torch_noise = torch.from_numpy(noise(seed, 6, 6)).permute(2, 0, 1)[None].float()
    return F.interpolate(torch_noise, (height, width), mode="bicubic")[0].clamp(0, 255).permute(1, 2, 0).byte().numpy()


def plainly(parser: SceneParser, image: np.ndarray) -> torch.Tensor:
    """The probabilities of one pass over the whole image."""
    with torch.inference_mode():
        network = parser.network.network
        return network(network.backbone.normalise(torch.from_numpy(image)[None])).softmax(dim=1)[0]


@pytest.mark.parametrize("size", [(1, 1), (7, 300), (65, 97), (64, 64), (133, 51)])
def test_an_image_of_any_size_gets_a_class_and_its_probability_at_every_pixel(parser, size):
    image = noise(3, *size)
    result = parser.parse(image)
    expected = plainly(parser, image)
    assert result.labels.shape == result.probability.shape == size
    np.testing.assert_array_equal(result.labels, expected.argmax(dim=0).numpy())
    np.testing.assert_allclose(result.probability, expected.amax(dim=0).numpy(), atol=1e-6)
    assert sum(result.areas.values()) == size[0] * size[1]
    np.testing.assert_allclose(parser.probabilities(image), expected.numpy(), atol=1e-6)


def test_scores_are_the_mean_probability_over_the_pixels_of_a_class(parser):
    result = parser.parse(smooth(80, 120))
    assert result.mask.all()
    assert len(np.unique(result.labels)) > 1, "the image must tell classes apart for this test"
    for index, score in enumerate(result.scores):
        own = result.probability[result.labels == index]
        assert score == pytest.approx(own.mean() if own.size else 0.0, abs=1e-5)


def test_the_mirrored_pass_swaps_left_and_right_classes(run):
    image = smooth(64, 96)
    both = SceneParser(run, mirror=True, device="cpu").probabilities(image)
    plain = SceneParser(run, device="cpu")
    one, other = plainly(plain, image), plainly(plain, np.ascontiguousarray(image[:, ::-1])).flip(2)
    other = other[[0, CLASSES.index("right arm"), CLASSES.index("left arm"), 3]]
    np.testing.assert_allclose(both, ((one + other) / 2).numpy(), atol=1e-6)
    assert not np.allclose(both, one.numpy(), atol=1e-4)


def test_several_scales_are_averaged_at_the_size_of_the_image(run):
    image = smooth(64, 96)
    found = SceneParser(run, scales=(0.5, 1.0), device="cpu").probabilities(image)
    plain = SceneParser(run, device="cpu")
    half = plainly(plain, np.array(resize_image(image, 32, 48)))[None]
    half = F.interpolate(half, (64, 96), mode="bilinear", align_corners=False)[0]
    np.testing.assert_allclose(found, ((half + plainly(plain, image)) / 2).numpy(), atol=1e-5)
    np.testing.assert_allclose(found.sum(axis=0), 1, atol=1e-5)


def test_an_image_is_parsed_at_the_side_of_training_and_labelled_at_its_own_size(tmp_path):
    run = write_run(tmp_path / "run", side=64)
    parser = SceneParser(run, device="cpu")
    assert parser.network_size(200, 300) == (64, 96)
    image = smooth(200, 301)
    found = parser.probabilities(image)
    assert found.shape == (4, 200, 301)
    small = plainly(parser, np.array(resize_image(image, *parser.network_size(200, 301))))[None]
    expected = F.interpolate(small, (200, 301), mode="bilinear", align_corners=False)[0]
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-5)
    assert SceneParser(run, side=0, device="cpu").network_size(200, 300) == (200, 300)
    assert SceneParser(run, side=100, device="cpu").network_size(200, 300) == (100, 150)


def test_window_weights_sum_to_one_and_windows_overlap_as_set():
    for length in (64, 65, 100, 128, 257, 1000):
        for overlap in (0.0, 0.25, 0.5):
            windows = axis_windows(length, 64, overlap)
            total = np.zeros(length)
            for start, weights in windows:
                total[start : start + len(weights)] += weights
                assert (weights > 0).all()
            np.testing.assert_allclose(total, 1, rtol=1e-6)
            starts = [start for start, _ in windows]
            assert all(b - a <= round(64 * (1 - overlap)) + 1 for a, b in pairwise(starts))


def test_a_large_image_is_the_weighted_sum_of_its_windows(run):
    parser = SceneParser(run, window=64, overlap=0.25, device="cpu")
    image = smooth(150, 200)
    expected = np.zeros((4, 150, 200), np.float32)
    for top, down in axis_windows(150, 64, 0.25):
        for left, across in axis_windows(200, 64, 0.25):
            rows, columns = slice(top, top + len(down)), slice(left, left + len(across))
            part = plainly(parser, np.ascontiguousarray(image[rows, columns]))
            expected[:, rows, columns] += part.numpy() * down[:, None] * across
    np.testing.assert_allclose(parser.probabilities(image), expected, atol=1e-5)
    np.testing.assert_array_equal(parser.parse(image).labels, expected.argmax(axis=0))


def test_seams_between_windows_are_no_rougher_than_the_rest(run):
    image = smooth(64, 400)
    windows = axis_windows(400, 64, 0.5)
    starts = np.array([start for start, _ in windows[1:]])

    def steps(found: np.ndarray) -> np.ndarray:
        return np.abs(np.diff(found, axis=2)).mean(axis=(0, 1))

    blended = steps(SceneParser(run, window=64, overlap=0.5, device="cpu").probabilities(image))
    hard = steps(SceneParser(run, window=64, overlap=0.0, device="cpu").probabilities(image))
    hard_starts = np.array([start for start, _ in axis_windows(400, 64, 0.0)[1:]])
    assert blended[starts - 1].mean() < 3 * blended.mean()
    assert blended[starts - 1].mean() < 0.5 * hard[hard_starts - 1].mean()


def test_a_baseline_without_memory_parses_too(tmp_path):
    result = SceneParser(write_run(tmp_path / "fcn", "fcn"), device="cpu").parse(noise(1, 40, 60))
    assert result.labels.shape == (40, 60)


def test_impossible_settings_are_refused(run, tmp_path):
    for options in ({"scales": ()}, {"scales": (0.5, 0.0)}, {"window": 10}, {"overlap": 0.7}, {"side": -3}):
        with pytest.raises(ArgumentError, match=next(iter(options))):
            SceneParser(run, device="cpu", **options)
    with pytest.raises(ModelError, match="nothing"):
        SceneParser(tmp_path / "nothing")
    with pytest.raises(ModelError, match=r"255.*254"):
        SceneParser(write_run(tmp_path / "many", classes=[str(i) for i in range(255)]), device="cpu")


def test_a_run_of_another_method_is_refused(tmp_path):
    with pytest.raises(ModelError, match="PANet"):
        SceneParser(PRETRAINED / "panet-lite0.safetensors", device="cpu")


def test_the_error_for_an_unreadable_image_names_it(parser, tmp_path):
    (tmp_path / "x.jpg").write_text("no image")
    with pytest.raises(ImageError, match=r"x\.jpg"):
        parser.parse(tmp_path / "x.jpg")


def test_weights_that_do_not_fit_their_header_are_refused(run, tmp_path):
    state = read_state(run / "weights.safetensors")
    del state["memory.vectors"]
    save_file(state, tmp_path / "weights.safetensors", read_header(run / "weights.safetensors"))
    with pytest.raises(WeightsError, match=r"1 missing: memory\.vectors"):
        SceneParser(tmp_path, device="cpu")


@pytest.mark.parametrize(("height", "size"), [(40, (100, 70)), (40, (13, 9)), (1, (5, 5)), (31, (31, 8)), (7, (1, 1))])
def test_bands_are_resized_as_the_whole_planes_are(height, size, monkeypatch):
    monkeypatch.setattr(scene_parser, "RESIZED", 3 * 4 * 2 * size[1])
    planes = np.random.default_rng(0).random((3, height, 20), np.float32)
    bands = [planes[:, row : row + 6] for row in range(0, height, 6)]
    found = list(scene_parser.resize_bands(iter(bands), height, size))
    assert max(part.shape[1] for part in found) <= 2
    np.testing.assert_allclose(np.concatenate(found, axis=1), resize_bilinear(planes, size), atol=1e-5)


@pytest.mark.parametrize("size", [(12, 2400), (2400, 12), (16, 20_000), (1, 100_000)])
def test_a_strip_is_enlarged_to_a_bounded_area(run, size):
    parser = SceneParser(run, side=360, device="cpu")
    height, width = parser.network_size(*size)
    area = size[0] * size[1]
    assert height * width <= 1.1 * max(area, 8 * parser.side**2)
    assert height / width == pytest.approx(size[0] / size[1], rel=0.5)
