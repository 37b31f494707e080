"""`FewShot`: examples in, masks at the size of each image out."""

import re
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from likewise import Concept, Example, FewShot, Result
from likewise.errors import ArgumentError, ConceptError, ExampleError, ImageError, ModelError
from likewise.weights.load import open_model
from likewise.weights.names import FEW_SHOT
from support.scenes import scene


@pytest.fixture(scope="module", params=["prototypes-lite0", "panet-lite0"])
def few_shot(request: pytest.FixtureRequest) -> FewShot:
    return FewShot(request.param)


def iou(one: np.ndarray, other: np.ndarray) -> float:
    return (one & other).sum() / (one | other).sum()


def test_the_object_is_found_in_another_image_of_another_size(few_shot):
    image, mask = scene()
    concept = few_shot.learn(Example(image, mask=mask))
    query, truth = scene(size=(150, 110), at=(70, 20), seed=1)
    result = few_shot.segment(query, concept)
    assert result.mask.shape == result.probability.shape == result.labels.shape == (150, 110)
    assert result.mask.dtype == bool
    assert result.probability.dtype == np.float32
    assert 0 <= result.probability.min() <= result.probability.max() <= 1
    assert (result.mask == (result.probability > 0.5)).mean() > 0.999
    assert iou(result.mask, truth) > 0.6
    assert 0.5 < result.score <= 1


def test_a_box_and_scribbles_find_the_object_too(few_shot):
    image, mask = scene()
    query, truth = scene(at=(60, 90), seed=1)
    box = few_shot.learn(Example(image, box=(40, 30, 90, 80)))
    assert iou(few_shot.segment(query, box).mask, truth) > 0.4
    strokes = np.zeros(mask.shape, np.uint8)
    strokes[50:60, 50:80] = 1
    strokes[100:110, 10:150] = 2
    scribbles = few_shot.learn(Example(image, scribbles=Image.fromarray(strokes)))
    assert iou(few_shot.segment(query, scribbles).mask, truth) > 0.5


def test_several_classes_are_distinguished(few_shot):
    red, red_mask = scene()
    blue, blue_mask = scene(colour=(40, 60, 230), at=(60, 90), seed=2)
    concept = few_shot.learn(
        [Example(red, mask=red_mask, class_name="red"), Example(blue, mask=blue_mask, class_name="blue")]
    )
    assert concept.classes == ("red", "blue")
    query, truth = scene(colour=(40, 60, 230), at=(20, 20), seed=3)
    result = few_shot.segment(query, concept)
    assert result.classes == ("red", "blue")
    assert len(result.scores) == 2
    assert np.bincount(result.labels[truth], minlength=3).argmax() == 2


@pytest.mark.parametrize("engine", ["onnx", "torch"])
def test_without_edges_one_look_equals_the_models_forward_pass(engine):
    few_shot = FewShot("panet-lite0", engine=engine, quality="fast", edges=False)
    network = open_model("panet-lite0", FEW_SHOT).network
    image, mask = scene(size=(320, 320))
    query, _ = scene(size=(320, 320), at=(200, 100), seed=1)
    result = few_shot.segment(query, few_shot.learn(Example(image, mask=mask)))
    normalise = network.backbone.normalise
    support = normalise(torch.from_numpy(image)[None])[None, None]
    foreground = torch.from_numpy(mask)[None, None, None].float()
    with torch.no_grad():
        images = normalise(torch.from_numpy(query)[None])[None]
        logits = network(support, foreground, 1 - foreground, images)
    expected = logits.softmax(dim=2)[0, 0, 1].numpy()
    np.testing.assert_allclose(result.probability, expected, atol=2e-5)


def test_merging_concepts_equals_learning_their_examples_together(few_shot):
    one, two = scene(), scene(at=(60, 100), seed=4)
    together = few_shot.learn([Example(one[0], mask=one[1]), Example(two[0], mask=two[1])])
    apart = few_shot.learn(Example(one[0], mask=one[1])).merged(few_shot.learn(Example(two[0], mask=two[1])))
    query, _ = scene(at=(20, 90), seed=5)
    np.testing.assert_allclose(
        few_shot.segment(query, together).probability, few_shot.segment(query, apart).probability, atol=1e-5
    )


def test_a_saved_concept_segments_identically(few_shot, tmp_path):
    image, mask = scene()
    concept = few_shot.learn(Example(image, mask=mask))
    concept.save(tmp_path / "disc.concept")
    query, _ = scene(at=(60, 90), seed=1)
    before = few_shot.segment(query, concept).probability
    after = few_shot.segment(query, Concept.load(tmp_path / "disc.concept")).probability
    np.testing.assert_array_equal(before, after)


def test_an_image_is_a_path_a_pillow_image_or_an_array_and_is_turned_upright(few_shot, tmp_path):
    image, mask = scene()
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = Image.fromarray(image).transpose(Image.Transpose.ROTATE_90)
    stored.save(tmp_path / "turned.png", exif=exif)
    Image.fromarray(mask).save(tmp_path / "mask.png")
    from_files = few_shot.learn(Example(tmp_path / "turned.png", mask=tmp_path / "mask.png"))
    from_arrays = few_shot.learn(Example(image, mask=mask))
    torch.testing.assert_close(from_files.rows, from_arrays.rows)
    assert from_files.names == ("turned.png",)
    by_path = few_shot.segment(str(tmp_path / "turned.png"), from_files).mask
    by_image = few_shot.segment(Image.fromarray(image), from_files).mask
    np.testing.assert_array_equal(by_path, by_image)
    assert by_path.shape == mask.shape


def test_a_concept_of_another_model_is_refused(few_shot):
    image, mask = scene()
    untrained = FewShot("panet", device="cpu")
    with pytest.raises(ConceptError, match=rf"{few_shot.model_name}.*panet"):
        untrained.segment(image, few_shot.learn(Example(image, mask=mask)))
    concept = FewShot("panet", taps=("blocks.5.3",), device="cpu").learn(Example(image, mask=mask))
    with pytest.raises(ConceptError, match=r"lite0@blocks\.5\.3.*lite0@blocks\.4\.2"):
        untrained.segment(image, concept)
    larger = FewShot(few_shot.model_name, side=384)
    with pytest.raises(ConceptError, match=r"320.*384"):
        larger.segment(image, few_shot.learn(Example(image, mask=mask)))


def test_an_empty_mask_is_refused_with_the_name_of_its_image(few_shot, tmp_path):
    image, mask = scene()
    Image.fromarray(image).save(tmp_path / "cat.png")
    with pytest.raises(ExampleError, match=r"cat\.png"):
        few_shot.learn(Example(tmp_path / "cat.png", mask=np.zeros_like(mask)))


def test_the_error_for_a_mask_of_another_size_names_both_sizes(few_shot):
    image, mask = scene()
    with pytest.raises(ImageError, match=r"40x60.*160x120|160x120.*40x60"):
        few_shot.learn(Example(image, mask=mask[:60, :40]))


@pytest.mark.parametrize("marks", [{}, {"mask": np.ones((120, 160), bool), "box": (0, 0, 9, 9)}])
def test_an_example_is_marked_in_exactly_one_way(few_shot, marks):
    with pytest.raises(ExampleError):
        few_shot.learn(Example(scene()[0], **marks))


def test_no_examples_and_tiny_images_are_refused(few_shot):
    with pytest.raises(ExampleError):
        few_shot.learn([])
    with pytest.raises(ImageError, match=r"8x200.*16"):
        few_shot.learn(Example(np.zeros((200, 8, 3), np.uint8), box=(0, 0, 4, 4)))


def test_unknown_models_devices_and_sides_are_refused():
    with pytest.raises(
        ModelError,
        match=r"'hsnet2'.*prototypes-lite0, panet-lite0, hsnet-lite0, prototypes, panet, panet-vgg16, .*hsnet-resnet50",
    ):
        FewShot(model="hsnet2")
    with pytest.raises(ModelError, match="tpu9"):
        FewShot(device="tpu9")
    with pytest.raises(ModelError, match=r"float8.*float32, bfloat16"):
        FewShot(precision="float8")
    for side in (8, 100000):
        with pytest.raises(ArgumentError, match=rf"{side} .*32 to 4096"):
            FewShot("panet-lite0", side=side)
    for name in ("panet-vgg16", "hsnet-resnet50"):
        with pytest.raises(ModelError, match=rf"{name}.*--weights"):
            FewShot(model=name)
    with pytest.raises(ModelError, match="panet-lite0"):
        FewShot("panet-lite0", backbone="resnet50")


def test_a_published_network_segments_with_its_authors_checkpoint(tmp_path, rule, golden):
    meta, _ = golden("panet_vgg16")
    state = {name: torch.from_numpy(value) for name, value in rule.make_state(meta["entries"], meta["gain"]).items()}
    torch.save(state, tmp_path / "panet.pth")
    few_shot = FewShot("panet-vgg16", weights=tmp_path / "panet.pth", side=64, device="cpu")
    image, mask = scene()
    result = few_shot.segment(image, few_shot.learn(Example(image, mask=mask)))
    assert result.mask.shape == mask.shape
    assert few_shot.backbone_name == "vgg16-dilated@features.29"
    assert few_shot.engine == "torch"


@pytest.mark.parametrize("engine", ["onnx", "torch"])
def test_several_threads_share_one_predictor(engine):
    few_shot = FewShot(side=96, engine=engine)
    examples = [Example(*scene(at=(10 * index, 20 * index), seed=index)) for index in range(4)]
    examples[3] = replace(examples[3], mask=np.pad(np.ones((2, 2), bool), ((0, 118), (0, 158))))  # learning it warns
    query, _ = scene(seed=9)

    def learn_and_segment(index: int) -> tuple[Concept, Result]:
        concept = few_shot.learn(examples[index % 4])
        return concept, few_shot.segment(query, concept)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = [learn_and_segment(index) for index in range(4)]
        with ThreadPoolExecutor(4) as threads:
            found = list(threads.map(learn_and_segment, range(12)))
        segmenter = few_shot.prepare(expected[0][0])
        with ThreadPoolExecutor(4) as threads:
            shared = list(threads.map(segmenter, [query] * 8))
    for index, (concept, result) in enumerate(found):
        assert concept == expected[index % 4][0]
        np.testing.assert_allclose(result.probability, expected[index % 4][1].probability, atol=1e-5)
    for result in shared:
        np.testing.assert_allclose(result.probability, expected[0][1].probability, atol=1e-5)


def test_ignored_pixels_are_neither_object_nor_background(few_shot):
    image, mask = scene()
    ignore = np.zeros_like(mask)
    ignore[:40] = True
    strokes = np.where(ignore, 0, np.where(mask, 1, 2)).astype(np.uint8)
    assert few_shot.learn(Example(image, mask=mask, ignore=ignore)) == few_shot.learn(Example(image, scribbles=strokes))


def test_concepts_pass_between_engines_and_both_give_the_same_masks():
    by_onnx, by_torch = (FewShot(engine=engine) for engine in ("onnx", "torch"))
    assert (by_onnx.engine, by_torch.engine) == ("onnx", "torch")
    examples = [Example(*scene()), Example(*scene(at=(60, 90), seed=2))]
    query, _ = scene(size=(150, 210), at=(70, 20), seed=1)
    own, other = (each.learn(examples) for each in (by_onnx, by_torch))
    results = [each.segment(query, concept) for each in (by_onnx, by_torch) for concept in (own, other)]
    for result in results[1:]:
        np.testing.assert_allclose(result.probability, results[0].probability, atol=1e-3)  # rows in half precision
        assert (result.mask != results[0].mask).mean() < 1e-3


@pytest.mark.slow
def test_the_default_runs_without_torch():
    program = (
        "import sys, numpy as np; from likewise import Example, FewShot\n"
        "few_shot, image = FewShot(), np.zeros((64, 64, 3), np.uint8)\n"
        "mask = np.zeros((64, 64), bool); mask[8:40, 8:40] = True; image[mask] = 200\n"
        "few_shot.segment(image, few_shot.learn(Example(image, mask=mask)))\n"
        "heavy = {'torch', 'torchvision', 'timm', 'scipy', 'kornia'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


def test_an_engine_that_cannot_run_the_model_is_refused():
    with pytest.raises(ModelError, match="'onnx'"):
        FewShot("panet", engine="onnx")
    with pytest.raises(ModelError, match="tensorrt"):
        FewShot(engine="tensorrt")


def test_an_image_in_place_of_an_example_is_refused(few_shot):
    with pytest.raises(TypeError, match=r"cat\.jpg"):
        few_shot.learn(["cat.jpg"])


def test_one_odd_example_of_several_is_left_out_unless_strict(few_shot):
    (image, mask), (other, other_mask) = scene(), scene(seed=1)
    good, empty = Example(image, mask=mask), Example(other, mask=np.zeros_like(other_mask))
    with pytest.raises(ExampleError):
        few_shot.learn([good, empty])
    with pytest.warns(UserWarning, match="left out: .* empty"):
        concept = few_shot.learn([good, empty], strict=False)
    assert concept == few_shot.learn(good)
    for examples in ([empty], [good, Example(other, mask=empty.mask, class_name="other")]):
        with pytest.raises(ExampleError):
            few_shot.learn(examples, strict=False)


@pytest.mark.parametrize("model", ["prototypes-lite0", "panet-lite0"])
def test_folded_examples_give_the_same_masks_in_a_smaller_file(model, tmp_path):
    few_shot = FewShot(model, presence=0, quality="fast", edges=False)
    concept = few_shot.learn([Example(*scene(seed=seed, at=(10 * seed, 15 * seed))) for seed in range(6)])
    folded = concept.folded(few_shot.head.fold, most=2)
    assert (len(folded), folded.names[0]) == (3, "4 earlier examples")
    assert str(folded) == str(concept)
    query = scene(seed=9, at=(50, 80))[0]
    whole, smaller = few_shot.segment(query, concept), few_shot.segment(query, folded)
    assert abs(smaller.probability - whole.probability).max() < 0.1  # statistics are kept in half precision
    assert (smaller.mask != whole.mask).mean() < 0.001
    folded.save(tmp_path / "x.concept")
    assert Concept.load(tmp_path / "x.concept") == folded


def test_folding_again_keeps_the_count_and_leaves_negatives_and_few_examples_apart():
    few_shot = FewShot(quality="fast")
    examples = [Example(*scene(seed=seed, at=(10 * seed, 15 * seed))) for seed in range(5)]
    negative = Example(scene(seed=7)[0], absent=True)
    once = few_shot.learn([*examples, negative]).folded(few_shot.head.fold, most=2)
    again = once.merged(few_shot.learn(Example(*scene(seed=8)))).folded(few_shot.head.fold, most=1)
    assert [again.examples_at(position) for position in range(len(again))] == [5, 1, 1]
    assert sum(map(again.is_negative, range(len(again)))) == 1
    assert few_shot.learn(examples[:3]).folded(few_shot.head.fold, most=2) == few_shot.learn(examples[:3])


def test_an_example_given_twice_counts_once(few_shot):
    example = Example(*scene())
    concept = few_shot.learn([example, example])
    assert len(concept) == len(concept.merged(concept)) == 1


@pytest.mark.parametrize("marks", [{}, {"mask": scene()[1]}])
def test_what_is_given_both_as_positive_and_as_negative_is_refused(few_shot, marks):
    image, mask = scene()
    with pytest.raises(ExampleError, match="both"):
        few_shot.learn([Example(image, mask=mask), Example(image.copy(), absent=True, **marks)])
    few_shot.learn([Example(image, mask=mask), Example(image, mask=~mask, absent=True)])


@pytest.mark.parametrize("presence", [True, float("nan"), 2, -0.1])
def test_presence_is_a_probability(presence):
    with pytest.raises(ArgumentError, match=re.escape(repr(presence))):
        FewShot(presence=presence)
