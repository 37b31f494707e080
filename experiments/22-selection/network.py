"""The network that turns marks into a mask: a small decoder on the features of the default backbone.

features of strides 16 and 32 ---> 1x1 --+
                                         +--> 3x3 convolutions at stride 16 --> stride 8 --> stride 4 --> logits
marks, similarities (stride 16) --> 3x3 -+                                        ^            ^
colours, colour differences, marks (strides 8 and 4) -----------------------------+------------+
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

COARSE, FINE = 13, 8
"""Planes of marks at strides 16 and 4 (`likewise.predict.selector`)."""


class ClickNetwork(nn.Module):
    """Returns the logits of the object at stride 4."""

    def __init__(self, width: int = 48) -> None:
        super().__init__()
        self.middle, self.deep = nn.Conv2d(112, width, 1), nn.Conv2d(192 + 320, width, 1)
        self.marks = nn.Conv2d(COARSE, width, 3, padding=1)
        self.blocks = nn.ModuleList(
            nn.Conv2d(width, width, 3, padding=dilation, dilation=dilation) for dilation in (1, 2, 4, 8, 1)
        )
        self.context = nn.Linear(2 * width, width)
        self.to8, self.at8 = nn.Conv2d(width, 32, 1), nn.Conv2d(32 + FINE, 32, 3, padding=1)
        self.to4, self.at4 = nn.Conv2d(32, 16, 1), nn.Conv2d(16 + FINE, 16, 3, padding=1)
        self.last = nn.Conv2d(16, 1, 3, padding=1)

    def forward(
        self,
        middle: Float[Tensor, "b 112 h16 w16"],
        deep: Float[Tensor, "b 512 h32 w32"],
        coarse: Float[Tensor, "b c h16 w16"],
        fine: Float[Tensor, "b f h4 w4"],
    ) -> Float[Tensor, "b h4 w4"]:
        up = functional.interpolate(self.deep(deep), scale_factor=2.0, mode="bilinear", align_corners=False)
        x = torch.relu(self.middle(middle) + up + self.marks(coarse))
        near = coarse[:, :1]
        pooled = (x * near).sum(dim=(2, 3)) / (near.sum(dim=(2, 3)) + 1e-3)
        x = x + self.context(torch.cat([x.mean(dim=(2, 3)), pooled], dim=1))[:, :, None, None]
        for block in self.blocks:
            x = x + torch.relu(block(x))
        x = functional.interpolate(self.to8(x), scale_factor=2.0, mode="bilinear", align_corners=False)
        x = torch.relu(self.at8(torch.cat([x, functional.avg_pool2d(fine, 2)], dim=1)))
        x = functional.interpolate(self.to4(x), scale_factor=2.0, mode="bilinear", align_corners=False)
        x = torch.relu(self.at4(torch.cat([x, fine], dim=1)))
        return self.last(x)[:, 0]
