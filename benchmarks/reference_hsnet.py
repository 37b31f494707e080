"""HSNet's algorithm as the paper states it and nothing more: the reference that `hsnet.py` here is measured against.

Correlations of every query with every support position are made by `bmm`, stacked and kept; 4D convolutions permute
the whole tensor for each of their two planes; every shot passes both its images through the backbone.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from likewise.models.hsnet import STRIDES, HSNet
from likewise.ops.hypercorrelation.correlation import CenterPivotConv4d


@torch.no_grad()
def reference_logits(model: HSNet, support_images: Tensor, foreground: Tensor, query_images: Tensor) -> Tensor:
    """`HSNet.forward` of one episode's shots, `(1 s 2 h w)`, with the weights of the model."""
    shots = [
        one_shot(model, image[None], mask[None], query_images)
        for image, mask in zip(support_images[0], foreground[0], strict=True)
    ]
    return torch.stack(shots, dim=1)


def one_shot(model: HSNet, support_image: Tensor, mask: Tensor, query_image: Tensor) -> Tensor:
    query = model.backbone(query_image)
    support = model.backbone(support_image)
    support = [
        tap * F.interpolate(mask[:, None], tap.shape[-2:], mode="bilinear", align_corners=True) for tap in support
    ]
    level8, level16, level32 = (
        correlation(
            [tap for tap, where in zip(query, model.backbone.taps, strict=True) if where.stride == stride],
            [tap for tap, where in zip(support, model.backbone.taps, strict=True) if where.stride == stride],
        )
        for stride in STRIDES
    )
    squeezed32, squeezed16, squeezed8 = (
        squeeze(model.squeeze32, level32),
        squeeze(model.squeeze16, level16),
        squeeze(model.squeeze8, level8),
    )
    mixed = squeeze(model.mix32to16, enlarge(squeezed32, squeezed16.shape[2:4]) + squeezed16)
    mixed = squeeze(model.mix16to8, enlarge(mixed, squeezed8.shape[2:4]) + squeezed8)
    hq, wq = mixed.shape[2:4]
    encoded = mixed.flatten(4).mean(dim=-1)
    context = model.decoder(encoded)
    logits = model.classifier(F.interpolate(context, (2 * hq, 2 * wq), mode="bilinear", align_corners=True))
    return F.interpolate(logits, query_image.shape[-2:], mode="bilinear", align_corners=True)


def correlation(query: list[Tensor], support: list[Tensor]) -> Tensor:
    taps = []
    for q, s in zip(query, support, strict=True):
        b, c, hs, ws = s.shape
        hq, wq = q.shape[-2:]
        s = s.view(b, c, -1)
        s = s / (s.norm(dim=1, keepdim=True) + 1e-5)
        q = q.reshape(b, c, -1)
        q = q / (q.norm(dim=1, keepdim=True) + 1e-5)
        product = torch.bmm(q.transpose(1, 2), s).view(b, hq, wq, hs, ws)
        taps.append(product.clamp(min=0))
    return torch.stack(taps).transpose(0, 1).contiguous()


def squeeze(block: torch.nn.Sequential, x: Tensor) -> Tensor:
    for layer in block:
        x = center_pivot(layer, x) if isinstance(layer, CenterPivotConv4d) else layer(x)
    return x


def center_pivot(layer: CenterPivotConv4d, x: Tensor) -> Tensor:
    pruned = x[..., :: layer.stride, :: layer.stride] if layer.stride > 1 else x
    b, c, hq, wq, hs, ws = pruned.shape
    over_query = layer.query(pruned.permute(0, 4, 5, 1, 2, 3).contiguous().view(-1, c, hq, wq))
    over_query = over_query.view(b, hs, ws, -1, hq, wq).permute(0, 3, 4, 5, 1, 2).contiguous()
    b, c, hq, wq, hs, ws = x.shape
    over_support = layer.support(x.permute(0, 2, 3, 1, 4, 5).contiguous().view(-1, c, hs, ws))
    hs, ws = over_support.shape[-2:]
    return over_query + over_support.view(b, hq, wq, -1, hs, ws).permute(0, 3, 1, 2, 4, 5).contiguous()


def enlarge(x: Tensor, size: torch.Size) -> Tensor:
    b, c, hq, wq, hs, ws = x.shape
    planes = x.permute(0, 4, 5, 1, 2, 3).contiguous().view(b * hs * ws, c, hq, wq)
    planes = F.interpolate(planes, (size[0], size[1]), mode="bilinear", align_corners=True)
    return planes.view(b, hs, ws, c, size[0], size[1]).permute(0, 3, 4, 5, 1, 2).contiguous()
