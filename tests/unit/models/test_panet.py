"""PANet against the published programs' numbers, and the suite of all models.

Training steps are compared in double precision. A gradient jumps where an input of a ReLU changes its sign, and some
inputs lie within rounding of zero: in single precision, sums over a gradient differ between processors by more than the
published sums differ from double precision (`gradient_noise`, which sets the tolerances).
"""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from likewise.backbones.specs import backbone_spec
from likewise.backbones.taps import Backbone
from likewise.errors import WeightsError
from likewise.models import panet
from likewise.models.panet import from_resnet_checkpoint, from_vgg16_checkpoint
from support.model_suite import ModelSuite

VGG_CASES = (
    "1way_1shot",
    "1way_1shot_train_batch2",
    "2way_5shot",
    "2way_5shot_train",
    "2way_1shot_2queries_batch2_train",
    "skip_way_train",
    "way_wins_only_at_low_resolution_train",
    "skip_way_empty_mask_train",
    "skip_all_train",
)


def state_of(rule, meta) -> dict[str, torch.Tensor]:
    state = rule.make_state(meta["entries"], meta["gain"])
    return {name: torch.from_numpy(value) for name, value in state.items()}


def in_double_precision(episode: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: part.double() if part.is_floating_point() else part for name, part in episode.items()}


@pytest.fixture(scope="module")
def vgg16(rule, golden):
    model = panet.vgg16()
    model.load_state_dict(from_vgg16_checkpoint(state_of(rule, golden("panet_vgg16")[0])), strict=True)
    return model


def episode_of(rule, case) -> dict[str, torch.Tensor]:
    """The inputs of a VGG-16 golden as `PANet.loss` takes them."""
    inputs = case["inputs"]

    def stacked(make, entry, *more):
        return np.stack(
            [[make(seed, tuple(entry["shape"]), *more) for seed in way] for way in entry["seeds[way][shot]"]]
        )

    images = torch.from_numpy(stacked(rule.make_image, inputs["support_image"]))
    entry = inputs["support_label"]
    labels = torch.from_numpy(stacked(rule.make_labels, entry, entry["classes"], entry["ignore_index"]))
    ways = inputs["ways"]
    foreground = torch.stack([labels[way] == way + 1 for way in range(ways)]).float()
    background = torch.stack([~torch.isin(labels[way], torch.arange(1, ways + 1)) for way in range(ways)]).float()
    if "changed" in inputs:
        changed = inputs["changed"]
        way = changed["way (0-based)"]
        foreground[way] = 0
        if "rows" in changed:
            (top, bottom), (left, right) = changed["rows"], changed["columns"]
            block = np.s_[way, :, :, top : bottom + 1, left : right + 1]
            foreground[block] = 1
            background[block] = 0
    entry = inputs["query_image"]
    queries = np.stack([rule.make_image(seed, tuple(entry["shape"])) for seed in entry["seeds[query]"]])
    entry = inputs["query_label"]
    truths = [
        rule.make_labels(seed, tuple(entry["shape"]), entry["classes"], entry["ignore_index"])
        for seed in entry["seeds[query]"]
    ]
    return {
        "support_images": images.permute(2, 0, 1, 3, 4, 5),
        "foreground": foreground.permute(2, 0, 1, 3, 4),
        "background": background.permute(2, 0, 1, 3, 4),
        "query_images": torch.from_numpy(queries).transpose(0, 1),
        "query_labels": torch.from_numpy(np.stack(truths)).transpose(0, 1),
    }


def close(ours, theirs, relative=1e-5) -> None:
    """Within `relative` of the largest golden value."""
    ours = torch.as_tensor(ours).detach()
    theirs = torch.as_tensor(theirs)
    atol = relative * max(theirs.abs().max().item(), 1e-2)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=atol, check_dtype=False)


@pytest.mark.slow
@pytest.mark.parametrize("name", VGG_CASES)
def test_vgg16_reproduces_the_published_program(name, rule, golden, vgg16):
    meta, arrays = golden("panet_vgg16")
    case = meta["cases"][name]
    episode = episode_of(rule, case)
    labels = episode.pop("query_labels")
    vgg16.train(case["mode"] == "train")
    logits = vgg16(**episode)
    close(logits.transpose(0, 1).flatten(0, 1), arrays[f"{name}_logits"])
    support = vgg16.features(episode["support_images"].flatten(0, 2))
    prototypes = vgg16.prototypes(support, episode["foreground"], episode["background"])
    close(prototypes, arrays[f"{name}_prototypes"])
    if case["mode"] == "train":
        losses = vgg16.loss(**episode, query_labels=labels)
        close(losses.query, arrays[f"{name}_query_loss"])
        close(losses.align, arrays[f"{name}_align_loss"])


def test_vgg16_features_are_the_published_ones(rule, golden, vgg16):
    meta, arrays = golden("panet_vgg16")
    episode = episode_of(rule, meta["cases"]["1way_1shot"])
    images = torch.cat([episode["support_images"].flatten(0, 2), episode["query_images"].flatten(0, 1)])
    with torch.no_grad():
        features = vgg16.features(images)
    assert list(features.shape) == meta["cases"]["1way_1shot"]["feature_shape"]
    close(rule.subsample(features.numpy(), 8000), arrays["1way_1shot_features_subsample"])


@pytest.mark.slow
@pytest.mark.double_precision
@pytest.mark.parametrize("name", ["1way_1shot_train_batch2", "skip_way_train"])
def test_vgg16_gradients_are_the_published_ones(name, rule, golden, vgg16):
    meta, arrays = golden("panet_vgg16")
    case = meta["cases"][name]
    vgg16 = copy.deepcopy(vgg16).double().train()
    sum(vgg16.loss(**in_double_precision(episode_of(rule, case)))).backward()
    ours = from_vgg16_checkpoint({entry: torch.tensor(0) for entry in meta["entries"]})
    renamed = dict(zip(meta["entries"], ours, strict=True))
    # The published gradients are in single precision: they differ from double precision by this noise.
    noise = case["gradient_noise"]
    sum_tolerance = 1e-5 + 2 * noise["largest_relative_difference_of_abs_sum_float32_vs_float64"]
    entry_tolerance = 1e-5 + 2 * noise["largest_elementwise_difference_relative_to_the_largest_entry"]
    for entry, expected in case["gradients_of_query_loss_plus_align_loss"].items():
        gradient = vgg16.get_parameter(renamed[entry]).grad
        assert gradient.abs().sum().item() == pytest.approx(expected["abs_sum"], rel=sum_tolerance)
    for entry in ("encoder.backbone.features.0.0.weight", "encoder.backbone.features.8.4.weight"):
        gradient = vgg16.get_parameter(renamed[entry]).grad.numpy()
        expected = arrays[f"{name}_grad:{entry}"]
        close(rule.subsample(gradient, expected.size).reshape(expected.shape), expected, relative=entry_tolerance)


def test_vgg16_has_the_published_number_of_parameters(golden):
    assert sum(p.numel() for p in panet.vgg16().parameters()) == golden("panet_vgg16")[0]["parameters"]


def resnet_episode(rule, inputs) -> dict[str, torch.Tensor]:
    def made(spec):
        function, *arguments = spec
        return torch.from_numpy(getattr(rule, function)(*arguments))

    masks = torch.stack([made(spec) for spec in inputs["support_mask"]], dim=1)[:, None]
    return {
        "support_images": torch.stack([made(spec) for spec in inputs["support_image"]], dim=1)[:, None],
        "foreground": (masks == 1).float(),
        "background": (masks == 0).float(),
        "query_images": made(inputs["query_image"])[:, None],
        "query_labels": made(inputs["query_mask"])[:, None],
    }


@pytest.mark.parametrize("name", ["1shot_eval", "3shot_eval", "resnet101_1shot_eval", "1shot_train", "2shot_train"])
def test_resnet_reproduces_the_published_variant(name, rule, golden):
    meta, arrays = golden("panet_resnet50")
    case = meta["cases"][name]
    depth = 101 if "101" in name else 50
    model = panet.resnet(depth)
    entries = meta["entries_resnet101"] if depth == 101 else meta["entries"]
    state = state_of(rule, {"entries": entries, "gain": meta["gain"]})
    model.load_state_dict(from_resnet_checkpoint(state), strict=True)
    episode = resnet_episode(rule, case["inputs"])
    if case["mode"] == "eval":
        episode.pop("query_labels")
        close(model.eval()(**episode)[:, 0], arrays[f"{name}_query_logits"])
        return
    losses = model.double().train().loss(**in_double_precision(episode))
    assert losses.query.item() == pytest.approx(case["query_cross_entropy_ignore_255"], rel=3e-5)
    # The golden averages over the pixels of the whole batch, we over each support first.
    assert losses.align.item() == pytest.approx(case["mean_support_cross_entropy_ignore_255"], rel=5e-4)
    for entry, expected in case["running_statistics_after_one_forward"].items():
        (ours,) = from_resnet_checkpoint({entry: torch.tensor(0)})
        assert model.get_buffer(ours).double().sum().item() == pytest.approx(expected["sum"], rel=1e-4)


@pytest.mark.slow
@pytest.mark.double_precision
@pytest.mark.parametrize("name", ["1shot_train", "2shot_train"])
def test_resnet_trains_as_the_published_variant(name, rule, golden):
    meta, arrays = golden("panet_resnet50")
    case = meta["cases"][name]
    model = panet.resnet(50).train()
    model.load_state_dict(from_resnet_checkpoint(state_of(rule, meta)), strict=True)
    model = model.double()
    episode = in_double_precision(resnet_episode(rule, case["inputs"]))
    foreground, background = episode["foreground"], episode["background"]
    shots = [model.features(shot[:, 0]) for shot in episode["support_images"].unbind(dim=2)]
    query = model.features(episode["query_images"][:, 0])
    support = torch.stack(shots, dim=1).flatten(0, 1)
    coarse = model.relate(query, model.prototypes(support, foreground, background))
    logits = model.decode(coarse, (97, 97))
    close(logits, arrays[f"{name}_query_logits"], relative=5e-5)
    labels = episode["query_labels"][:, 0]
    prototypes, _ = model.query_prototypes(query, coarse, labels, episodes=len(query))
    back = model.decode(model.relate_back(support, prototypes), (97, 97)).unflatten(0, (len(query), -1))
    loss = F.cross_entropy(logits, labels, ignore_index=255)
    for shot in range(len(shots)):
        close(back[:, shot], arrays[f"{name}_support{shot}_logits"], relative=5e-5)
        target = torch.where(foreground[:, 0, shot] == 1, 1, torch.where(background[:, 0, shot] == 1, 0, 255))
        loss = loss + F.cross_entropy(back[:, shot], target, ignore_index=255) / len(shots)
    loss.backward()
    for entry, expected in case["gradients_of_the_sum_of_both"].items():
        (ours,) = from_resnet_checkpoint({entry: torch.tensor(0)})
        gradient = model.get_parameter(ours).grad
        assert gradient.double().abs().sum().item() == pytest.approx(expected["abs_sum"], rel=2e-2)
    untrained = {entry.split(".")[2] for entry, value in model.named_parameters() if value.grad is None}
    assert untrained == {"conv1", "bn1", "layer1"}


def some_episode(size: tuple[int, int], ways: int = 2, shots: int = 2) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    masks = torch.zeros(1, ways, shots, *size)
    masks[..., : size[0] // 2, : size[1] // 2] = 1
    labels = torch.randint(0, ways + 1, (1, 1, *size), generator=generator)
    return {
        "support_images": torch.randn(1, ways, shots, 3, *size, generator=generator),
        "foreground": masks,
        "background": 1 - masks,
        "query_images": torch.randn(1, 1, 3, *size, generator=generator),
        "query_labels": labels,
    }


class TestPANetOnAnyBackbone(ModelSuite):
    def build(self):
        spec = backbone_spec("lite0", taps=("blocks.4.2", "blocks.5.3"))
        return panet.PANet(Backbone(spec, frozen=False))

    def run(self, model, size):
        episode = some_episode(size)
        del episode["query_labels"]
        return model(**episode)

    def loss(self, model, size):
        return sum(model.loss(**some_episode(size)))


class TestPANetOnResNet(TestPANetOnAnyBackbone):
    def build(self):
        model = panet.resnet(50)
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                torch.nn.init.ones_(module.weight)  # timm starts residual branches at zero, which stops gradients
        return model

    def run(self, model, size):
        episode = some_episode(size, ways=1)
        del episode["query_labels"]
        return model(**episode)

    def loss(self, model, size):
        return sum(model.loss(**some_episode(size, ways=1)))


def test_the_order_of_shots_does_not_matter_and_of_ways_only_permutes_the_logits():
    model = TestPANetOnAnyBackbone().build().eval()
    episode = some_episode((64, 64), ways=3)
    episode.pop("query_labels")
    episode["foreground"][0, 1] = episode["foreground"][0, 1].flip(-1)
    with torch.no_grad():
        logits = model(**episode)
        turned = {key: value.flip(2) if key != "query_images" else value for key, value in episode.items()}
        torch.testing.assert_close(model(**turned), logits)
        order = [2, 0, 1]
        turned = {key: value[:, order] if key != "query_images" else value for key, value in episode.items()}
        expected = logits[:, :, [0, *(way + 1 for way in order)]]
        torch.testing.assert_close(model(**turned), expected, rtol=1e-4, atol=1e-4)


def test_a_batch_of_episodes_equals_the_episodes_one_by_one():
    model = TestPANetOnAnyBackbone().build().eval()
    first, second = some_episode((64, 96)), some_episode((64, 96))
    second["query_images"] = second["query_images"].flip(-1)
    batch = {key: torch.cat([first[key], second[key]]) for key in first if key != "query_labels"}
    with torch.no_grad():
        alone = [model(**{k: v for k, v in one.items() if k != "query_labels"}) for one in (first, second)]
        torch.testing.assert_close(model(**batch), torch.cat(alone), rtol=1e-4, atol=1e-4)


def test_an_unknown_entry_of_a_checkpoint_raises():
    with pytest.raises(WeightsError, match=r"fc\.weight"):
        from_vgg16_checkpoint({"fc.weight": torch.zeros(1)})
    with pytest.raises(WeightsError, match=r"fc\.weight"):
        from_resnet_checkpoint({"fc.weight": torch.zeros(1)})
