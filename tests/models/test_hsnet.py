"""HSNet against the published program's numbers, its variants, and what every model must do."""

import copy

import pytest
import torch
import torch.nn.functional as F

from likewise.backbones import BACKBONES, Backbone, backbone_spec
from likewise.checkpoints.hsnet import from_checkpoint
from likewise.hypercorrelation import stacked, unit, unstacked
from likewise.models import hsnet
from likewise.models.hsnet import HSNet, HSNetConfig
from likewise.models.panet import PANet
from likewise.models.shots import foreground_wins, vote
from models.suite import ModelSuite

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
def test_what_is_between_is_the_published_too(name, rule, golden, published):
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


def test_lite0_reads_two_six_and_five_blocks():
    model = hsnet.lite0()
    assert [model.squeeze8[0].query.in_channels, model.squeeze16[0].query.in_channels] == [2, 6]
    assert model.squeeze32[0].query.in_channels == 5
    assert [tap.module for tap in model.backbone.taps][:2] == ["blocks.2.0", "blocks.2.1"]


@pytest.mark.parametrize("case", ["net_balanced", "net_few", "net_no_foreground", "net_all_foreground"])
def test_five_shots_vote_as_published(case, rule, golden, published):
    meta, arrays = golden("hsnet_resnet50_vote")
    model = published("resnet50", **meta["cases"][case]["overrides"])
    inputs = {key: made(rule, spec) for key, spec in meta["inputs"].items()}
    with torch.inference_mode():
        logits = model(inputs["support_imgs"], inputs["support_masks"], inputs["query_img"])
    if case == "net_balanced":
        close(logits[0], arrays["net_balanced_logits_per_shot"])
    masks = foreground_wins(logits)
    # Two logits may agree to the last bit but one.
    assert (masks[0].numpy() != arrays[f"{case}_masks_per_shot"]).sum() <= 2
    for shots in (5, 2):
        final = vote(masks[:, :shots]).numpy()
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
        masks = foreground_wins(model.decode(encoded, (height, width)))
    assert (masks[0].numpy() != arrays["orig_size_mask_1shot"][0]).sum() <= 2
    assert (vote(masks[None]).numpy() != arrays["orig_size_final_5shot"]).sum() <= 2


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


@pytest.mark.filterwarnings("ignore:a support mask is so small")
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
    loss = model.loss(**episode, query_labels=labels).query
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


def test_void_pixels_are_trained_as_background():
    model = hsnet.lite0()
    episode = some_episode((64, 64))
    labels = episode.pop("query_labels")
    void = labels.clone()
    void[labels == 0] = 255
    with torch.no_grad():
        assert model.loss(**episode, query_labels=labels).query == model.loss(**episode, query_labels=void).query


# ---- any size, any backbone, any number ---------------------------------------------------------------------------


def some_episode(size: tuple[int, int], shots: int = 2, support: tuple[int, int] | None = None) -> dict:
    generator = torch.Generator().manual_seed(0)
    height, width = support or size
    masks = torch.zeros(1, shots, height, width)
    masks[..., : height // 2, : width // 2] = 1
    return {
        "support_images": torch.randn(1, shots, 3, height, width, generator=generator),
        "foreground": masks,
        "query_images": torch.randn(1, 3, *size, generator=generator),
        "query_labels": torch.randint(0, 2, (1, *size), generator=generator),
    }


class TestHSNet(ModelSuite):
    def build(self):
        return hsnet.lite0()

    def run(self, model, size):
        episode = some_episode(size)
        del episode["query_labels"]
        return model(**episode)

    def loss(self, model, size):
        return sum(model.loss(**some_episode(size)))


class TestHSNetWithSeparableKernels(TestHSNet):
    def build(self):
        return hsnet.lite0(HSNetConfig(kernel="separable"))


@pytest.mark.parametrize("kernel", ["center-pivot", "separable", "full"])
def test_the_three_kernels_of_table_4_are_interchangeable(kernel):
    model = hsnet.lite0(HSNetConfig(kernel=kernel)).eval()
    episode = some_episode((64, 64), shots=1)
    del episode["query_labels"]
    with torch.inference_mode():
        assert model(**episode).shape == (1, 1, 2, 64, 64)


@pytest.mark.parametrize(("query", "support"), [((96, 160), (200, 64)), ((33, 47), (65, 97)), ((64, 64), (400, 300))])
def test_query_and_support_may_have_any_sizes(query, support):
    model = hsnet.lite0().eval()
    episode = some_episode(query, shots=1, support=support)
    del episode["query_labels"]
    with torch.inference_mode():
        logits = model(**episode)
    assert logits.shape == (1, 1, 2, *query)
    assert logits.isfinite().all()


def test_support_planes_that_round_to_different_sizes_still_mix():
    # VGG rounds 264 / 32 down to 8: the levels squeeze to 2x2, 1x1 and 1x1.
    model = hsnet.vgg16().eval()
    episode = some_episode((64, 64), shots=1, support=(264, 264))
    del episode["query_labels"]
    with torch.inference_mode():
        assert model(**episode).isfinite().all()


@pytest.mark.parametrize("build", [hsnet.lite0, hsnet.vgg16], ids=["lite0", "vgg16"])
def test_a_picture_smaller_than_32_pixels_is_enlarged_and_answered_at_its_own_size(build):
    model = build().eval()
    episode = some_episode((20, 70), shots=1, support=(9, 11))
    del episode["query_labels"]
    with torch.inference_mode():
        logits = model(**episode)
    assert logits.shape == (1, 1, 2, 20, 70)
    assert logits.isfinite().all()


def test_shots_and_episodes_do_not_see_each_other():
    model = hsnet.lite0().eval()
    first, second = some_episode((64, 96), shots=3), some_episode((64, 96), shots=3)
    second["query_images"] = second["query_images"].flip(-1)
    second["foreground"] = second["foreground"].flip(-1)
    batch = {key: torch.cat([first[key], second[key]]) for key in first if key != "query_labels"}
    with torch.inference_mode():
        together = model(**batch)
        for index, episode in enumerate((first, second)):
            for shot in range(3):
                alone = model(
                    episode["support_images"][:, [shot]], episode["foreground"][:, [shot]], episode["query_images"]
                )
                torch.testing.assert_close(together[index, shot], alone[0, 0], rtol=1e-4, atol=1e-5)


def test_any_pyramid_of_timm_serves():
    spec = backbone_spec("regnetx_002", taps=("2", "3", "4"))
    model = HSNet(Backbone(spec)).eval()
    episode = some_episode((64, 96), shots=1)
    del episode["query_labels"]
    with torch.inference_mode():
        assert model(**episode).shape == (1, 1, 2, 64, 96)


def test_a_backbone_without_the_three_strides_is_refused():
    spec = BACKBONES["lite0"].with_taps("blocks.1.0", "blocks.5.3")
    with pytest.raises(ValueError, match=r"lite0 has taps of strides 4, 32; HSNet needs taps of strides 8, 16 and 32"):
        HSNet(Backbone(spec))


def test_an_unknown_kernel_is_refused():
    with pytest.raises(ValueError, match=r"no 4D kernel 'round'; there are: center-pivot, separable, full"):
        hsnet.lite0(HSNetConfig(kernel="round"))


# ---- supports learned once ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kernel", ["center-pivot", "separable"])
@pytest.mark.parametrize(("query", "support"), [((128, 96), (96, 160)), ((33, 47), (264, 264)), ((20, 70), (9, 11))])
def test_segmenting_with_learned_supports_gives_what_forward_gives(kernel, query, support):
    model = hsnet.lite0(HSNetConfig(kernel=kernel)).eval()
    episode = some_episode(query, shots=3, support=support)
    del episode["query_labels"]
    episode["foreground"][0, 1] = 1
    with torch.inference_mode():
        supports = model.learn(episode["support_images"][0], episode["foreground"][0])
        torch.testing.assert_close(
            model.segment(episode["query_images"], supports), model(**episode), rtol=1e-4, atol=1e-5
        )


def test_segmenting_reproduces_the_published_program_at_its_own_size(rule, golden, published):
    meta, arrays = golden("hsnet_resnet50_400")
    model = published("resnet50").to(memory_format=torch.channels_last)
    episode = episode_of(rule, meta)
    supports = model.learn(episode["support_images"][:, 0], episode["foreground"][:, 0])
    close(model.segment(episode["query_images"], supports)[:, 0], arrays["logits"])


def test_segmenting_without_support_masking_is_the_dagger_variant(rule, golden, published):
    meta, arrays = golden("hsnet_resnet50")
    model = published("resnet50", HSNetConfig(mask_support=False))
    episode = episode_of(rule, meta)
    supports = model.learn(episode["support_images"][:, 0], episode["foreground"][:, 0])
    found = torch.stack([model.segment(episode["query_images"][[i]], [supports[i]])[0, 0] for i in range(2)])
    close(found, arrays["logits_without_support_masking"])


def test_several_queries_and_learned_shots_of_different_sizes_do_not_see_each_other():
    model = hsnet.lite0().eval()
    first, second = some_episode((64, 96), support=(96, 64)), some_episode((64, 96), shots=1, support=(128, 128))
    supports = [
        support
        for episode in (first, second)
        for support in model.learn(episode["support_images"][0], episode["foreground"][0])
    ]
    queries = torch.cat([first["query_images"], first["query_images"].flip(-1)])
    together = model.segment(queries, supports, size=(50, 40))
    assert together.shape == (2, 3, 2, 50, 40)
    for query, shot in ((0, 2), (1, 0)):
        alone = model.segment(queries[[query]], [supports[shot]], size=(50, 40))
        torch.testing.assert_close(together[query, shot], alone[0, 0], rtol=1e-4, atol=1e-5)


def test_supports_kept_in_half_precision_answer_nearly_the_same():
    model = hsnet.lite0().eval()
    episode = some_episode((128, 96), shots=1)
    supports = model.learn(episode["support_images"][0], episode["foreground"][0])
    halves = unstacked(stacked(supports))
    exact = model.segment(episode["query_images"], supports)
    torch.testing.assert_close(model.segment(episode["query_images"], halves), exact, rtol=0, atol=2e-3)


def test_supports_of_another_backbone_and_no_supports_are_refused():
    model, other = hsnet.lite0().eval(), HSNet(Backbone(backbone_spec("regnetx_002", taps=("2", "3", "4")))).eval()
    episode = some_episode((64, 64), shots=1)
    supports = other.learn(episode["support_images"][0], episode["foreground"][0])
    with pytest.raises(ValueError, match=r"the support has 3 taps .* lite0 has 13 of .* learn it again on this"):
        model.segment(episode["query_images"], supports)
    with pytest.raises(ValueError, match="no supports to segment with: learn at least one example first"):
        model.segment(episode["query_images"], [])


def test_the_edge_of_a_mask_does_not_depend_on_the_precision():
    # 400 -> 50 samples every 57/7 of a pixel: the seventh sample is on pixel 57, or just beyond it by rounding.
    model = hsnet.lite0().eval()
    images, mask = torch.randn(1, 3, 400, 400), torch.zeros(1, 400, 400)
    mask[:, 58:, 58:] = 1
    with torch.inference_mode():
        exact = model.support_features(model.taps(images), mask)
        for ours, theirs in zip(
            model.double().support_features(model.taps(images.double()), mask.double()), exact, strict=True
        ):
            torch.testing.assert_close(ours.float(), theirs, rtol=0, atol=1e-5)


def test_in_bfloat16_it_answers_nearly_the_same():
    model = hsnet.lite0().eval()
    episode = some_episode((128, 96), shots=1)
    supports = model.learn(episode["support_images"][0], episode["foreground"][0])
    exact = model.segment(episode["query_images"], supports)
    short = model.bfloat16().segment(episode["query_images"].bfloat16(), supports)
    torch.testing.assert_close(short.float(), exact, rtol=0, atol=2e-2)


# ---- a narrower one, with prototypes joined in ---------------------------------------------------------------------

NARROW = HSNetConfig(channels=(16, 32, 64), prototype_taps=("blocks.4.2", "blocks.5.3"))


class TestNarrowHSNetWithPrototypes(TestHSNet):
    def build(self):
        return hsnet.lite0(NARROW)


def test_with_a_silent_decoder_the_joined_prototypes_are_panet():
    model = hsnet.lite0(NARROW).eval()
    panet = PANet(Backbone(backbone_spec("lite0", taps=NARROW.prototype_taps))).eval()
    panet.backbone.load_state_dict(
        {name: value for name, value in model.backbone.state_dict().items() if name in panet.backbone.state_dict()}
    )
    torch.nn.init.zeros_(model.classifier[-1].weight)
    torch.nn.init.zeros_(model.classifier[-1].bias)
    episode = some_episode((96, 128), shots=2, support=(64, 96))
    images, mask, query = episode["support_images"], episode["foreground"], episode["query_images"]
    with torch.inference_mode():
        expected = panet(images[:, None], mask[:, None], 1 - mask[:, None], query[:, None])[:, 0]
        found = model(images, mask, query)
    torch.testing.assert_close(found, expected[:, None], rtol=1e-4, atol=1e-4)


def test_with_prototypes_shots_share_what_they_say():
    model = hsnet.lite0(NARROW).eval()
    torch.nn.init.normal_(model.classifier[-1].weight)  # so that the decoder has a say
    episode = some_episode((64, 96), shots=2)
    images, mask, query = episode["support_images"], episode["foreground"], episode["query_images"]
    with torch.inference_mode():
        both = model(images, mask, query)
        once = model(images[:, :1], mask[:, :1], query)
        twice = model(images[:, [0, 0]], mask[:, [0, 0]], query)
        torch.nn.init.zeros_(model.classifier[-1].weight)
        prior = model(images[:, :1], mask[:, :1], query)
    assert both.shape == (1, 1, 2, 64, 96)
    assert not torch.allclose(both, twice, rtol=1e-2)
    torch.testing.assert_close(twice - prior, (once - prior) / 2**0.5, rtol=1e-3, atol=1e-3)


def test_learned_supports_carry_their_prototypes():
    model = hsnet.lite0(NARROW).eval()
    episode = some_episode((96, 128), shots=2)
    supports = model.learn(episode["support_images"][0], episode["foreground"][0])
    exact = model(episode["support_images"], episode["foreground"], episode["query_images"])
    torch.testing.assert_close(model.segment(episode["query_images"], supports), exact, rtol=1e-4, atol=1e-4)
    halves = model.segment(episode["query_images"], unstacked(stacked(supports)))
    torch.testing.assert_close(halves, exact, rtol=0, atol=2e-2)


def test_what_is_known_to_be_background_makes_its_prototype():
    model = hsnet.lite0(NARROW).eval()
    episode = some_episode((64, 64), shots=1)
    images, foreground = episode["support_images"][0], episode["foreground"][0]
    background = torch.zeros_like(foreground)
    background[:, -8:] = 1
    assumed, known = (model.learn(images, foreground, given)[0].prototypes for given in (None, background))
    torch.testing.assert_close(known[1], assumed[1])
    assert not torch.allclose(known[0], assumed[0], rtol=1e-2)


def test_overlap_is_the_soft_iou_of_all_foreground_together_without_void():
    model = hsnet.lite0(NARROW).eval()
    episode = some_episode((64, 96))
    labels = episode["query_labels"]
    labels[:, :16] = 255
    inputs = {name: part for name, part in episode.items() if name != "query_labels"}
    with torch.no_grad():
        told = model.loss(**episode).overlap.item()
        probability = model(**inputs).softmax(dim=2)[:, :, 1, 16:]
    truth = (labels[:, None, 16:] == 1).float()
    shared = (probability * truth).sum()
    expected = shared / (probability + truth - probability * truth).sum()
    assert told == pytest.approx(1 - expected.item(), rel=1e-5)


SELF_SUPPORTED = HSNetConfig(channels=(8, 8, 16), prototype_taps=("blocks.4.2", "blocks.5.3"), self_support=True)


class TestHSNetWithSelfSupport(TestHSNet):
    def build(self):
        return hsnet.lite0(SELF_SUPPORTED)


def test_with_self_support_learned_shots_answer_as_the_whole_episode_does():
    model = hsnet.lite0(SELF_SUPPORTED).eval()
    episode = some_episode((96, 128), shots=3)
    supports = model.learn(episode["support_images"][0], episode["foreground"][0])
    exact = model(episode["support_images"], episode["foreground"], episode["query_images"])
    torch.testing.assert_close(model.segment(episode["query_images"], supports), exact, rtol=1e-4, atol=1e-4)


def test_self_support_without_prototypes_is_refused():
    with pytest.raises(ValueError, match="there are none: name `prototype_taps`"):
        hsnet.lite0(HSNetConfig(self_support=True))


def test_a_prototype_tap_that_the_backbone_lacks_is_refused():
    with pytest.raises(ValueError, match=r"lite0 has no tap 'blocks\.9'; it has: "):
        hsnet.lite0(HSNetConfig(prototype_taps=("blocks.9",)))
