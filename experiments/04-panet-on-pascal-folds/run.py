"""Train PANet on the small backbone for each fold of PASCAL-5i and measure it with one and five shots.

    python experiments/04-panet-on-pascal-folds/run.py --data PASCAL [--fold 0] [--runs runs] [--pairs]

No image that shows a novel class is used in any training. With --pairs it also trains the six PANets that two folds are
left out of, which `experiments/05-whitening` reads. Finished runs are reused, and interrupted ones resume.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from itertools import combinations
from pathlib import Path

from likewise.io.class_lists import PASCAL
from likewise.train.loop import train
from likewise.train.recipes.load import load_recipe

FOLDS = range(4)
STEPS_OF_PAIRS = 250
"""Training steps of a PANet with ten training classes, against the 400 of the recipe for fifteen."""


def train_fold(fold: int, data: Path, runs: Path) -> Path:
    """Return the run of the PANet trained on the fifteen classes of the other folds."""
    return train(load_recipe("panet-voc-small", [f"data.root={data}", f"data.fold={fold}"]), runs / f"panet-fold{fold}")


def train_pair(first: int, second: int, data: Path, runs: Path) -> Path:
    """Return the run of the PANet trained on the ten classes of the two remaining folds."""
    left_out = "[" + ",".join(PASCAL[5 * second : 5 * second + 5]) + "]"
    settings = [
        f"data.root={data}",
        f"data.fold={first}",
        f"validation.classes={left_out}",
        "validation.episodes=10",
        "validation.every=1000",
        f"steps={STEPS_OF_PAIRS}",
    ]
    return train(load_recipe("panet-voc-small", settings), runs / f"panet-pair{first}{second}")


def measure(run: Path, fold: int, shots: int, data: Path, out: Path) -> str:
    """Return the mIoU of 1,000 episodes under hsnet-2021 in percent, with its interval."""
    words = ["evaluate", run, "--protocol", "hsnet-2021", "--data", data, "--fold", fold, "--shots", shots, "-o", out]
    command = [sys.executable, "-m", "likewise", *map(str, words)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    (part,) = json.loads((out / "results.json").read_text(encoding="utf-8"))["parts"]
    low, high = (100 * edge for edge in part["intervals"]["mIoU"])
    return f"{100 * part['values']['mIoU']:5.1f} [{low:4.1f}, {high:4.1f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with VOC2012 and splits")
    parser.add_argument("--fold", type=int, choices=FOLDS, help="one fold; all by default")
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--pairs", action="store_true", help="also train without pairs of folds")
    arguments = parser.parse_args()
    print("fold  shots  mIoU")
    for fold in FOLDS if arguments.fold is None else [arguments.fold]:
        run = train_fold(fold, arguments.data, arguments.runs)
        for shots in (1, 5):
            out = arguments.runs / f"measured-panet-fold{fold}-shots{shots}"
            print(f"{fold:4d}  {shots:5d}  {measure(run, fold, shots, arguments.data, out)}", flush=True)
    if arguments.pairs:
        for first, second in combinations(FOLDS, 2):
            print(train_pair(first, second, arguments.data, arguments.runs))


if __name__ == "__main__":
    main()
