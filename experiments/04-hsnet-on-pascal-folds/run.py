"""HSNet on the small backbone against PANet on PASCAL-5i: trains what each fold needs, then measures both.

    python experiments/04-hsnet-on-pascal-folds/run.py --data PASCAL [--fold 0] [--runs runs]

For each fold, `hsnet-voc-small` learns on the fold's fifteen base classes. It looks at the five of another fold through
a PANet that was trained on the remaining ten alone, so that what it learns from is no better told apart than what it
will meet; for use it takes over the backbone of the fold's `panet-voc-small`. No image that shows a novel class is in
any of these trainings. What is there already is taken as it is, and what was stopped goes on.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

from likewise.data.class_names import PASCAL
from likewise.train.loop import train
from likewise.train.recipes.load import load_recipe

FOLDS = range(4)
STEPS_OF_PAIRS = 250
"""Of a PANet that ten classes are kept from; what has seen fewer classes is done sooner."""


def classes_of(fold: int) -> str:
    return "[" + ",".join(PASCAL[5 * fold : 5 * fold + 5]) + "]"


def trained_without(fold: int, other: int, data: Path, runs: Path) -> Path:
    """A PANet that was trained on the ten classes of the two remaining folds."""
    first, second = sorted((fold, other))
    settings = [
        f"data.root={data}",
        f"data.fold={first}",
        f"validation.classes={classes_of(second)}",
        "validation.episodes=10",
        "validation.every=1000",
        f"steps={STEPS_OF_PAIRS}",
    ]
    return train(load_recipe("panet-voc-small", settings), runs / f"panet-pair{first}{second}")


def trained(fold: int, data: Path, runs: Path) -> dict[str, Path]:
    """The fold's PANet and its HSNet."""
    settings = [f"data.root={data}", f"data.fold={fold}"]
    panet = train(load_recipe("panet-voc-small", settings), runs / f"panet-fold{fold}")
    pairs = [trained_without(fold, other, data, runs) for other in FOLDS if other != fold]
    start = ", ".join(str(run) for run in (*pairs, panet))
    hsnet = train(load_recipe("hsnet-voc-small", [*settings, f"model.start=[{start}]"]), runs / f"hsnet-fold{fold}")
    return {"panet": panet, "hsnet": hsnet}


def measured(run: Path, fold: int, shots: int, data: Path, out: Path) -> str:
    """mIoU of 1,000 episodes under hsnet-2021, in percent, with its interval."""
    words = ["evaluate", str(run), "--protocol", "hsnet-2021", "--data", str(data), "--fold", str(fold)]
    command = [Path(sys.executable).with_name("likewise"), *words, "--shots", str(shots), "-o", str(out)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    (part,) = json.loads((out / "results.json").read_text(encoding="utf-8"))["parts"]
    low, high = (100 * edge for edge in part["intervals"]["mIoU"])
    return f"{100 * part['values']['mIoU']:5.1f} [{low:4.1f}, {high:4.1f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="with VOC2012 and splits")
    parser.add_argument("--fold", type=int, choices=FOLDS, help="all unless given")
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    arguments = parser.parse_args()
    print("fold  shots  PANet              HSNet")
    for fold in FOLDS if arguments.fold is None else [arguments.fold]:
        models = trained(fold, arguments.data, arguments.runs)
        for shots in (1, 5):
            scores = [
                measured(run, fold, shots, arguments.data, arguments.runs / f"measured-{name}-fold{fold}-shots{shots}")
                for name, run in models.items()
            ]
            print(f"{fold:4d}  {shots:5d}  " + "  ".join(scores), flush=True)


if __name__ == "__main__":
    main()
