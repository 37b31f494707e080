"""Measure ICNet's relate step against the plain formulation of the paper: time and memory for a group of 60.

    python benchmarks/icnet.py [--group 60] [--turns 3] [--threads 1]

Both take the published network's features at strides 8, 16 and 32 and the saliency maps of the group, and compute the
group's features of every image with the same weights. The plain formulation computes the maps of every pair of images,
every image's HW x HW self-correlation, its reordered copy and that copy under the attention, for the whole group at
once. Ours computes the vectors of the group, then relates its images, all at once or eight at a time, in channels-last
memory. "Correlation" leaves out the residual units and the 1x1 convolution after them, which are the same on both
sides. Equality is checked in double precision on six images: in single precision, positions swap in the plain
formulation's order. Time is the median over turns; memory is the increase of the resident set of a separate process,
sampled every millisecond.
"""

import argparse
import multiprocessing
import statistics
import threading
import time
from collections.abc import Callable

import psutil
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from likewise.models import icnet
from likewise.models.blocks.coattention import CoAttention


def plain_pool(features: Tensor, sisms: Tensor) -> Tensor:
    sisms = F.interpolate(sisms[:, None], features.shape[-2:], mode="bilinear", align_corners=True)
    return F.normalize((F.normalize(features, dim=1) * sisms).mean(dim=(2, 3)), dim=1)


def plain_correlation(level: CoAttention, features: Tensor, vectors: Tensor) -> Tensor:
    """The input of a side's residual unit, for the whole group."""
    unit = F.normalize(features, dim=1)
    maps = F.normalize(torch.einsum("nchw,kc->nkhw", unit, vectors).flatten(2), dim=2)
    weights = torch.bmm(maps, maps.transpose(1, 2)).sum(dim=2).softmax(dim=1)
    attention = (maps * weights[:, :, None]).sum(dim=1)
    low, high = attention.amin(dim=1, keepdim=True), attention.amax(dim=1, keepdim=True)
    attention = (attention - low) / (high - low + 1e-12)
    flat = unit.flatten(2)
    correlation = torch.bmm(flat.transpose(1, 2), flat)
    order = attention.argsort(dim=1, descending=True)
    rearranged = correlation.gather(1, order[:, :, None].expand_as(correlation))
    rearranged = (rearranged * attention[:, None]).unflatten(2, features.shape[-2:])
    return level.correlation(rearranged)


def attentions(model: icnet.ICNet) -> dict[int, CoAttention]:
    return {8: model.attend8, 16: model.attend16, 32: model.attend32}


def plain(model: icnet.ICNet, levels: dict[int, Tensor], sisms: Tensor, *, whole: bool) -> list[Tensor]:
    made = []
    for stride, level in attentions(model).items():
        sides = [
            plain_correlation(level, levels[stride], plain_pool(levels[stride], side)) for side in (sisms, 1 - sisms)
        ]
        made.append(level.merge(torch.cat([level.side(side) for side in sides], dim=1)) if whole else sides[1])
    return made


def ours(model: icnet.ICNet, levels: dict[int, Tensor], sisms: Tensor, *, whole: bool, chunk: int = 0) -> list[Tensor]:
    """The last level's features when in chunks, which are dropped one after the other as a decoder would."""
    vectors = model.vectors(levels, sisms)
    made: list[Tensor] = []
    for start in range(0, len(sisms), chunk or len(sisms)):
        part = {stride: features[start : start + (chunk or len(sisms))] for stride, features in levels.items()}
        if whole:
            made = model.relate(part, vectors)
        else:
            made = [
                [torch.stack([level.correlate(image, side) for image in part[stride]]) for side in sides][1]
                for stride, level in attentions(model).items()
                for sides in [vectors[stride].unbind(dim=1)]
            ]
    return made


def in_chunks(model: icnet.ICNet, levels: dict[int, Tensor], sisms: Tensor, *, whole: bool) -> list[Tensor]:
    return ours(model, levels, sisms, whole=whole, chunk=8)


SIDES: dict[str, Callable[..., list[Tensor]]] = {"plain": plain, "ours": ours, "ours, 8 at a time": in_chunks}


def inputs(group: int, side: str) -> tuple[icnet.ICNet, dict[int, Tensor], Tensor]:
    torch.manual_seed(0)
    model = icnet.vgg16().eval().requires_grad_(False)
    model.backbone = nn.Identity()  # type: ignore[assignment]
    levels = {
        stride: torch.randn(group, channels, icnet.SIZE // stride, icnet.SIZE // stride)
        for stride, channels in zip(icnet.STRIDES, model.config.compressed, strict=True)
    }
    sisms = torch.rand(group, 1, 7, 7)
    if side != "plain":
        model = model.to(memory_format=torch.channels_last)
        levels = {stride: f.contiguous(memory_format=torch.channels_last) for stride, f in levels.items()}
    return model, levels, F.interpolate(sisms, (icnet.SIZE, icnet.SIZE), mode="bilinear", align_corners=True)[:, 0]


def apart() -> float:
    """The largest difference between both sides, of the largest value, for six images in double precision."""
    model, levels, sisms = inputs(6, "plain")
    given = model.double(), {stride: features.double() for stride, features in levels.items()}, sisms.double()
    pairs = zip(ours(*given, whole=True), plain(*given, whole=True), strict=True)
    return max((a - b).abs().max().item() / b.abs().max().item() for a, b in pairs)


def added_memory(side: str, group: int, whole: bool, threads: int, found: "multiprocessing.Queue[float]") -> None:
    torch.set_num_threads(threads)
    model, levels, sisms = inputs(group, side)
    first = {stride: features[:1] for stride, features in levels.items()}
    ours(model, first, sisms[:1], whole=True)  # libraries set up
    process, peak, done = psutil.Process(), 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.001):
            peak = max(peak, process.memory_info().rss)

    before = process.memory_info().rss
    watcher = threading.Thread(target=watch)
    watcher.start()
    SIDES[side](model, levels, sisms, whole=whole)
    done.set()
    watcher.join()
    found.put((peak - before) / 2**20)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--group", type=int, default=60)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    context = multiprocessing.get_context("spawn")
    given = {name: inputs(arguments.group, name) for name in SIDES}
    print(f"group of {arguments.group}; ours and plain, in double precision, are apart by {apart():.0e}")
    for whole, step in ((False, "correlation"), (True, "whole relate step")):
        seconds: dict[str, list[float]] = {name: [] for name in SIDES}
        for _ in range(arguments.turns):
            for name, side in SIDES.items():
                started = time.perf_counter()
                side(*given[name], whole=whole)
                seconds[name].append(time.perf_counter() - started)
        memory = {}
        for name in SIDES:
            found = context.Queue()
            child = context.Process(target=added_memory, args=(name, arguments.group, whole, arguments.threads, found))
            child.start()
            memory[name] = found.get()
            child.join()
        print(step)
        for name in SIDES:
            ratios = [theirs / mine for theirs, mine in zip(seconds["plain"], seconds[name], strict=True)]
            print(
                f"  {name:18s} {statistics.median(seconds[name]):6.2f} s  {memory[name]:6.0f} MB"
                f"   {statistics.median(ratios):.2f}x as quick   {memory[name] / memory['plain']:.3f} of the memory"
            )


if __name__ == "__main__":
    main()
