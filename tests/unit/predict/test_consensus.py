"""The closed-form second pass over a group, on generated photographs with two coloured discs each."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from likewise.io.images import ScaledImage, read_image, read_scaled
from likewise.io.paths import ImageFile, find_images
from likewise.ops.bilinear import resize_bilinear
from likewise.predict.co_saliency import CoSaliency
from likewise.predict.consensus import Consensus
from support.fakes import noise

OTHERS = (30, 30, 220), (30, 200, 30), (230, 220, 40), (200, 40, 200), (40, 210, 210)


@pytest.fixture(scope="module")
def consensus() -> Consensus:
    return Consensus(CoSaliency(device="cpu", edges=False))


@pytest.fixture
def group(photos: Path) -> list[ImageFile]:
    """Five blurred images with a red disc on the left, and on the right a disc of another colour in each."""
    rows, columns = np.mgrid[:160, :200]
    for index, colour in enumerate(OTHERS):
        pixels = np.array(Image.fromarray(noise(index, 160, 200)).filter(ImageFilter.GaussianBlur(5)))
        for centre, paint in ((52, (220, 30, 30)), (146, colour)):
            pixels[(rows - 80) ** 2 + (columns - centre) ** 2 < 34**2] = paint
        Image.fromarray(pixels).save(photos / f"{index}.png")
    return find_images([photos])


def test_results_have_the_size_of_their_image_and_a_mask_above_one_half(consensus: Consensus, group: list) -> None:
    done: list[tuple[int, int]] = []
    shared = consensus.learn(group, progress=lambda *counts: done.append(counts))
    assert done == [(count, 5) for count in range(1, 6)]
    for image in group:
        result = consensus.segment(read_image(image.path), shared)
        assert result.mask.shape == result.probability.shape == (160, 200)
        np.testing.assert_array_equal(result.mask, result.probability > 0.5)
        assert result.classes == ("object",)


def test_without_prototypes_the_result_is_the_map(consensus: Consensus, group: list) -> None:
    pixels = read_image(group[0].path)
    saliency = consensus.cosaliency.sism(read_scaled(pixels))
    expected = resize_bilinear(saliency, (160, 200)).clip(1e-3, 0.999)
    np.testing.assert_allclose(consensus.segment(pixels, None).probability, expected, atol=1e-7)


def test_unreadable_images_are_skipped(consensus: Consensus, group: list, photos: Path) -> None:
    (photos / "broken.png").write_bytes(b"no image")
    broken = ImageFile(photos / "broken.png", "broken.png")
    assert consensus.learn([broken]) is None
    shared = consensus.learn([*group, broken])
    assert shared is not None
    assert shared.shots == 5


def test_large_groups_compare_images_evenly_spread(
    consensus: Consensus, group: list, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    pixels = read_scaled(group[0].path)

    def read(image: ImageFile, short: int) -> ScaledImage:
        seen.append(int(image.path.stem))
        return pixels

    monkeypatch.setattr("likewise.predict.consensus.read_scaled", read)
    monkeypatch.setattr(consensus.few_shot, "features", lambda pixels: np.ones((3, 4, 4), np.float32))
    files = [ImageFile(Path(f"{index}.png"), f"{index}.png") for index in range(64)]
    consensus.learn(files)
    assert sorted(seen) == list(range(0, 64, 2))
