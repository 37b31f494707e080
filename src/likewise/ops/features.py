"""Operations that models share: resizing, masked average pooling, cosine similarity, soft IoU."""

import torch
import torch.nn.functional as F
from einops import einsum
from jaxtyping import Float
from torch import Tensor


def plane_size(planes: Float[Tensor, "*more h w"]) -> tuple[int, int]:
    """Return height and width, the last two axes."""
    return planes.shape[-2], planes.shape[-1]


def resize(
    images: Float[Tensor, "b c h w"], size: tuple[int, int], *, align_corners: bool
) -> Float[Tensor, "b c ho wo"]:
    """Return planes resized to `size` (height, width), bilinear without antialiasing, as in the papers."""
    if plane_size(images) == size:
        return images
    return F.interpolate(images, size=size, mode="bilinear", align_corners=align_corners)


def concat_levels(levels: list[Float[Tensor, "b _c _h _w"]], *, align_corners: bool) -> Float[Tensor, "b c h w"]:
    """Return feature maps of several sizes concatenated, at the size of the first."""
    size = plane_size(levels[0])
    return torch.cat([resize(level, size, align_corners=align_corners) for level in levels], dim=1)


def resize_matrix(length_in: int, length_out: int, *, align_corners: bool, like: Tensor) -> Float[Tensor, "out in"]:
    """Return the matrix that resizes one axis as `resize` does, in the dtype and on the device of `like`."""
    identity = torch.eye(length_in, dtype=like.dtype, device=like.device)
    if length_in == length_out:
        return identity
    columns = F.interpolate(identity[:, None], size=length_out, mode="linear", align_corners=align_corners)
    return columns[:, 0].T


def masked_average_pool(
    features: Float[Tensor, "b c h w"], mask: Float[Tensor, "b hm wm"], *, align_corners: bool
) -> Float[Tensor, "b c"]:
    """Return the mean feature under each mask, in [0, 1] and of any size, as if the features were resized to the mask.

    This is the late fusion of PANet (section 3.2, equation 1): `sum(feature x mask) / (sum(mask) + 1e-5)`, as in the
    published program. Resizing is linear, so the mask goes through the transposed resize instead and the sum is
    taken at the size of the features. An empty mask pools to zero.
    """
    mask = mask.to(features.dtype)
    weights = pixel_weights(mask, plane_size(features), align_corners=align_corners)
    total = einsum(features, weights, "b c h w, b h w -> b c")
    return total / (mask.sum(dim=(1, 2))[:, None] + 1e-5)


def pixel_weights(
    mask: Float[Tensor, "b hm wm"], size: tuple[int, int], *, align_corners: bool
) -> Float[Tensor, "b h w"]:
    """Return the weight of each feature in a sum under the mask over features of `size` resized to the mask."""
    rows = resize_matrix(size[0], mask.shape[-2], align_corners=align_corners, like=mask)
    columns = resize_matrix(size[1], mask.shape[-1], align_corners=align_corners, like=mask)
    return einsum(rows, mask, columns, "hm h, b hm wm, wm w -> b h w")


def cosine_similarity(
    features: Float[Tensor, "b c h w"], prototypes: Float[Tensor, "b k c"]
) -> Float[Tensor, "b k h w"]:
    """Return the cosine, in [-1, 1], of the feature at every position with every prototype.

    Norms are clamped at 1e-8, so a zero vector has cosine 0 with every other.
    """
    inner = einsum(features, prototypes, "b c h w, b k c -> b k h w")
    feature_norm = features.norm(dim=1, keepdim=True).clamp_min(1e-8)
    prototype_norm = prototypes.norm(dim=2)[:, :, None, None].clamp_min(1e-8)
    return inner / feature_norm / prototype_norm


def soft_iou_loss(predictions: Float[Tensor, "n m h w"], masks: Float[Tensor, "n h w"]) -> Float[Tensor, ""]:
    """Return one minus the mean, over images and their `m` predictions, of `sum(min) / sum(max)` over pixels.

    Predictions and masks are in [0, 1]. Not smoothed, as in ICNet's program. For an empty mask the IoU is 0 without a
    gradient; it is 1 if the prediction is empty too.
    """
    masks = masks[:, None].expand_as(predictions)
    intersection = torch.minimum(predictions, masks).sum(dim=(2, 3))
    union = torch.maximum(predictions, masks).sum(dim=(2, 3))
    empty = union == 0
    return 1 - torch.where(empty, 1.0, intersection / union.masked_fill(empty, 1.0)).mean()
