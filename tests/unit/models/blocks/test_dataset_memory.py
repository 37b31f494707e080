"""The data set's memory against the published numbers, against a slow and obvious form, and over processes."""

import copy
import multiprocessing
from pathlib import Path

import pytest
import torch
import torch.distributed
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from likewise.errors import MemoryMismatchError, ModelError, WeightsError
from likewise.io.labels import IGNORE
from likewise.models.blocks.dataset_memory import (
    DatasetMemory,
    check_labels,
    coupled_momentum,
    polynomial_momentum,
)

SEVEN = tuple("abcdefg")


def some_batch(images=2, channels=8, classes=7, plane=(9, 13), size=(65, 97), seed=0):
    """Features without negative values and blocky labels, a few of them 255."""
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(images, channels, *plane, generator=generator).relu()
    blocks = torch.randint(0, classes, (images, 1, 4, 5), generator=generator).float()
    labels = F.interpolate(blocks, size=size, mode="nearest")[:, 0].long()
    labels[:, : size[0] // 5, : size[1] // 5] = IGNORE
    return features, labels


def plainly_updated(memory: DatasetMemory, features, labels, momentum) -> torch.Tensor:
    """The vectors after the update as the paper writes it: features at the size of the labels, class by class."""
    vectors, seen = memory.vectors.double().clone(), memory.seen
    large = F.interpolate(features.double(), size=labels.shape[-2:], mode="bilinear", align_corners=False)
    for index in range(len(vectors)):
        pixels = large.movedim(1, -1)[labels == index]
        if not len(pixels):
            continue
        if not seen[index].all():
            vectors[index, seen[index].int().argmin()] = pixels.mean(dim=0)
            continue
        cosine = F.cosine_similarity(pixels[:, None], vectors[index][None], dim=2)
        slots = cosine.argmax(dim=1)
        for slot in range(vectors.shape[1]):
            own = pixels[slots == slot]
            if len(own):
                weight = 1 - cosine[slots == slot, slot]
                new = own.mean(dim=0)
                if memory.strategy == "cosine_similarity" and weight.mean() > 1e-6:
                    new = (own * weight[:, None]).sum(dim=0) / weight.sum()
                vectors[index, slot] = (1 - momentum) * vectors[index, slot] + momentum * new
            elif memory.published:
                vectors[index, slot] *= 1 - momentum
    return vectors


@pytest.mark.parametrize("case", ["mean", "cosine_similarity", "two_feats_cosine_similarity", "constant_momentum_0.1"])
def test_updates_are_the_published_ones(case, rule, golden):
    meta, arrays = golden("mcibi_memory_update")
    strategy = "mean" if case == "mean" else "cosine_similarity"
    memory = DatasetMemory(SEVEN, 16, slots=2 if "two" in case else 1, strategy=strategy, published=True)
    steps = meta["cases"]["mean"]["steps"]
    for index, (step, inputs) in enumerate(zip(steps, meta["inputs_per_step"], strict=True)):
        features, labels = (
            torch.from_numpy(getattr(rule, name)(*arguments))
            for name, *arguments in (inputs["features"], inputs["labels"])
        )
        momentum = coupled_momentum(step["learning_rate"], meta["poly"]["base_lr"])
        assert momentum == pytest.approx(step["momentum"])
        memory.update(features, labels, meta["cases"][case].get("momentum", momentum))
        expected = arrays.get(f"{case}_memory_after_update_{index}")
        if expected is not None:
            torch.testing.assert_close(memory.vectors, torch.from_numpy(expected), rtol=0, atol=1e-5)
            if "two" not in case:
                assert (~memory.seen).any(dim=1).nonzero()[:, 0].tolist() == step["rows_still_zero"]


def test_the_momentum_of_the_paper_is_a_polynomial(golden):
    meta, _ = golden("mcibi_memory_update")
    for step in meta["cases"]["mean"]["steps"]:
        progress = step["iteration"] / meta["poly"]["iterations"]
        assert polynomial_momentum(progress) == pytest.approx(step["momentum"])
    assert polynomial_momentum(0) == pytest.approx(0.9)
    assert polynomial_momentum(1) == pytest.approx(0.009)


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(
    plane=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    size=st.tuples(st.integers(1, 23), st.integers(1, 23)),
    slots=st.integers(1, 3),
    strategy=st.sampled_from(["mean", "cosine_similarity"]),
    published=st.booleans(),
    seed=st.integers(0, 5),
)
def test_an_update_equals_resizing_the_features_and_looping_over_classes(plane, size, slots, strategy, published, seed):
    memory = DatasetMemory(SEVEN, 5, slots=slots, strategy=strategy, published=published).double()
    for step in range(4):
        features, labels = some_batch(channels=5, plane=plane, size=size, seed=10 * seed + step)
        features = features.double() + 0.1 * torch.rand(features.shape, generator=torch.Generator().manual_seed(step))
        expected = plainly_updated(memory, features, labels, 0.3)
        memory.update(features, labels, 0.3)
        torch.testing.assert_close(memory.vectors, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("slots", [1, 2])
def test_an_update_in_single_precision_is_exact_to_five_digits(slots):
    memory = DatasetMemory(tuple(map(str, range(20))), 64, slots=slots)
    for step in range(4):
        features, labels = some_batch(channels=64, classes=20, plane=(32, 24), size=(256, 192), seed=step)
        expected = plainly_updated(memory, features, labels, 0.5).float()
        memory.update(features, labels, 0.5)
        torch.testing.assert_close(memory.vectors, expected, rtol=0, atol=1e-5)


def test_labels_of_eight_bits_and_features_of_half_precision_work():
    memory, other = DatasetMemory(SEVEN, 8), DatasetMemory(SEVEN, 8)
    features, labels = some_batch()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        memory.update(features.bfloat16(), labels.to(torch.uint8), 0.5)
    other.update(features.bfloat16().float(), labels, 0.5)
    assert memory.vectors.dtype == torch.float32
    torch.testing.assert_close(memory.vectors, other.vectors)


def test_pixels_that_coincide_with_the_memory_do_not_change_it():
    memory = DatasetMemory(("one",), 3)
    features = torch.tensor([1.0, 2.0, 3.0])[None, :, None, None].expand(1, 3, 4, 4)
    labels = torch.zeros(1, 16, 16, dtype=torch.long)
    for _ in range(3):
        memory.update(features, labels, 0.9)
        torch.testing.assert_close(memory.vectors[0, 0], torch.tensor([1.0, 2.0, 3.0]))


def test_pixels_in_the_direction_of_the_memory_have_equal_weights():
    memory = DatasetMemory(("one",), 3)
    memory.fill(torch.tensor([[[1.0, 2.0, 3.0]]]))
    features = torch.tensor([[1.0, 2.0, 3.0], [3.0, 6.0, 9.0]]).T[None, :, None, :]
    memory.update(features, torch.zeros(1, 1, 2, dtype=torch.long), 0.5)
    torch.testing.assert_close(memory.vectors[0, 0], 1.5 * torch.tensor([1.0, 2.0, 3.0]))


def test_a_zero_feature_has_the_weight_of_an_orthogonal_one():
    memory = DatasetMemory(("one",), 2)
    memory.fill(torch.tensor([[[1.0, 0.0]]]))
    features = torch.tensor([[0.0, 0.0], [0.0, 4.0]]).T[None, :, None, :]
    memory.update(features, torch.zeros(1, 1, 2, dtype=torch.long), 1.0)
    torch.testing.assert_close(memory.vectors[0, 0], torch.tensor([0.0, 2.0]))


@pytest.mark.parametrize(("published", "expected"), [(False, 1.0), (True, 0.75)])
def test_a_slot_without_pixels_stays_or_shrinks_as_published(published, expected):
    memory = DatasetMemory(("one", "two"), 2, slots=2, published=published)
    memory.fill(torch.tensor([[[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [0.0, 1.0]]]))
    features = torch.tensor([2.0, 0.1])[None, :, None, None]
    memory.update(features, torch.zeros(1, 1, 1, dtype=torch.long), 0.25)
    assert memory.vectors[0, 1].tolist() == [0.0, expected]
    assert memory.vectors[1].tolist() == [[1.0, 0.0], [0.0, 1.0]]


def test_only_labelled_pixels_change_the_memory():
    memory = DatasetMemory(SEVEN, 8)
    features, labels = some_batch()
    memory.update(features, labels, 0.5)
    before = memory.vectors.clone()
    memory.update(features + 1, torch.full_like(labels, IGNORE), 0.5)
    assert torch.equal(memory.vectors, before)


@pytest.mark.parametrize("value", [torch.inf, torch.nan])
@pytest.mark.parametrize("seen", [True, False])
def test_features_that_are_not_finite_do_not_change_the_memory(value, seen):
    memory = filled() if seen else DatasetMemory(SEVEN, 8)
    before = copy.deepcopy(memory)
    features, labels = some_batch()
    features[1, 3, 4, 5] = value
    memory.update(features, labels, 0.5)
    assert torch.equal(memory.vectors, before.vectors)
    assert torch.equal(memory.seen, before.seen)


@pytest.mark.parametrize("momentum", [-0.1, 1.5, float("nan")])
def test_a_momentum_outside_0_to_1_raises(momentum):
    with pytest.raises(ValueError, match=str(momentum)):
        DatasetMemory(SEVEN, 8).update(*some_batch(), momentum)


def test_labels_beyond_the_classes_raise_with_value_and_count():
    labels = torch.zeros(1, 4, 4, dtype=torch.long)
    labels[0, 0] = 7
    labels[0, 1, 0] = -1
    with pytest.raises(
        match=r"-1 \(1 pixels\), 7 \(4 pixels\), but there are 7 classes",
    ):
        check_labels(labels, 7)
    memory = DatasetMemory(SEVEN, 8)
    with pytest.raises(MemoryMismatchError, match="7"):
        memory.update(torch.ones(1, 8, 2, 2), labels, 0.5)
    assert not memory.seen.any()


def _step(memory: DatasetMemory, part: slice) -> None:
    for step in range(3):
        features, labels = some_batch(images=4, seed=step)
        labels[2:][labels[2:] == 3] = 4  # class 3 is in the first half of the batch only, class 6 in the second
        labels[:2][labels[:2] == 6] = 5
        memory.update(features[part], labels[part], 0.5)
    coinciding = torch.ones(4, 8, 2, 2)
    for _ in range(2):
        memory.update(coinciding[part], torch.zeros(4, 8, 8, dtype=torch.long)[part], 1.0)


def _one_of_two(rank: int, folder: str) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    try:
        for slots in (1, 2):
            memory = DatasetMemory(SEVEN, 8, slots=slots)
            _step(memory, slice(2 * rank, 2 * rank + 2))
            memory.save(Path(folder) / f"{rank}-{slots}.safetensors")
    finally:
        torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_processes_equal_one_with_the_whole_batch(tmp_path):
    # the server imports torch once, and both processes fork from it
    multiprocessing.get_context("forkserver").set_forkserver_preload(["likewise.models.blocks.dataset_memory"])
    torch.multiprocessing.start_processes(_one_of_two, (str(tmp_path),), nprocs=2, start_method="forkserver")
    for slots in (1, 2):
        alone = DatasetMemory(SEVEN, 8, slots=slots)
        _step(alone, slice(None))
        first, second = (DatasetMemory.load(tmp_path / f"{rank}-{slots}.safetensors") for rank in range(2))
        assert torch.equal(first.vectors, second.vectors)
        assert torch.equal(first.seen, alone.seen)
        assert torch.equal(second.seen, alone.seen)
        torch.testing.assert_close(first.vectors, alone.vectors, rtol=0, atol=1e-6)


def filled(slots: int = 1, published: bool = False) -> DatasetMemory:
    memory = DatasetMemory(SEVEN, 8, slots=slots, published=published)
    memory.fill(torch.randn(7, slots, 8, generator=torch.Generator().manual_seed(1)))
    return memory


def probabilities() -> torch.Tensor:
    return torch.randn(2, 7, 3, 4, generator=torch.Generator().manual_seed(2)).softmax(dim=1)


@pytest.mark.parametrize("published", [False, True])
def test_reading_mixes_the_vectors_by_the_probabilities(published):
    memory = filled(slots=2, published=published)
    context = memory.read(probabilities())
    for slot in range(2):
        expected = sum(
            probabilities()[:, k, None] * memory.vectors[k, slot][None, :, None, None] for k in range(len(SEVEN))
        )
        torch.testing.assert_close(context[:, slot], expected)


def test_an_unseen_class_is_left_out_of_read():
    memory = filled()
    memory.seen[3] = False
    memory.vectors[3] = 0
    certain = probabilities()
    certain[:, 3] = 0
    certain /= certain.sum(dim=1, keepdim=True)
    torch.testing.assert_close(memory.read(probabilities()), memory.read(certain))


def test_as_published_an_unseen_class_is_read_as_zeros_with_its_probability():
    memory = filled(published=True)
    memory.vectors[3] = 0
    memory.seen[3] = False
    certain = probabilities()
    certain[:, 3] = 0
    torch.testing.assert_close(memory.read(probabilities()), memory.read(certain))


def test_an_empty_memory_reads_as_zero_with_finite_gradients():
    logits = torch.randn(1, 7, 2, 2, requires_grad=True)
    context = DatasetMemory(SEVEN, 8).read(logits.softmax(dim=1))
    assert torch.equal(context, torch.zeros(1, 1, 8, 2, 2))
    context.sum().backward()
    assert logits.grad.isfinite().all()


def test_a_pixel_of_a_confident_unseen_class_gets_a_smaller_context():
    memory = filled()
    memory.seen[3] = False
    sure = torch.full((1, 7, 1, 1), 1e-9)
    sure[0, 3] = 1
    assert memory.read(sure).norm() < 0.1 * memory.vectors.norm(dim=2).min()


def test_gradients_are_those_of_the_memory_that_was_read_even_after_an_update():
    def gradient(update: bool) -> torch.Tensor:
        memory = filled()
        given = probabilities().requires_grad_()
        loss = memory.read(given).square().sum()
        if update:
            memory.update(*some_batch(), 0.9)
        loss.backward()
        return given.grad

    assert torch.equal(gradient(update=True), gradient(update=False))


@pytest.mark.parametrize(("published", "count"), [(False, 12), (True, 14)])
def test_rows_are_a_copy_of_the_seen_vectors_with_their_classes(published, count):
    memory = filled(slots=2, published=published)
    memory.seen[3] = False
    vectors, classes = memory.rows()
    assert len(vectors) == len(classes) == count
    assert classes.tolist() == [k for k in range(7) for _ in range(2) if published or k != 3]
    vectors.zero_()
    assert memory.vectors.any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"classes": ()}, "not 0"),
        ({"classes": tuple(map(str, range(256)))}, "not 256"),
        ({"slots": 0}, "slot"),
        ({"strategy": "median"}, "'median'"),
    ],
)
def test_impossible_arguments_raise(arguments, message):
    with pytest.raises(ModelError, match=message):
        DatasetMemory(**{"classes": SEVEN, "channels": 8, **arguments})


def test_filling_with_vectors_of_another_shape_raises():
    with pytest.raises(MemoryMismatchError, match=r"\(7, 2, 8\), not \(7, 1, 8\)"):
        DatasetMemory(SEVEN, 8).fill(torch.zeros(7, 2, 8))


def test_a_saved_and_loaded_memory_is_equal(tmp_path):
    memory = DatasetMemory(SEVEN, 8, slots=2, strategy="mean", published=True)
    memory.update(*some_batch(classes=5), 0.5)
    memory.save(tmp_path / "memory.safetensors")
    loaded = DatasetMemory.load(tmp_path / "memory.safetensors", classes=SEVEN)
    assert (loaded.classes, loaded.strategy, loaded.published) == (SEVEN, "mean", True)
    assert torch.equal(loaded.vectors, memory.vectors)
    assert torch.equal(loaded.seen, memory.seen)


def test_a_memory_of_another_class_list_raises_with_both_lists(tmp_path):
    DatasetMemory(("road", "sky"), 8).save(tmp_path / "memory.safetensors")
    with pytest.raises(
        match=r"memory\.safetensors: .* 2 classes \(road, sky\), .* 3 classes \(road, car, sky\); .* label 1 ",
    ):
        DatasetMemory.load(tmp_path / "memory.safetensors", classes=("road", "car", "sky"))
    with pytest.raises(MemoryMismatchError, match="label 2 "):
        DatasetMemory.load(tmp_path / "memory.safetensors", classes=("road", "sky", "car"))


@pytest.mark.parametrize("content", [b"no tensors", None])
def test_a_file_that_is_not_a_memory_raises(tmp_path, content):
    path = tmp_path / "memory.safetensors"
    if content is None:
        from safetensors.torch import save_file

        save_file({"vectors": torch.zeros(1)}, path)
    else:
        path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"memory\.safetensors"):
        DatasetMemory.load(path)


def test_similarity_measures_the_nearest_class_and_the_drift():
    memory = DatasetMemory(("one", "two", "never"), 2, slots=2)
    memory.vectors[0] = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    memory.vectors[1, 0] = torch.tensor([0.0, 3.0])
    memory.seen[0] = True
    memory.seen[1, 0] = True
    found = memory.similarity()
    torch.testing.assert_close(found[:2, :2], torch.ones(2, 2))
    assert found[2].isnan().all()
    assert found[:, 2].isnan().all()
    earlier = copy.deepcopy(memory)
    memory.vectors[1, 0] = torch.tensor([3.0, 3.0])
    torch.testing.assert_close(memory.similarity(earlier).diagonal()[:2], torch.tensor([1.0, 0.5**0.5]))
