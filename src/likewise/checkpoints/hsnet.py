"""HSNet's published names under ours."""

from __future__ import annotations

from torch import Tensor

from likewise.checkpoints.renaming import renamed

PUBLISHED_NAMES = {
    "backbone.": "backbone.net.",
    "hpn_learner.encoder_layer4.": "squeeze32.",
    "hpn_learner.encoder_layer3.": "squeeze16.",
    "hpn_learner.encoder_layer2.": "squeeze8.",
    "hpn_learner.encoder_layer4to3.": "mix32to16.",
    "hpn_learner.encoder_layer3to2.": "mix16to8.",
    "hpn_learner.decoder1.": "decoder.",
    "hpn_learner.decoder2.": "classifier.",
}


def from_checkpoint(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The published program's entries under our names, with or without `module.` before them.

    The backbone's classifier, which is never used, is left out.

    Raises:
        ValueError: an entry that the published program does not have.
    """
    found = {}
    for published, value in state.items():
        if published.removeprefix("module.").startswith(("backbone.fc.", "backbone.classifier.")):
            continue
        name = renamed(published, PUBLISHED_NAMES, "HSNet")
        if not name.startswith("backbone."):
            name = name.replace(".conv1.", ".query.").replace(".conv2.", ".support.")
        found[name] = value
    return found
