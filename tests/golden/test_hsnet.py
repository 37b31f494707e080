"""HSNet against the published program's numbers."""

import copy

import pytest
import torch
import torch.nn.functional as F

from likewise.errors import WeightsError
from likewise.models import hsnet
from likewise.models.hsnet import HSNet, HSNetConfig, from_checkpoint
from likewise.models.hsnet_inference import encode_support, segment
from likewise.ops.hypercorrelation.correlation import unit
from likewise.ops.shots import foreground_wins, vote

AS_PUBLISHED = HSNetConfig(rescue=False)
VARIANTS = {
    "vgg16": hsnet.vgg16,
    "resnet50": lambda config=None: hsnet.resnet(50, config),
    "resnet101": lambda config=None: hsnet.resnet(101, config),
}


def close(ours, theirs, relative=1e-5) -> None:
    """Within `relative` of the largest golden value."""
    ours, theirs = torch.as_tensor(ours).detach(), torch.as_tensor(theirs)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=relative * theirs.abs().max().item())


def made(rule, spec) -> torch.Tensor:
    function, *arguments = spec
    return torch.from_numpy(getattr(rule, function)(*arguments))


@pytest.fixture(scope="module")
def published(rule, golden):
    """`published(name)`: a variant with the golden weights, made once."""
    states: dict[str, dict[str, torch.Tensor]] = {}

    @torch.inference_mode(False)
    def build(name: str, config: HSNetConfig = AS_PUBLISHED, **overrides: list[float]) -> HSNet:
        if name not in states:
            meta, _ = golden(f"hsnet_{name}")
            made_ = rule.make_state(meta["entries"], meta["gain"])
            states[name] = {entry: torch.from_numpy(value) for entry, value in made_.items()}
        changed = {entry: torch.tensor(value) for entry, value in overrides.items()}
        with torch.device("meta"):  # random weights would take longer than the tests
            model = VARIANTS[name](config)
        model.load_state_dict(from_checkpoint(states[name] | changed), strict=True, assign=True)
        return model.eval()

    return build


def episode_of(rule, meta) -> dict[str, torch.Tensor]:
    inputs = meta["inputs"]
    return {
        "support_images": made(rule, inputs["support_img"])[:, None],
        "foreground": made(rule, inputs["support_mask"])[:, None],
        "query_images": made(rule, inputs["query_img"]),
    }


@pytest.mark.parametrize("name", ["vgg16", "resnet50", "resnet101", "vgg16_400", "resnet50_400"])
def test_its_logits_are_the_published_ones(name, rule, golden, published):
    meta, arrays = golden(f"hsnet_{name}")
    with torch.inference_mode():
        close(published(name.removesuffix("_400"))(**episode_of(rule, meta))[:, 0], arrays["logits"])


@pytest.mark.parametrize("name", ["vgg16", "resnet50", "resnet101"])
def test_its_intermediate_tensors_are_the_published_ones(name, rule, golden, published):
    meta, arrays = golden(f"hsnet_{name}")
    model = published(name)
    episode = episode_of(rule, meta)
    with torch.inference_mode():
        query = [unit(tap) for tap in model.taps(episode["query_images"])]
        support = model.support_features(model.taps(episode["support_images"][:, 0]), episode["foreground"][:, 0])
        levels = {stride: model.level(query, support, stride) for stride in hsnet.STRIDES}
        for stride, theirs in ((8, "l2"), (16, "l3"), (32, "l4")):
            expected = arrays[f"hypercorr_{theirs}_subsample"]
            close(rule.subsample(levels[stride].numpy(), expected.size), expected)
            sums = levels[stride].double().sum(dim=(2, 3, 4, 5))
            torch.testing.assert_close(
                sums, torch.from_numpy(arrays[f"hypercorr_{theirs}_sum_per_layer_f64"]), rtol=1e-5, atol=0
            )
            squeezed = getattr(model, f"squeeze{stride}")(levels[stride])
            expected = arrays[f"squeezed_{theirs}_subsample"]
            close(rule.subsample(squeezed.numpy(), expected.size), expected)
        encoded = model.squeeze_and_mix(*levels.values())
        close(encoded, arrays["encoded"])
        close(model.decode(encoded, (32, 32)), arrays["logits_before_final_resize"])


@pytest.mark.parametrize("name", ["vgg16", "resnet50", "resnet101"])
def test_without_support_masking_it_is_the_papers_dagger_variant(name, rule, golden, published):
    meta, arrays = golden(f"hsnet_{name}")
    model = published(name, HSNetConfig(mask_support=False))
    with torch.inference_mode():
        close(model(**episode_of(rule, meta))[:, 0], arrays["logits_without_support_masking"])


@pytest.mark.parametrize(("name", "count"), [("vgg16", 2_570_018), ("resnet50", 2_573_794), ("resnet101", 2_587_394)])
def test_the_number_of_learnable_parameters_is_the_papers(name, count):
    with torch.device("meta"):
        model = VARIANTS[name]()
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == count


@pytest.mark.parametrize("case", ["net_balanced", "net_few", "net_no_foreground", "net_all_foreground"])
def test_five_shots_vote_as_published(case, rule, golden, published):
    meta, arrays = golden("hsnet_resnet50_vote")
    model = published("resnet50", **meta["cases"][case]["overrides"])
    inputs = {key: made(rule, spec) for key, spec in meta["inputs"].items()}
    with torch.inference_mode():
        logits = model(inputs["support_imgs"], inputs["support_masks"], inputs["query_img"])
    if case == "net_balanced":
        close(logits[0], arrays["net_balanced_logits_per_shot"])
    masks = foreground_wins(logits.numpy())
    # Two logits may agree to the last bit but one.
    assert (masks[0] != arrays[f"{case}_masks_per_shot"]).sum() <= 2
    for shots in (5, 2):
        final = vote(masks[:, :shots])
        assert (final != arrays[f"{case}_final_{shots}shot"]).sum() <= 2


def test_logits_can_go_straight_to_the_querys_original_size(rule, golden, published):
    meta, arrays = golden("hsnet_resnet50_vote")
    case = meta["cases"]["orig_size"]
    model = published("resnet50", **case["overrides"])
    inputs = {key: made(rule, spec) for key, spec in meta["inputs"].items()}
    with torch.inference_mode():
        query = [unit(tap).expand(5, -1, -1, -1) for tap in model.taps(inputs["query_img"])]
        support = model.support_features(model.taps(inputs["support_imgs"][0]), inputs["support_masks"][0])
        encoded = model.relate(query, support)
        close(model.decode(encoded[:1], (32, 32)), arrays["orig_size_raw_logits_shot0"])
        width, height = case["original_query_size_width_height"]
        masks = foreground_wins(model.decode(encoded, (height, width)).numpy())
    assert (masks[0] != arrays["orig_size_mask_1shot"][0]).sum() <= 2
    assert (vote(masks[None]) != arrays["orig_size_final_5shot"]).sum() <= 2


def test_the_learner_alone_reproduces_its_golden(rule, golden):
    meta, arrays = golden("hsnet_resnet50_train")
    model = hsnet.resnet(50)
    load_learner(model, rule, meta)
    level32, level16, level8 = (made(rule, spec) for spec in meta["inputs"]["learner_only_pyramid_l4_l3_l2"])
    with torch.inference_mode():
        encoded = model.squeeze_and_mix(level8, level16, level32)
        close(encoded, arrays["learner_only_encoded"])
        close(model.decode(encoded, (32, 32)), arrays["learner_only_logits"])


def load_learner(model, rule, meta) -> dict[str, str]:
    """Load golden weights that were made from names without prefix; gives our name of each."""
    state = rule.make_state(meta["learner_entries"], meta["gain"]["learner alone"])
    renamed = [next(iter(from_checkpoint({f"hpn_learner.{name}": torch.tensor(0)}))) for name in state]
    values = (torch.from_numpy(value) for value in state.values())
    keys = model.load_state_dict(dict(zip(renamed, values, strict=True)), strict=False)
    assert not keys.unexpected_keys
    assert all(key.startswith("backbone.") for key in keys.missing_keys)
    return dict(zip(state, renamed, strict=True))


def test_a_training_step_of_the_learner_is_the_published_one(rule, golden):
    meta, arrays = golden("hsnet_resnet50_train")
    case = meta["learner_64"]
    model = hsnet.resnet(50).train()
    names = load_learner(model, rule, meta)
    level32, level16, level8 = (made(rule, spec) for spec in meta["inputs"]["learner_64_pyramid_l4_l3_l2"])
    target = made(rule, meta["inputs"]["learner_64_target"]).long()

    def logits():
        return model.decode(model.squeeze_and_mix(level8, level16, level32), (64, 64))

    half = model.decode(model.squeeze_and_mix(level8, level16, level32), (16, 16))
    close(half, arrays["learner_64_logits"])
    loss = F.cross_entropy(logits(), target)
    assert loss.item() == pytest.approx(case["loss"], rel=1e-5)
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    loss.backward()
    for name, expected in case["gradients"].items():
        gradient = model.get_parameter(names[name]).grad
        assert gradient.double().abs().sum().item() == pytest.approx(expected["abs_sum"], rel=1e-4)
        if f"learner_64_grad:{name}" in arrays:
            close(gradient, arrays[f"learner_64_grad:{name}"], relative=1e-4)
    optimizer.step()
    for name, expected in case["weights_after_adam"].items():
        assert model.get_parameter(names[name]).double().sum().item() == pytest.approx(expected["sum"], abs=5e-3)
    with torch.no_grad():
        after = model.decode(model.squeeze_and_mix(level8, level16, level32), (16, 16))
    close(after, arrays["learner_64_logits_after_adam"], relative=1e-3)


@pytest.mark.filterwarnings("ignore:a support mask is too small")
def test_a_training_step_of_the_network_is_the_published_one(rule, golden, published):
    meta, arrays = golden("hsnet_resnet50_train")
    case = meta["network_64"]
    inputs = {key: made(rule, spec) for key, spec in meta["inputs"].items() if key.startswith("network")}
    model = copy.deepcopy(published("resnet50")).train()
    episode = {
        "support_images": inputs["network_64_support_img"][:, None],
        "foreground": inputs["network_64_support_mask"][:, None],
        "query_images": inputs["network_64_query_img"],
    }
    labels = inputs["network_64_target"].long()
    before = {name: value.clone() for name, value in model.backbone.state_dict().items()}
    close(model(**episode)[:, 0], arrays["network_64_logits"])
    loss = model.loss(**episode, query_labels=labels)
    assert loss.item() == pytest.approx(case["loss"], rel=1e-5)
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    loss.backward()
    for name, expected in case["gradients"].items():
        (ours,) = from_checkpoint({name: torch.tensor(0)})
        gradient = model.get_parameter(ours).grad.double().abs().sum().item()
        assert gradient == pytest.approx(expected["abs_sum"], rel=1e-4, abs=1e-6)
    optimizer.step()
    close(model(**episode)[:, 0], arrays["network_64_logits_after_adam"], relative=2e-3)
    for name, value in model.backbone.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)
    assert all(parameter.grad is None for parameter in model.backbone.parameters())


def test_segmenting_reproduces_the_published_program_at_its_own_size(rule, golden, published):
    meta, arrays = golden("hsnet_resnet50_400")
    model = published("resnet50").to(memory_format=torch.channels_last)
    episode = episode_of(rule, meta)
    supports = encode_support(model, episode["support_images"][:, 0], episode["foreground"][:, 0])
    close(segment(model, episode["query_images"], supports)[:, 0], arrays["logits"])


def test_segmenting_without_support_masking_is_the_dagger_variant(rule, golden, published):
    meta, arrays = golden("hsnet_resnet50")
    model = published("resnet50", HSNetConfig(mask_support=False))
    episode = episode_of(rule, meta)
    supports = encode_support(model, episode["support_images"][:, 0], episode["foreground"][:, 0])
    found = torch.stack([segment(model, episode["query_images"][[i]], [supports[i]])[0, 0] for i in range(2)])
    close(found, arrays["logits_without_support_masking"])


def test_a_checkpoint_of_several_processes_loads_under_its_own_names(rule, golden):
    meta, _ = golden("hsnet_resnet50")
    state = {f"module.{name}": torch.zeros(shape) for name, shape in meta["entries"].items()}
    state["module.backbone.fc.weight"] = torch.zeros(1000, 2048)
    state["module.backbone.fc.bias"] = torch.zeros(1000)
    with torch.device("meta"):
        model = hsnet.resnet(50)
    model.load_state_dict(from_checkpoint(state), strict=True, assign=True)


def test_an_unknown_entry_of_a_checkpoint_raises():
    with pytest.raises(WeightsError, match=r"encoder\.weight"):
        from_checkpoint({"encoder.weight": torch.zeros(1)})
