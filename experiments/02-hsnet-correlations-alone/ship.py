"""Make the file that `likewise` bundles as hsnet-lite0 of a training without a fold.

    python run.py train --data DATA --fold 4 --backbone lite0 BUNDLED --transform centred --run runs/hsnet-lite0
    python ship.py --data DATA --bundled BUNDLED --run runs/hsnet-lite0

BUNDLED is the file panet-lite0.safetensors. The file has HSNet's own weights, and of the backbone what differs from
BUNDLED: batch norms that subtract the mean feature of training images. It is written into the folder of the run.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from run import (
    PASCAL,
    SPEC,
    Alone,
    Store,
    Transform,
    features_folder,
    masked_units,
    open_backbone,
    pairs_of,
    sides,
    units,
)
from safetensors.torch import save_file
from torch import Tensor

from likewise.models.hsnet import HSNet, HSNetConfig

NO_FOLD = 4
"""The fold that leaves out no class."""


@torch.inference_mode()
def subtract_means(net, means: dict[str, Tensor]) -> None:
    """Let the network's batch norms subtract a mean from the output of blocks of stages 2 to 6.

    The next block takes the mean back from the running mean of its first batch norm, so nothing else changes.
    """
    before, taken = None, None
    for module, mean in means.items():
        block = net.get_submodule(module)
        if taken is not None:
            block.bn1.running_mean -= block.conv_pw.weight[:, :, 0, 0] @ taken
        block.bn3.bias -= mean - taken if block.has_skip else mean
        before, taken = block, mean
    assert before is net.blocks[-1][-1]  # what follows would have to take the mean back


@torch.inference_mode()
def ship(arguments) -> None:
    """Write the bundled file: the averaged weights, and those of the backbone that the means change."""
    bundled = str(arguments.bundled)
    folder = features_folder(arguments.cache, bundled, {})
    store = Store(arguments.data, folder, bundled, "trn", NO_FOLD, {}, arguments.side)
    kept = torch.load(arguments.run / "checkpoint.pt", weights_only=True)
    alone = Alone(tuple(arguments.channels), rest=False).eval()
    alone.load_state_dict(kept["average"], strict=False)
    move = Transform("centred", store)
    model = HSNet(open_backbone(bundled), HSNetConfig(channels=tuple(arguments.channels))).eval()
    model.load_state_dict({name: value.half().float() for name, value in kept["average"].items()}, strict=False)
    start = {name: value.clone() for name, value in model.state_dict().items()}
    subtract_means(model.backbone.net, dict(zip([tap.module for tap in SPEC.taps], move.centre, strict=True)))

    differences = []
    for query, support in pairs_of(store, 20, 5):
        taps = [[tap[None].float() for tap in store.taps(one)] for one in (query, support)]
        shown = (store.mask(support, store.side) == 1).float()[None]
        expected = alone.logits([units(tap) for tap in move(taps[0])], sides(move(taps[1]), shown, False), (256, 256))
        pixels = [
            Image.open(store.data / f"VOC2012/JPEGImages/{store.entries[one][0]}.jpg").convert("RGB")
            for one in (query, support)
        ]
        images = np.stack([np.array(one.resize((store.side,) * 2, Image.Resampling.BILINEAR)) for one in pixels])
        found = model.taps(model.backbone.normalise(torch.from_numpy(images)))
        encoded = model.relate([units(tap[:1]) for tap in found], masked_units([tap[1:] for tap in found], shown))
        differences.append((model.decode(encoded, (256, 256)) - expected).abs().max().item())
    print(f"logits of 20 pairs differ by at most {max(differences):.4f} from those of training, in half precision")

    state = model.state_dict()
    entries = {name: value.half() for name, value in state.items() if not name.startswith("backbone.")}
    entries |= {name: value for name, value in state.items() if not torch.equal(value, start[name])}
    recipe = {
        "name": "hsnet-lite0",
        "source": {
            "paper": "HSNet, ICCV 2021, correlations alone, on a small backbone; for use, not for comparison",
            "command": "experiments/02-hsnet-correlations-alone/run.py train --fold 4, then ship.py",
            "steps": kept["step"],
        },
        "model": {
            "name": "hsnet",
            "backbone": "lite0",
            "first_tap": SPEC.taps[0].module,
            "channels": arguments.channels,
        },
    }
    header = {
        "recipe": json.dumps(recipe),
        "classes": json.dumps(PASCAL),
        "step": str(kept["step"]),
        "backbone": arguments.bundled.stem,
    }
    save_file(
        {name: value.contiguous() for name, value in entries.items()}, arguments.run / "hsnet-lite0.safetensors", header
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--bundled", type=Path, required=True, help="panet-lite0.safetensors")
    parser.add_argument("--run", type=Path, required=True, help="of the training")
    parser.add_argument("--cache", type=Path, default=Path("runs/hsnet-alone-features"))
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--channels", type=int, nargs=3, default=[16, 32, 64])
    ship(parser.parse_args())


if __name__ == "__main__":
    main()
