"""Makes `hsnet-lite0`: the mean of the weights of HSNet trained on PASCAL and of HSNet trained on all data.

    python experiments/07-hsnet-lite0-weights/run.py --data DATA --runs runs

`runs` holds what `experiments/04-hsnet-on-pascal-folds/run.py` trained; both networks start from it, with the same weights, so that their
mean lies between them (Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022). Trains what is not yet
trained, and leaves the mean in `runs/hsnet-lite0`.
"""

import argparse
import hashlib
import json
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import load_file, save_file

from likewise.train.loop import train
from likewise.train.recipes.load import load_recipe

RECIPES = "hsnet-pascal", "hsnet-mixture"


def mean_of(runs: list[Path], out: Path) -> Path:
    """A folder with the mean of these runs' weights; classes and recipe, but for its name, are those of the last."""
    states = [load_file(run / "weights.safetensors") for run in runs]
    with safe_open(runs[-1] / "weights.safetensors", "pt") as last:
        header = last.metadata()
    header["recipe"] = json.dumps({**json.loads(header["recipe"]), "name": out.name})
    mean = {
        name: (sum(state[name].double() for state in states) / len(states)).to(value.dtype)
        for name, value in states[-1].items()
    }
    out.mkdir(parents=True, exist_ok=True)
    weights = out / "weights.safetensors"
    save_file(mean, weights, metadata=header)
    records = [json.loads((run / "record.json").read_text(encoding="utf-8")) for run in runs]
    record = {
        **records[-1],
        "weights": {"file": weights.name, "sha256": hashlib.sha256(weights.read_bytes()).hexdigest()},
        "weights are the mean of these and": records[:-1],
    }
    (out / "record.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="with VOC2012, splits, VOC-coseg, DAVIS and CCP")
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    arguments = parser.parse_args()
    trained = [
        train(load_recipe(recipe, [f"data.root={arguments.data}"]), arguments.runs / recipe) for recipe in RECIPES
    ]
    print(mean_of(trained, arguments.runs / "hsnet-lite0"))


if __name__ == "__main__":
    main()
