"""Which part of a backbone learns."""

from collections.abc import Sequence

from likewise.backbones.taps import Backbone
from likewise.errors import ModelError, check_known


def learn_only(backbone: Backbone, modules: Sequence[str] | None) -> None:
    """Let these modules of timm's network take gradients and no others; nothing named lets all of them, None none.

    Raises:
        DataSetError: a name that is no module with weights; the message names the nearest.
    """
    net = backbone.net
    backbone.requires_grad_(modules is not None and not modules)
    names = [name for name, module in net.named_modules() if name and any(True for _ in module.parameters())]
    for module in modules or ():
        check_known(module, names, f"trainable module of {backbone.spec.name}", ModelError)
        net.get_submodule(module).requires_grad_(True)
