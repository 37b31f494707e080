"""CamVid with the memory against without: several seeds of both recipes, scored on test images.

python experiments/12-camvid-memory/run.py --data ../shared/data/CamVid --runs runs/camvid

Trains what is not yet trained (a stopped script goes on), chooses nothing, and prints a table. Choices are made with
`--split val`, which never opens the test images.
"""

import argparse
import statistics
from pathlib import Path

import torch

from likewise.data.scene_benchmarks import camvid_scenes
from likewise.evaluate.report.write import write_results
from likewise.evaluate.scenes import evaluate_scenes
from likewise.train.loop import train
from likewise.train.recipes.load import load_recipe

RECIPES = {"without memory": "fcn-camvid", "with memory": "mcibi-camvid"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--split", choices=("val", "test"), default="test")
    parser.add_argument("--side", type=int, help="the short side at which images are parsed; their own unless given")
    parser.add_argument("--scales", type=float, nargs="*", default=[0.75, 1.0, 1.25])
    parser.add_argument("--only", choices=tuple(RECIPES), help="one of the two")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="of both recipes")
    options = parser.parse_args()
    torch.set_num_threads(1)
    scenes = camvid_scenes(options.data, options.split)
    found: dict[str, dict[str, list[float]]] = {}
    for told, recipe in RECIPES.items():
        if options.only not in (None, told):
            continue
        for seed in options.seeds:
            settings = [f"data.root={options.data}", f"seed={seed}", *options.overrides]
            run = train(load_recipe(recipe, settings), options.runs / f"{recipe}-{seed}")
            out = run / (options.split if options.side is None else f"{options.split}-{options.side}")
            results = evaluate_scenes(run, scenes, out, scales=options.scales, side=options.side)
            write_results(results, out / "results.json")
            for part in results.parts:
                found.setdefault(part.name, {}).setdefault(told, []).append(part.scores.values["mIoU"])
                print(f"{told}, seed {seed}, {part.name}: {part.scores.values['mIoU']:.4f} mIoU", flush=True)
    print(f"\nmIoU on CamVid {options.split}, {len(scenes.scenes)} images, mean and spread of the seeds\n")
    print("| | " + " | ".join(found) + " |")
    print("|---|" + "---|" * len(found))
    for told in next(iter(found.values())):
        print(f"| {told} | " + " | ".join(shown(kind[told]) for kind in found.values()) + " |")
    if options.only is None:
        gains = [
            [one - other for one, other in zip(kind["with memory"], kind["without memory"], strict=True)]
            for kind in found.values()
        ]
        print("| gain, paired by seed | " + " | ".join(shown(gain) for gain in gains) + " |")


def shown(values: list[float]) -> str:
    spread = f" ± {statistics.stdev(values):.4f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.4f}{spread} ({', '.join(f'{value:.4f}' for value in values)})"


if __name__ == "__main__":
    main()
