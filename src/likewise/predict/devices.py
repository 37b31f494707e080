"""Where and how precisely a network computes, from the names that people give."""

import torch

from likewise.errors import ModelError

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def torch_device(name: str) -> torch.device:
    """The device of that name; "auto" takes the first accelerator there is, else the CPU.

    Raises:
        ModelError: a device that cannot be used here.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ModelError(f"device {name!r} cannot be used here ({error}); 'auto' and 'cpu' always can") from error
    return device


def torch_precision(name: str, device: torch.device) -> torch.dtype:
    """The precision of that name.

    Raises:
        ModelError: an unknown one, or one in which the device does not compute.
    """
    if name not in PRECISIONS:
        raise ModelError(f"no precision is called {name!r}; there are {', '.join(PRECISIONS)}")
    if name == "bfloat16" and not computes_in_bfloat16(device):
        raise ModelError(f"device {str(device)!r} does not compute in bfloat16; leave the precision at float32")
    return PRECISIONS[name]


def computes_in_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
