"""Prepare a trained network for inference."""

from typing import Any

import torch

from likewise.backbones.folding import fold_batch_norm
from likewise.ops.hypercorrelation.fast import operators

LARGEST_KEPT = 32 << 20
"""Size in bytes of the largest freed block that raises the memory threshold of glibc."""


def prepare_network(
    network: Any, device: torch.device, dtype: torch.dtype = torch.float32, *, fold: bool = False
) -> Any:
    """Return the network itself, moved to the device and prepared for inference.

    Args:
        fold: fold the backbone's batch norm into its convolutions. This renames entries of the state dict, so take
            the fingerprint before.
    """
    network.eval().requires_grad_(False)
    if fold:
        fold_batch_norm(network.backbone)
    if operators.FAST and device.type == "cpu":
        keep_freed_memory()
    return network.to(device, dtype, memory_format=torch.channels_last)


def keep_freed_memory() -> None:
    """Make glibc keep freed memory, so that the next image reuses it without page faults.

    glibc returns memory to the system when more than twice the size of the largest freed block is free. The system
    clears each page before it is used again. Freeing one large block raises that threshold to 64 MiB. The block is
    never written to. Other C libraries are unaffected.

    Gain, as the time of `FewShot.segment` without it divided by the time with it, for a 640x480 image on one thread of
    an AMD EPYC (Zen 4): 1.10 with HSNet and 1.16 with PANet on EfficientNet-Lite0, 1.09 with either limited to AVX2;
    none for ResNet-50 at 400x400.
    """
    torch.empty(LARGEST_KEPT - 65536, dtype=torch.uint8)  # less the allocator's own header
