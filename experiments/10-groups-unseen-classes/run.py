"""Score co-saliency on groups of classes that were never trained on: four folds of five classes, as in PASCAL-5i.

    python experiments/10-groups-unseen-classes/run.py --data DATA --fold 0 [--runs runs]
    python experiments/10-groups-unseen-classes/run.py --data DATA --fold all --score-only

Three networks are trained for each fold. `saliency-lite0` and `icnet-lite0`, with fewer steps: without the groups of
the fold, without images that show one of its classes or have the content of one of its groups, and without DAVIS
sequences and CCP photographs that show such a class. `panet-voc-small`, whose backbone ICNet starts from: on the base
classes of the fold, without images in which a novel class is labelled. Then `experiments/09-groups-held-out` scores
the groups of the fold, whole. The backbone was trained on all classes of ImageNet.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from likewise.io.class_lists import PASCAL
from likewise.train.loop import train
from likewise.train.recipes.load import load_recipe
from likewise.train.recipes.schema import Recipe

GROUPS = (
    ("Aero", "Bicycle", "Bird", "Boat", "Bottle"),
    ("Bus", "Car", "Cat", "Chair", "Cow"),
    ("Table", "Dog", "Horse", "Mbike", "Person"),
    ("Plant", "Sheep", "Sofa", "Train", "Monitor"),
)
SEQUENCES = (
    ("bmx-trees",),
    ("car-roundabout", "drift-chicane"),
    (
        *("bmx-trees", "breakdance", "car-roundabout", "dance-twirl", "dog", "drift-chicane", "horsejump-high"),
        *("motocross-jump", "paragliding-launch", "parkour"),
    ),
    (),
)
"""DAVIS sequences that show a class of the fold, labelled or not."""


def recipe_of(name: str, data: Path, fold: int, steps: int, *overrides: str) -> Recipe:
    """Return a recipe that trains on nothing that shows the fold's classes."""
    classes = ", ".join(PASCAL[5 * fold : 5 * fold + 5])
    groups, sequences = ", ".join(GROUPS[fold]), ", ".join(SEQUENCES[fold])
    sources = [
        f"{{set: pascal5i, folder: ., weight: 5, without: [{classes}]}}",
        f"{{set: cosaliency, folder: VOC-coseg, weight: 3, without: [{groups}]}}",
        f"{{set: davis, folder: DAVIS, weight: 0.5, without: [{sequences}]}}",
    ]
    if fold != 2:  # all photographs of CCP show persons
        sources.append("{set: label_folders, folder: CCP, weight: 0.5, as_one: person}")
    return load_recipe(
        name,
        [
            f"data.root={data}",
            f"data.sources=[{', '.join(sources)}]",
            "data.held_out.folder=VOC-coseg",
            "data.held_out.every=null",
            f"data.held_out.groups=[{groups}]",
            f"steps={steps}",
            *overrides,
        ],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="with VOC2012, splits, VOC-coseg, DAVIS and CCP")
    parser.add_argument("--fold", default="all", choices=["0", "1", "2", "3", "all"])
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument(
        "--steps", type=int, nargs=2, default=(300, 150), help="training steps of the saliency network and of ICNet"
    )
    parser.add_argument("--score-only", action="store_true", help="reuse finished runs")
    arguments = parser.parse_args()
    for fold in range(4) if arguments.fold == "all" else [int(arguments.fold)]:
        maps, backbone, model = (arguments.runs / f"{name}-fold{fold}" for name in ("saliency", "panet", "icnet"))
        if not arguments.score_only:
            train(recipe_of("saliency-lite0", arguments.data, fold, arguments.steps[0]), maps)
            if not (backbone / "record.json").is_file():
                train(load_recipe("panet-voc-small", [f"data.root={arguments.data}", f"data.fold={fold}"]), backbone)
            own = f"data.maps={maps}", f"model.start={backbone}", "average=0.96"  # a shorter average for fewer steps
            train(recipe_of("icnet-lite0", arguments.data, fold, arguments.steps[1], *own), model)
        words = ["--data", arguments.data / "VOC-coseg", "--model", model, "--maps", maps]
        script = Path(__file__).parents[1] / "09-groups-held-out" / "run.py"
        subprocess.run([sys.executable, script, *words, "--groups", *GROUPS[fold]], check=True)


if __name__ == "__main__":
    main()
