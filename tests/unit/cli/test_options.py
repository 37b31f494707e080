"""The model that options name, the formats that they list, and options that stand together in a dataclass."""

from inspect import signature
from pathlib import Path

import pytest

from likewise import FewShot
from likewise.cli import convert, cosegment, jobs, parse, saliency, segment, watch
from likewise.cli.options import NetworkOptions, PresenceOptions, open_few_shot
from likewise.errors import ArgumentError, HubError
from likewise.io.annotations import FORMATS as ANNOTATIONS
from likewise.jobs.convert import DRAWN
from likewise.jobs.parse import SCENE_FORMATS
from likewise.jobs.writers import FORMATS, SUMMARIES
from likewise.weights import PRESENCE
from support.fake_hub import fake_hub

DEFAULTS = {"backbone": "lite0", "weights": None, "side": None, "device": "auto", "precision": "float32"}


@pytest.fixture(scope="module")
def few_shot() -> FewShot:
    return FewShot(side=96, presence=0.25, edges=False)


@pytest.fixture
def hub(monkeypatch, tmp_path, few_shot):
    pytest.importorskip("huggingface_hub")
    with fake_hub(monkeypatch, tmp_path / "cache") as served:
        few_shot.push_to_hub("ann/few", token=served.token)
        yield served


def test_a_folder_is_a_model_whose_settings_stay_unless_they_are_given(few_shot, tmp_path):
    few_shot.save_pretrained(tmp_path)
    assert open_few_shot(str(tmp_path), **DEFAULTS, edges=True, presence=PRESENCE).settings == few_shot.settings
    changed = open_few_shot(str(tmp_path), **{**DEFAULTS, "side": 128}, presence=0.0)
    assert (changed.side, changed.presence, changed.edges) == (128, 0.0, False)


@pytest.mark.parametrize("address", ["hf://ann/few", "hf://ann/few@main", "hf://ann/few/"])
def test_an_address_of_the_hub_is_a_model(hub, few_shot, address):
    assert open_few_shot(address, **DEFAULTS).settings == few_shot.settings


@pytest.mark.parametrize(
    ("address", "error", "said"),
    [
        ("hf://ann", ArgumentError, "hf://owner/name"),
        ("hf://ann/few/x", ArgumentError, "hf://owner/name"),
        ("hf://ann/none", HubError, "ann/none: no such repository"),
    ],
)
def test_an_address_without_a_model_is_named(hub, address, error, said):
    with pytest.raises(error, match=said):
        open_few_shot(address, **DEFAULTS)


def test_a_gated_model_says_where_to_accept_its_terms(hub):
    hub.gated.add("ann/few")
    with pytest.raises(HubError, match=r"gated.*https://huggingface.co/ann/few"):
        open_few_shot("hf://ann/few", **DEFAULTS)


def test_without_a_network_a_model_of_an_earlier_download_opens(hub, few_shot, monkeypatch):
    open_few_shot("hf://ann/few", **DEFAULTS)
    hub.shutdown()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert open_few_shot("hf://ann/few", **DEFAULTS).settings == few_shot.settings
    with pytest.raises(HubError, match=r"ann/other.*not on this machine"):
        open_few_shot("hf://ann/other", **DEFAULTS)


@pytest.mark.parametrize(
    "given", [{"backbone": "resnet18"}, {"backbone": "lite0@2"}, {"weights": Path("x.safetensors")}]
)
def test_a_saved_model_takes_no_other_backbone_or_weights(few_shot, tmp_path, given):
    few_shot.save_pretrained(tmp_path)
    with pytest.raises(ArgumentError, match=f"leave --{next(iter(given))} out"):
        open_few_shot(str(tmp_path), **(DEFAULTS | given))


def test_the_model_has_the_values_of_groups_of_options(few_shot):
    opened = open_few_shot("prototypes-lite0", NetworkOptions(side=96), PresenceOptions(presence=0.25), edges=False)
    assert opened.settings == few_shot.settings
    assert open_few_shot("prototypes-lite0", NetworkOptions(), PresenceOptions(always=True)).presence == 0


@pytest.mark.parametrize(
    ("command", "parameter", "names"),
    [
        *((command, "format", FORMATS) for command in (segment, watch, cosegment, saliency)),
        (parse, "format", SCENE_FORMATS),
        (jobs.merge, "format", SUMMARIES),
        (convert, "to", (*ANNOTATIONS, *DRAWN)),
    ],
)
def test_help_lists_the_formats_that_a_command_writes(command, parameter, names):
    (option,) = signature(command, eval_str=True).parameters[parameter].annotation.__metadata__
    assert sorted(option.help.partition(".")[0].split(", ")) == sorted(names)
