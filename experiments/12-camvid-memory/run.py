"""Train and score CamVid with and without the dataset memory, several seeds each.

    python experiments/12-camvid-memory/run.py --data CamVid --runs runs/camvid

Finished runs are reused, and interrupted ones resume. Settings are chosen with `--split val`, which never opens the
test images.
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
    parser.add_argument("--side", type=int, help="short side at which images are parsed; their own by default")
    parser.add_argument("--scales", type=float, nargs="*", default=[0.75, 1.0, 1.25])
    parser.add_argument("--only", choices=tuple(RECIPES), help="one variant")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="settings of both recipes")
    options = parser.parse_args()
    torch.set_num_threads(1)
    scenes = camvid_scenes(options.data, options.split)
    scores: dict[str, dict[str, list[float]]] = {}
    for variant, recipe in RECIPES.items():
        if options.only not in (None, variant):
            continue
        for seed in options.seeds:
            settings = [f"data.root={options.data}", f"seed={seed}", *options.overrides]
            run = train(load_recipe(recipe, settings), options.runs / f"{recipe}-{seed}")
            out = run / (options.split if options.side is None else f"{options.split}-{options.side}")
            results = evaluate_scenes(run, scenes, out, scales=options.scales, side=options.side)
            write_results(results, out / "results.json")
            for part in results.parts:
                scores.setdefault(part.name, {}).setdefault(variant, []).append(part.scores.values["mIoU"])
                print(f"{variant}, seed {seed}, {part.name}: {part.scores.values['mIoU']:.4f} mIoU", flush=True)
    print(f"\nmIoU on CamVid {options.split}, {len(scenes.scenes)} images, mean and standard deviation over seeds\n")
    print("| | " + " | ".join(scores) + " |")
    print("|---|" + "---|" * len(scores))
    for variant in next(iter(scores.values())):
        print(f"| {variant} | " + " | ".join(mean_and_seeds(kind[variant]) for kind in scores.values()) + " |")
    if options.only is None:
        gains = [
            [one - other for one, other in zip(kind["with memory"], kind["without memory"], strict=True)]
            for kind in scores.values()
        ]
        print("| gain, paired by seed | " + " | ".join(mean_and_seeds(gain) for gain in gains) + " |")


def mean_and_seeds(values: list[float]) -> str:
    """Return "mean ± standard deviation (each seed)"."""
    spread = f" ± {statistics.stdev(values):.4f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.4f}{spread} ({', '.join(f'{value:.4f}' for value in values)})"


if __name__ == "__main__":
    main()
