"""Measure the cost of a training step of a scene network on one core, by taps and learned layers.

    python benchmarks/scene_step.py

Processor seconds, which other work on the machine disturbs less than wall time, of the backbone's forward and backward
pass over four images of 320x240, and of a whole step of MCIBI and of its baseline. Backbone: Lite0 at stride 8.
"""

import argparse
import time
from collections.abc import Callable

import torch
from torch import nn

from likewise.backbones.specs import BACKBONES
from likewise.models.fcn import FCN
from likewise.models.mcibi import MCIBI, MCIBIConfig
from likewise.train.kernels import use_fast_depthwise
from likewise.train.tasks.build import learn_only
from likewise.weights.imagenet import load_backbone

CLASSES = tuple(map(str, range(11)))
ALL, DEEP = "all", "from `blocks.3` on"
POINTWISE = f"{DEEP}, not the depthwise"
FLOAT, BFLOAT = torch.float32, torch.bfloat16
# (read up to, what learns, precision, our own backward pass of the depthwise convolutions)
CASES = (
    ("blocks.6.0", ALL, FLOAT, False),
    ("blocks.6.0", ALL, BFLOAT, True),
    ("blocks.5.0", ALL, FLOAT, False),
    ("blocks.5.0", DEEP, FLOAT, False),
    ("blocks.5.0", DEEP, FLOAT, True),
    ("blocks.5.0", DEEP, BFLOAT, False),
    ("blocks.5.0", DEEP, BFLOAT, True),
    ("blocks.5.0", POINTWISE, BFLOAT, True),
)
SMALL = MCIBIConfig(channels=128, attention_channels=64)


def seconds(step: Callable[[], None], turns: int) -> float:
    """Of the processor, the least of some turns."""
    step()
    found = []
    for _ in range(turns):
        began = time.process_time()
        step()
        found.append(time.process_time() - began)
    return min(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=3)
    turns = parser.parse_args().turns
    torch.set_num_threads(1)
    torch.manual_seed(0)
    images = torch.randn(4, 3, 240, 320).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(0, len(CLASSES), (4, 240, 320))
    print("| read up to | learns | precision | depthwise | backbone | with the baseline's head | with MCIBI's |")
    print("|---|---|---|---|---|---|---|")
    for top, learns, precision, quick in CASES:
        backbone = load_backbone(BACKBONES["lite0-stride8"].with_taps("blocks.4.2", top), frozen=False)
        backbone = backbone.to(memory_format=torch.channels_last)
        if learns != ALL:
            learn_only(backbone, ("blocks.3", "blocks.4", "blocks.5"))
        if learns == POINTWISE:
            for module in backbone.modules():
                if isinstance(module, nn.Conv2d) and module.groups > 1:
                    module.requires_grad_(False)
        if quick:
            use_fast_depthwise(backbone)
        fcn, mcibi = FCN(backbone, CLASSES, channels=128), MCIBI(backbone, CLASSES, SMALL)
        for model in (fcn, mcibi):
            model.train()
            backbone.eval()

        def alone(backbone=backbone, precision=precision) -> None:
            with torch.autocast("cpu", precision, enabled=precision != torch.float32):
                levels = backbone(images)
            sum(level.float().mean() for level in levels if level.requires_grad).backward()

        def with_fcn(model=fcn, precision=precision) -> None:
            with torch.autocast("cpu", precision, enabled=precision != torch.float32):
                loss = model.loss(images, labels)
            loss.backward()

        def with_mcibi(model=mcibi, precision=precision) -> None:
            with torch.autocast("cpu", precision, enabled=precision != torch.float32):
                stages = model.stages(images)
                model.memory.update(stages.features.detach(), labels, 0.5)
                loss = torch.stack(list(model.loss(stages, labels))).sum()
            loss.backward()

        times = " | ".join(f"{seconds(step, turns):.2f} s" for step in (alone, with_fcn, with_mcibi))
        depthwise = "ours" if quick else "torch's"
        print(f"| `{top}` | {learns} | {str(precision)[6:]} | {depthwise} | {times} |", flush=True)


if __name__ == "__main__":
    main()
