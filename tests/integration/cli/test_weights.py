"""Importing a published checkpoint by the command line."""

from pathlib import Path

import pytest
import torch

from likewise.weights.checkpoint import read_header


@pytest.fixture
def checkpoint(rule, golden, photos) -> Path:
    """The checkpoint of HSNet on VGG-16 as its program leaves it, of random weights."""
    meta, _ = golden("hsnet_vgg16")
    state = rule.make_state(meta["entries"], meta["gain"])
    torch.save({f"module.{name}": torch.from_numpy(value) for name, value in state.items()}, "best_model.pt")
    return Path("best_model.pt")


def test_an_imported_checkpoint_names_its_network_and_its_use(likewise, checkpoint):
    code, out, err = likewise("weights", "import", "hsnet", checkpoint, "-o", "hsnet.safetensors")
    assert (code, err) == (0, "")
    assert out == "hsnet.safetensors: hsnet-vgg16; use it with --model hsnet.safetensors\n"
    assert read_header("hsnet.safetensors")["model"] == "hsnet-vgg16"
    code, _, err = likewise("weights", "import", "hsnet", checkpoint, "-o", "hsnet.safetensors")
    assert code == 2
    assert "hsnet.safetensors: exists and is not overwritten" in err


def test_a_checkpoint_that_cannot_be_imported_is_reported_in_one_line(likewise, checkpoint):
    Path("text.pt").write_text("hello")
    for words, named in (
        (("hsnet", "none.pt"), "none.pt: "),
        (("hsnet", "text.pt"), "text.pt: "),
        (("panet", checkpoint), "best_model.pt: not a checkpoint of panet; 'backbone"),
        (("fewsam", checkpoint), "unknown method 'fewsam'"),
    ):
        code, out, err = likewise("weights", "import", *words)
        assert (code, out) == (2, "")
        assert err.startswith("likewise: ")
        assert "weights_only" not in err
        assert named in err
        assert err.count("\n") == 1
