"""What a training step of a scene network costs on one core, by how deep Lite0 at stride 8 is read and how much learns.

python benchmarks/scene_step.py

Processor seconds (not the clock's, so that other work on the machine disturbs less) of the backbone's forward and
backward pass over four pictures of 320x240, and of a whole step of MCIBI and of its baseline.
"""

import argparse
import time
from collections.abc import Callable

import torch

from likewise.backbones import BACKBONES
from likewise.models.mcibi import FCN, MCIBI, MCIBIConfig
from likewise.train.frozen import learn_only
from likewise.weights import load_backbone

CLASSES = tuple(map(str, range(11)))
TAPS = (("blocks.4.2", "blocks.6.0"), ("blocks.4.2", "blocks.5.3"), ("blocks.4.2", "blocks.5.0"))
LEARN: tuple[tuple[str, ...], ...] = ((), ("blocks.3", "blocks.4", "blocks.5"))
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
    print("| read up to | learns | precision | backbone | with the baseline's head | with MCIBI's |")
    print("|---|---|---|---|---|---|")
    for taps in TAPS:
        for learn in LEARN:
            for precision in (torch.float32, torch.bfloat16):
                backbone = load_backbone(BACKBONES["lite0-stride8"].with_taps(*taps), frozen=False)
                backbone = backbone.to(memory_format=torch.channels_last)
                learn_only(backbone, learn)
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
                told = ", ".join(learn) or "all"
                print(f"| `{taps[1]}` | {told} | {str(precision)[6:]} | {times} |", flush=True)


if __name__ == "__main__":
    main()
