"""Where and how precisely a network computes, from the names that people give."""

import functools

import torch
import torch.nn.functional as F

from likewise.errors import ModelError


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
    """The precision of that name, float32 or bfloat16.

    Raises:
        ModelError: one in which the device does not compute.
    """
    if name == "bfloat16" and not computes_in_bfloat16(device):
        raise ModelError(f"device {str(device)!r} does not compute in bfloat16; leave the precision at float32")
    return torch.bfloat16 if name == "bfloat16" else torch.float32


@functools.cache
def computes_in_bfloat16(device: torch.device) -> bool:
    """Return whether a convolution and a linear layer run in bfloat16 on the device, from one trial on small inputs.

    The trial does not measure speed: without bfloat16 instructions, a processor is several times slower in bfloat16
    than in float32.
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    try:
        with torch.inference_mode():
            image, weight = (torch.ones(8, 8, 3, 3, device=device, dtype=torch.bfloat16) for _ in range(2))
            vectors = F.conv2d(image, weight, padding=1).mean(dim=(2, 3))
            return bool(F.linear(vectors, weight[:, :, 0, 0]).isfinite().all())
    except RuntimeError:
        return False
