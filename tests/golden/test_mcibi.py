"""MCIBI and its baseline against the published program's numbers.

Gradients are compared in double precision. A gradient jumps where an input of a ReLU changes its sign, and some inputs
lie within rounding of zero: in single precision, sums over a gradient differ by more than 1e-4 between processors.
The published sums are within 3e-6 of double precision (`gradient_noise`).
"""

from functools import cache

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from likewise.backbones.specs import BACKBONES
from likewise.backbones.taps import Backbone
from likewise.errors import WeightsError
from likewise.io.labels import IGNORE
from likewise.models.blocks.dataset_memory import coupled_momentum
from likewise.models.blocks.scene_heads import cross_entropy
from likewise.models.fcn import FCN
from likewise.models.mcibi import MCIBI, MCIBIConfig, from_checkpoint
from support.scene_suite import mcibi_lite0, mcibi_resnet

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
    torch.testing.assert_close(
        torch.as_tensor(ours).detach(), torch.as_tensor(theirs), rtol=0, atol=tolerance, check_dtype=False
    )


@pytest.mark.parametrize("name", EVAL)
def test_it_reproduces_the_published_program(name, rule, golden, state_of):
    meta, arrays = golden(name)
    model = built(lambda: mcibi_resnet(50, SEVEN, settings_of(meta)), state_of(name)).eval()
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
    model = mcibi_lite0(SEVEN, config).eval()
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
    model = built(lambda: mcibi_resnet(50, SEVEN, config), state)
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
    images = images.to(model.memory.vectors.dtype)
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


@pytest.mark.double_precision
@pytest.mark.parametrize("case", ["nocontext_norm_in_eval_mode", "aspp_norm_in_eval_mode"])
@pytest.mark.parametrize("released", [False, True], ids=["memory that was read", "as released"])
def test_losses_and_both_conventions_of_gradients_are_the_published_ones(case, released, rule, golden, state_of):
    meta, arrays = golden("mcibi_losses")
    expected = meta["cases"][case]
    model = training_model(golden, state_of, case).double()
    losses, stages = take_step(model, rule, meta, released_gradients=released)
    assert losses.overlap.item() == 0, "the published losses have none"
    for ours, theirs in zip(losses[:4], ("aux", "stage1", "stage2", "memory"), strict=True):
        close(ours, expected["losses"][theirs])
    close(stages.auxiliary, arrays[f"{case}_logits_aux"])
    close(stages.stage2, arrays[f"{case}_logits_stage2"])
    close(model.memory.vectors, arrays[f"{case}_memory_after"], 1e-5)
    memory_logits = model.stage2(model.memory.rows()[0][:, :, None, None])[:, :, 0, 0]
    close(memory_logits, arrays[f"{case}_logits_of_the_memory"])

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
        close(gradient, array, 1e-4 * np.abs(array).max().item())


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
    close(0.4 * cross_entropy(logits, labels), arrays["cross_entropy_alone"], 1e-6)
    assert np.isnan(arrays["cross_entropy_alone_all_ignored"])
    assert cross_entropy(logits, torch.full_like(labels, IGNORE)).item() == 0


def test_a_checkpoint_of_several_processes_loads_under_its_own_names(golden):
    entries = golden("mcibi_nocontext")[0]["entries"]
    state = {f"module.{name}": torch.zeros(shape) for name, shape in entries.items()}
    state["module.memory_module.memory"][2, 0, 5] = 1
    model = mcibi_resnet(50, tuple("abcdefg"))
    model.load_state_dict(from_checkpoint(state), strict=True)
    assert model.memory.seen[:, 0].tolist() == [k == 2 for k in range(7)]


def test_an_unknown_entry_of_a_checkpoint_raises():
    with pytest.raises(WeightsError, match=r"encoder\.weight"):
        from_checkpoint({"encoder.weight": torch.zeros(1)})
