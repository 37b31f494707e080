"""MCIBI against the published program's numbers, and what every model must do."""

from functools import cache

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from likewise.backbones import BACKBONES, Backbone, backbone_spec
from likewise.checkpoints.mcibi import from_checkpoint
from likewise.memory import IGNORE, coupled_momentum, polynomial_momentum
from likewise.models import mcibi
from likewise.models.mcibi import FCN, MCIBI, MCIBIConfig
from models.suite import ModelSuite

SEVEN = tuple("abcdefg")
EVAL = ("mcibi_aspp", "mcibi_ppm", "mcibi_nocontext", "mcibi_nocontext_hard", "mcibi_nocontext_two_feats")


@pytest.fixture(scope="module")
def state_of(rule, golden):
    """`state_of(name)`: the weights of a golden under the published names; what networks share is drawn once."""
    tensor = cache(rule.make_tensor)

    def make(name: str) -> dict[str, torch.Tensor]:
        meta, _ = golden(name)
        entries = meta["entries"]
        if isinstance(entries, str):  # "same as mcibi_nocontext.json"
            entries = golden(entries.removeprefix("same as ").removesuffix(".json"))[0]["entries"]
        state = {
            entry: tensor(entry, tuple(shape), rule.gain_of(entry, meta["gain"])) for entry, shape in entries.items()
        }
        state |= {entry: np.array(values, np.float32) for entry, values in meta["overrides"].items()}
        return {entry: torch.from_numpy(value) for entry, value in state.items()}

    return make


def settings_of(meta) -> MCIBIConfig:
    context = meta["settings"]["context_within_image"]
    return MCIBIConfig(
        context="none" if context is None else "aspp" if context.startswith("ASPP") else "ppm",
        aggregation="hard" if meta["settings"]["hard_aggregation"] else "soft",
        slots=meta["settings"]["memory_vectors_per_class"],
        published=True,
        dropout=0,
    )


def built(build, published) -> torch.nn.Module:
    """The model with the published entries for its own, without drawing random ones first."""
    with torch.device("meta"):
        model = build()
    model.load_state_dict(from_checkpoint(published), strict=True, assign=True)
    return model


def close(ours, theirs, tolerance=5e-5) -> None:
    torch.testing.assert_close(torch.as_tensor(ours).detach(), torch.as_tensor(theirs), rtol=0, atol=tolerance)


# ---- the published numbers ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EVAL)
def test_it_reproduces_the_published_program(name, rule, golden, state_of):
    meta, arrays = golden(name)
    model = built(lambda: mcibi.resnet(50, SEVEN, settings_of(meta)), state_of(name)).eval()
    assert sum(p.numel() for p in model.parameters()) == meta["parameters_that_learn"]
    seen = {}
    parts = {"bottleneck": "bottleneck", "fuse": "memory_module.bottleneck", "context": "context_within_image_module"}
    for ours, theirs in parts.items():
        part = getattr(model, ours)
        if part is not None:
            part.register_forward_hook(lambda module, inputs, output, key=theirs: seen.update({key: output}))
    images = torch.from_numpy(rule.make_image(*meta["inputs"]["images"][1:]))
    with torch.no_grad():
        logits = model(images)
        stages = model.stages(images)
    close(logits, arrays["logits_stage2_resized_to_image"])
    close(stages.stage1, arrays["logits_stage1"])
    close(stages.stage2, arrays["logits_stage2"])
    for part, output in seen.items():
        close(rule.subsample(output.numpy(), 2000), arrays[f"{part}_subsample"])


@pytest.mark.parametrize("convolutions", [1, 2])
def test_the_baseline_reproduces_the_published_program(convolutions, rule, golden, state_of):
    meta, arrays = golden("mcibi_fcn_baseline")
    entries = meta["cases"][f"{convolutions}_convs"]["entries_outside_backbone"]
    state = {name: value for name, value in state_of("mcibi_aspp").items() if name.startswith("backbone_net.")}
    state |= {name: torch.from_numpy(value) for name, value in rule.make_state(entries, meta["gain"]).items()}
    model = built(lambda: FCN(Backbone(BACKBONES["resnet50-stride8"]), SEVEN, convolutions=convolutions), state).eval()
    images = torch.from_numpy(rule.make_image(*meta["inputs"]["images"][1:]))
    with torch.no_grad():
        logits = model.decoder(model.backbone(images)[-1])
        close(logits, arrays[f"logits_{convolutions}_convs"])
        close(model(images), F.interpolate(logits, size=(65, 97), mode="bilinear"))


class Given(torch.nn.Module):
    """A context that is its input."""

    def forward(self, x, logits):
        return x


@pytest.mark.parametrize("case", ["one_feat", "one_feat_hard", "one_feat_with_context", "two_feats"])
def test_the_memory_module_alone_reproduces_the_published_one(case, rule, golden):
    meta, arrays = golden("mcibi_memory_read")
    settings = meta["cases"][case]
    config = MCIBIConfig(
        context="ppm" if settings["with_context"] else "none",
        aggregation="hard" if settings["hard_aggregation"] else "soft",
        slots=settings["memory_vectors_per_class"],
        channels=16,
        attention_channels=8,
        published=True,
    )
    model = mcibi.lite0(SEVEN, config).eval()
    state = rule.make_state(meta["entries_per_case"][case], meta["gain"])
    state = {f"memory_module.{name}": torch.from_numpy(value) for name, value in state.items()}
    unexpected = model.load_state_dict(from_checkpoint(state), strict=False).unexpected_keys
    assert unexpected == []
    features, stage1, context = (torch.from_numpy(rule.make_array(*spec[1:])) for spec in meta["inputs"].values())
    with torch.no_grad():
        related = model.relate(features, stage1)
        close(related, arrays[f"{case}_bottleneck"], 1e-5)
        if settings["with_context"]:
            model.context = Given()  # the golden gives what the context module would
            related = model.relate_within(features, related, context, stage1)
        close(related, arrays[f"{case}_output"], 1e-5)
        if not settings["hard_aggregation"]:
            aggregated = model.memory.read(stage1.softmax(dim=1))
            for slot in range(config.slots):
                close(aggregated[:, slot], arrays[f"{case}_aggregated_{slot}"], 1e-5)


def training_model(golden, state_of, case) -> MCIBI:
    settings = golden("mcibi_losses")[0]["cases"][case]
    context = settings["context"] or "none"
    config = MCIBIConfig(context=context, strategy=settings["strategy"], published=True, dropout=0)
    state = state_of(f"mcibi_{'nocontext' if context == 'none' else context}")
    state = {name: value.clone() for name, value in state.items()}  # batch norm writes to its part
    state["memory_module.memory"][1] = 0
    model = built(lambda: mcibi.resnet(50, SEVEN, config), state)
    return model.train(not case.endswith("norm_in_eval_mode"))


def backward_sees(before: torch.Tensor, after: torch.Tensor):
    """As in the published program: what backward keeps of the memory changes with the memory."""

    def unpack(kept: torch.Tensor) -> torch.Tensor:
        for old, new in ((before, after), (before.mT, after.mT)):
            if kept.squeeze().shape == old.squeeze().shape and torch.equal(kept.squeeze(), old.squeeze()):
                return new.reshape(kept.shape)
        return kept

    return torch.autograd.graph.saved_tensors_hooks(lambda kept: kept, unpack)


def take_step(model, rule, meta, *, epoch=2, released_gradients=False):
    """The losses of the golden's training step, after the backward pass, and the stages."""
    images, labels = (
        torch.from_numpy(getattr(rule, spec[0])(*spec[1:]))
        for spec in (meta["inputs"][k] for k in ("images", "labels"))
    )
    before = model.memory.vectors.flatten(0, 1).clone()
    after = before.clone()
    with backward_sees(before, after):
        stages = model.stages(images)
    model.memory.update(stages.features, labels, coupled_momentum(meta["learning_rate"], 0.01))
    if released_gradients:
        after.copy_(model.memory.vectors.flatten(0, 1))
    losses = model.loss(stages, labels, consistency=epoch > 1)
    sum(losses).backward()
    return losses, stages


@pytest.mark.parametrize("case", ["nocontext_norm_in_eval_mode", "aspp_norm_in_eval_mode"])
@pytest.mark.parametrize("released", [False, True], ids=["memory that was read", "as released"])
def test_losses_and_both_conventions_of_gradients_are_the_published_ones(case, released, rule, golden, state_of):
    meta, arrays = golden("mcibi_losses")
    expected = meta["cases"][case]
    model = training_model(golden, state_of, case)
    losses, stages = take_step(model, rule, meta, released_gradients=released)
    assert losses.overlap.item() == 0, "the published losses have none"
    for ours, theirs in zip(losses[:4], ("aux", "stage1", "stage2", "memory"), strict=True):
        close(ours, torch.tensor(expected["losses"][theirs]))
    close(stages.auxiliary, arrays[f"{case}_logits_aux"])
    close(stages.stage2, arrays[f"{case}_logits_stage2"])
    close(model.memory.vectors, arrays[f"{case}_memory_after"], 1e-5)
    told = model.stage2(model.memory.rows()[0][:, :, None, None])[:, :, 0, 0]
    close(told, arrays[f"{case}_logits_of_the_memory"])

    key = "gradients" if released else "gradients_when_backward_sees_the_memory_that_was_read"
    names = [name for name in expected[key] if name not in expected["parameters_without_gradient"]]
    renamed = dict(zip(names, from_checkpoint(dict.fromkeys(names, torch.zeros(1))), strict=True))
    for name in names:
        total = model.get_parameter(renamed[name]).grad.double().abs().sum().item()
        assert total == pytest.approx(expected[key][name]["abs_sum"], rel=1e-4), name
    marker = f"{case}_grad:" if released else f"{case}_grad_read_memory_kept:"
    stored = {name.removeprefix(marker): array for name, array in arrays.items() if name.startswith(marker)}
    assert stored
    for name, array in stored.items():
        gradient = rule.subsample(model.get_parameter(renamed[name]).grad.numpy(), array.size)
        close(gradient, array, 1e-4 * np.abs(array).max())


@pytest.mark.parametrize("case", ["nocontext", "nocontext_first_epoch", "nocontext_mean", "aspp", "ppm"])
def test_a_training_step_is_the_published_one(case, rule, golden, state_of):
    meta, arrays = golden("mcibi_losses")
    expected = meta["cases"][case]
    model = training_model(golden, state_of, case)
    losses, stages = take_step(model, rule, meta, epoch=expected["epoch"])
    assert sum(losses).item() == pytest.approx(expected["losses"]["total"], abs=2e-4)
    assert losses.overlap.item() == 0, "the published losses have none"
    for ours, theirs in zip(losses[:4], ("aux", "stage1", "stage2", "memory"), strict=True):
        assert ours.item() == pytest.approx(expected["losses"].get(theirs, 0), abs=2e-4)
    close(stages.stage2, arrays[f"{case}_logits_stage2"], 5e-3)
    close(model.memory.vectors, arrays[f"{case}_memory_after"], 2e-4)
    assert model.stage2[1].num_batches_tracked.item() == expected["decoder_stage2_batches_tracked"]
    for name, moved in expected["running_statistics_after"].items():
        (ours,) = from_checkpoint({name: torch.zeros(1)})
        assert model.get_buffer(ours).double().abs().sum().item() == pytest.approx(moved["abs_sum"], rel=1e-4)


def test_cross_entropy_is_the_published_one_and_zero_where_that_is_not_a_number(rule, golden):
    meta, arrays = golden("mcibi_losses")
    logits = torch.from_numpy(rule.make_array(*meta["inputs"]["cross_entropy_alone_logits"][1:]))
    labels = torch.from_numpy(rule.make_labels(*meta["inputs"]["cross_entropy_alone_labels"][1:]))
    # the golden has the weight of a stage-1 loss in it
    close(0.4 * mcibi.cross_entropy(logits, labels), arrays["cross_entropy_alone"], 1e-6)
    assert np.isnan(arrays["cross_entropy_alone_all_ignored"])
    assert mcibi.cross_entropy(logits, torch.full_like(labels, IGNORE)).item() == 0


def test_cross_entropy_weighs_pixels_by_their_class_and_sees_the_resized_logits():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 5, 7, generator=generator)
    labels = torch.randint(0, 3, (2, 33, 50), generator=generator)
    labels[:, :4] = IGNORE
    weights = torch.tensor([0.3, 1, 4])
    resized = F.interpolate(logits, size=(33, 50), mode="bilinear")
    for given in (None, weights):
        expected = F.cross_entropy(resized, labels, given, ignore_index=IGNORE)
        close(mcibi.cross_entropy(logits, labels, given), expected, 1e-6)
    with torch.autocast("cpu", torch.bfloat16):
        found = mcibi.cross_entropy(logits, labels, weights)
    close(found, F.cross_entropy(resized, labels, weights, ignore_index=IGNORE), 1e-6)


# ---- what every model must do -------------------------------------------------------------------------------------


def some_batch(size, classes=7):
    generator = torch.Generator().manual_seed(0)
    blocks = torch.randint(0, classes, (2, 1, 4, 4), generator=generator).float()
    labels = F.interpolate(blocks, size=size, mode="nearest")[:, 0].long()
    labels[:, :3] = IGNORE
    return torch.randn(2, 3, *size, generator=generator), labels


class TestMCIBIOnLite0(ModelSuite):
    def build(self):
        return mcibi.lite0(SEVEN)

    def run(self, model, size):
        return model(some_batch(size)[0])

    def loss(self, model, size):
        images, labels = some_batch(size)
        for _ in range(2):  # at first sight of a class nothing has been read yet
            stages = model.stages(images)
            model.memory.update(stages.features, labels, polynomial_momentum(0.5))
        return sum(model.loss(stages, labels))


class TestMCIBIWithSlotsAndContext(TestMCIBIOnLite0):
    def build(self):
        return mcibi.lite0(SEVEN, MCIBIConfig(context="aspp", slots=2, channels=16, attention_channels=8))

    def loss(self, model, size):
        images, labels = some_batch(size)
        for _ in range(3):
            stages = model.stages(images)
            model.memory.update(stages.features, labels, polynomial_momentum(0.5))
        return sum(model.loss(stages, labels))


class TestFCNOnLite0(ModelSuite):
    def build(self):
        spec = BACKBONES["lite0-stride8"].with_taps("blocks.4.2", "blocks.6.0")
        return FCN(Backbone(spec, frozen=False), SEVEN, channels=32)

    def run(self, model, size):
        return model(some_batch(size)[0])

    def loss(self, model, size):
        return model.loss(*some_batch(size))


def with_detail(name: str) -> MCIBI | FCN:
    spec = BACKBONES["lite0-stride8"].with_taps("blocks.1.1", "blocks.2.1", "blocks.3.0")
    backbone = Backbone(spec, frozen=False)
    if name == "fcn":
        return FCN(backbone, SEVEN, channels=16, detail=True)
    return MCIBI(backbone, SEVEN, MCIBIConfig(channels=16, attention_channels=8, detail=True))


class TestMCIBIWithDetail(TestMCIBIOnLite0):
    def build(self):
        return with_detail("mcibi")


class TestFCNWithDetail(TestFCNOnLite0):
    def build(self):
        return with_detail("fcn")


def small(**choices) -> MCIBI:
    return mcibi.lite0(SEVEN, MCIBIConfig(channels=16, attention_channels=8, **choices))


@pytest.mark.parametrize("context", ["none", "ppm", "aspp", "ocr"])
@pytest.mark.parametrize("size", [(65, 97), (50, 33)])
def test_sides_need_not_be_multiples_of_the_stride(context, size):
    with torch.no_grad():
        logits = small(context=context).eval()(some_batch(size)[0])
    assert logits.shape == (2, 7, *size)
    assert logits.isfinite().all()


def test_a_backbone_of_one_tap_has_no_auxiliary_head():
    backbone = Backbone(backbone_spec("mobilenetv3_small_050", taps=("2",)), frozen=False)
    images, labels = some_batch((64, 96))
    for model in (MCIBI(backbone, SEVEN, MCIBIConfig(channels=16)), FCN(backbone, SEVEN, channels=16)):
        assert model(images).shape == (2, 7, 64, 96)
        assert model.auxiliary is None
    assert model.loss(images, labels).isfinite()
    model = MCIBI(backbone, SEVEN, MCIBIConfig(channels=16))
    stages = model.stages(images)
    assert stages.auxiliary is None
    assert model.loss(stages, labels).auxiliary == 0


def test_detail_adds_to_the_logits_at_the_stride_of_the_first_tap():
    model = with_detail("mcibi").eval()
    images, _ = some_batch((64, 96))
    with torch.no_grad():
        stages = model.stages(images)
        assert stages.stage1.shape == (2, 7, 8, 12)
        assert stages.stage2.shape == (2, 7, 16, 24)
        close(model(images), F.interpolate(stages.stage2, size=(64, 96), mode="bilinear"))
        for parameter in model.detail.join[-1].parameters():
            parameter.zero_()
        plain = model.stage2(model.relate(stages.features, stages.stage1))
        close(model.stages(images).stage2, F.interpolate(plain, size=(16, 24), mode="bilinear"))


def test_detail_needs_a_first_tap_of_a_finer_stride():
    spec = BACKBONES["lite0-stride8"].with_taps("blocks.2.1", "blocks.3.0")
    with pytest.raises(ValueError, match=r"finer stride than the last; blocks\.2\.1 has 8, blocks\.3\.0 has 8"):
        FCN(Backbone(spec), SEVEN, channels=16, detail=True)


def test_overlap_is_the_mean_iou_over_classes_that_occur_all_pictures_together():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 4, 6, 5, generator=generator)
    labels = torch.randint(0, 3, (2, 6, 5), generator=generator)  # the fourth class never occurs
    labels[0, :2] = IGNORE
    probability, ious = logits.softmax(dim=1), []
    for index in range(3):
        shared = both = 0.0
        for picture, row, column in (labels != IGNORE).nonzero().tolist():
            own = probability[picture, index, row, column].item()
            truth = float(labels[picture, row, column] == index)
            shared, both = shared + own * truth, both + max(own, truth)
        ious.append(shared / both)
    assert mcibi.overlap_loss(logits, labels).item() == pytest.approx(1 - np.mean(ious), abs=1e-6)


def test_overlap_without_any_labelled_pixel_is_zero_and_without_error_it_is_nearly():
    labels = torch.randint(0, 3, (1, 12, 12), generator=torch.Generator().manual_seed(0))
    sure = 50 * F.one_hot(labels, 3).movedim(-1, 1).float()
    assert mcibi.overlap_loss(sure, labels).item() == pytest.approx(0, abs=1e-6)
    assert mcibi.overlap_loss(sure, torch.full_like(labels, IGNORE)).item() == 0


def test_one_class_trains_without_a_consistency_loss():
    model = mcibi.lite0(("all",), MCIBIConfig(channels=16, attention_channels=8)).train()
    images, labels = some_batch((64, 64), classes=1)
    stages = model.stages(images)
    model.memory.update(stages.features, labels, 0.5)
    losses = model.loss(stages, labels)
    assert losses.consistency == 0
    sum(losses).backward()


def test_the_consistency_loss_reaches_stage_2_only_and_leaves_out_what_was_never_seen():
    model = small().train()
    images, labels = some_batch((64, 96), classes=4)
    stages = model.stages(images)
    model.memory.update(stages.features, labels, 0.5)
    rows = []
    model.stage2.register_forward_hook(lambda module, inputs, output: rows.append(len(inputs[0])))
    model.loss(stages, labels).consistency.backward()
    assert rows == [4]
    assert {name.split(".")[0] for name, p in model.named_parameters() if p.grad is not None} == {"stage2"}
    assert model.loss(stages, labels, consistency=False).consistency == 0


def test_a_batch_of_ignored_pixels_has_a_finite_loss_and_leaves_the_memory():
    model = small().train()
    images, labels = some_batch((64, 96))
    stages = model.stages(images)
    model.memory.update(stages.features, torch.full_like(labels, IGNORE), 0.5)
    assert not model.memory.seen.any()
    assert sum(model.loss(stages, torch.full_like(labels, IGNORE))).item() == 0


def test_unknown_choices_are_refused():
    with pytest.raises(ValueError, match="no context 'crf'; there are: none, ppm, aspp, ocr"):
        small(context="crf")
    with pytest.raises(ValueError, match="no aggregation 'max'; there are: soft, hard"):
        small(aggregation="max")
