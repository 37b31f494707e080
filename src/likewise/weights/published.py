"""The published programs' checkpoints: read under their authors' names, and kept under ours in a safe file.

best_model.pt --> import_checkpoint(guessed which network) --> best_model.safetensors, its header naming the network
                                                           --> load_imported --> the network
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from likewise.errors import WeightsError
from likewise.io.atomic import write_atomically
from likewise.models import hsnet, icnet, panet
from likewise.weights.checkpoint import (
    load_state,
    misfits,
    read_header,
    read_state,
    told,
)

FORMAT = 1


@dataclass(frozen=True)
class Published:
    """A published network.

    Attributes:
        method: the paper's name for it.
        build: the network, its weights random.
        rename: the checkpoint's entries under our names; raises `ValueError` for one that is not the program's.
    """

    method: str
    build: Callable[[], nn.Module]
    rename: Callable[[dict[str, Tensor]], dict[str, Tensor]]


CHECKPOINTS: dict[str, Published] = {
    "panet-vgg16": Published("panet", panet.vgg16, panet.from_vgg16_checkpoint),
    "panet-resnet50": Published("panet", lambda: panet.resnet(50), panet.from_resnet_checkpoint),
    "panet-resnet101": Published("panet", lambda: panet.resnet(101), panet.from_resnet_checkpoint),
    "hsnet-vgg16": Published("hsnet", hsnet.vgg16, hsnet.from_checkpoint),
    "hsnet-resnet50": Published("hsnet", lambda: hsnet.resnet(50), hsnet.from_checkpoint),
    "hsnet-resnet101": Published("hsnet", lambda: hsnet.resnet(101), hsnet.from_checkpoint),
    "icnet-vgg16": Published("icnet", icnet.vgg16, icnet.from_checkpoint),
}
"""The published networks whose checkpoints can be read."""

BY_EXAMPLE = tuple(name for name, network in CHECKPOINTS.items() if network.method in ("panet", "hsnet"))
"""Those that segment by example."""


def load_checkpoint(name: str, path: str | Path) -> nn.Module:
    """The published network of that name with the weights of its authors' checkpoint, or of an imported one.

    Raises:
        WeightsError: no such network or file, or weights that do not fit.
    """
    if name not in CHECKPOINTS:
        raise WeightsError(f"no published model is called {name!r}; there are {', '.join(CHECKPOINTS)}")
    if imported_name(path) is not None:
        return load_imported(path, name)
    published = CHECKPOINTS[name]
    model = published.build()
    state = read_state(path)
    try:
        state = published.rename(state)
    except WeightsError as error:
        raise WeightsError(f"{path}: not a checkpoint of {name}; {error}") from error
    load_state(model, state, source=path)
    return model.eval()


def guess(method: str, state: dict[str, Tensor], *, source: str | Path) -> tuple[str, dict[str, Tensor]]:
    """The one network of the method whose entries these are, and the entries under our names.

    Raises:
        WeightsError: an unknown method; a checkpoint of another; none fits, the message says what is nearest.
    """
    names = [name for name, published in CHECKPOINTS.items() if published.method == method]
    if not names:
        methods = ", ".join(dict.fromkeys(published.method for published in CHECKPOINTS.values()))
        raise WeightsError(f"checkpoints of {method!r} cannot be imported; those of {methods} can")
    refused: list[str] = []
    found: dict[str, dict[str, list[str]]] = {}
    for name in names:
        try:
            renamed = CHECKPOINTS[name].rename(state)
        except WeightsError as error:
            refused.append(str(error))
            continue
        with torch.device("meta"):
            own = CHECKPOINTS[name].build().state_dict()
        found[name] = misfits(own, renamed)
        if not found[name]:
            return name, renamed
    if not found:
        raise WeightsError(f"{source}: not a checkpoint of {method}; {refused[0]}")
    nearest = min(found, key=lambda name: sum(map(len, found[name].values())))
    raise WeightsError(f"{source}: fits no network of {method}; the nearest is {nearest}: {told(found[nearest])}")


def import_checkpoint(method: str, path: str | Path, out: str | Path | None = None) -> tuple[str, Path]:
    """Write the authors' checkpoint as a safetensors file that names its network; gives that name and the file.

    Args:
        method: "hsnet", "panet" or "icnet".
        out: the file; `path` with the suffix .safetensors unless given. Nothing is overwritten.

    Raises:
        WeightsError: a checkpoint that cannot be read or fits no network of the method, or a file that exists.
    """
    path = Path(path)
    out = path.with_suffix(".safetensors") if out is None else Path(out)
    name, state = guess(method, read_state(path), source=path)
    if out.exists():
        raise WeightsError(f"{out}: exists and is not overwritten; name another file with -o")
    header = {
        "likewise": "weights",
        "format": str(FORMAT),
        "model": name,
        "source": path.name,
        "source sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    with write_atomically(out) as part:
        save_file({key: value.contiguous() for key, value in state.items()}, part, header)
    return name, out


def imported_name(path: str | Path) -> str | None:
    """The name of the network in a file of `import_checkpoint`; None for any other file.

    Raises:
        WeightsError: a file of a later format, or of a network unknown here.
    """
    header = read_header(path)
    if header.get("likewise") != "weights":
        return None
    if int(header["format"]) > FORMAT or header["model"] not in CHECKPOINTS:
        raise WeightsError(
            f"{path}: {header['model']} in format {header['format']} is unknown to this likewise; update likewise"
        )
    return header["model"]


def load_imported(path: str | Path, name: str) -> nn.Module:
    """The network of a file of `import_checkpoint`.

    Raises:
        WeightsError: it holds another network than `name`, or weights that do not fit.
    """
    found = imported_name(path)
    if found != name:
        raise WeightsError(f"{path}: holds {found}, not {name}; choose it with --model {path}")
    model = CHECKPOINTS[name].build()
    load_state(model, read_state(path), source=path)
    return model.eval()
