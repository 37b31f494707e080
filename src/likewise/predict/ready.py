"""Prepare a trained network for inference."""

from __future__ import annotations

from typing import Any

import torch

from likewise.backbones.folding import fold_batch_norm

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
    if device.type == "cpu":
        keep_freed_memory()
    return network.to(device, dtype, memory_format=torch.channels_last)


def keep_freed_memory() -> None:
    """Make glibc keep freed memory, so that the next image reuses it without page faults.

    glibc returns memory to the system when more than twice the size of the largest freed block is free. The system
    clears each page before it is used again, which takes a sixth of the time of an image. Freeing one large block
    raises that threshold to 64 MiB. The block is never written to. Other C libraries are unaffected.
    """
    torch.empty(LARGEST_KEPT - 65536, dtype=torch.uint8)  # less the allocator's own header
