"""A trained network, made ready to answer."""

from __future__ import annotations

from typing import Any

import torch

from likewise.backbones.folding import fold_batch_norm

LARGEST_KEPT = 32 << 20
"""Bytes of the largest freed block that the C library of Linux heeds."""


def made_ready(network: Any, device: torch.device, dtype: torch.dtype = torch.float32, *, fold: bool = False) -> Any:
    """The network itself, on the device, to answer and no longer to learn.

    Args:
        fold: its backbone's batch norm into the convolutions; the names of its state change, so take a fingerprint
            before.
    """
    network.eval().requires_grad_(False)
    if fold:
        fold_batch_norm(network.backbone)
    if device.type == "cpu":
        keep_freed_memory()
    return network.to(device, dtype, memory_format=torch.channels_last)


def keep_freed_memory() -> None:
    """Let an image have the memory that the one before it left, instead of new pages from the system.

    The C library of Linux (glibc) gives memory back as soon as more is free than twice the largest block it has seen
    freed, and the system clears every page that is asked for again: a sixth of the time of an image. So here it sees a
    block, never written to, as large as it heeds. It then keeps 64 MiB at most. Other C libraries do not mind.
    """
    torch.empty(LARGEST_KEPT - 65536, dtype=torch.uint8)  # the library puts a little of its own around it
