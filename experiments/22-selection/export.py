"""Write the trained network as `selector-lite0.onnx`.

python experiments/22-selection/export.py selector.pt src/likewise/weights/pretrained/selector-lite0.onnx
"""

import sys
from pathlib import Path

import torch
from network import COARSE, FINE, ClickNetwork

from likewise.engine.onnx import MARKS, OnnxBackbone
from likewise.export.write import write_graph
from likewise.weights.names import PANET_LITE0


def main(weights: Path, out: Path) -> None:
    network = ClickNetwork().eval()
    network.load_state_dict({name: each.half().float() for name, each in torch.load(weights).items()})
    sizes = {"middle": (112, 16), "deep": (512, 32), "coarse": (COARSE, 16), "fine": (FINE, 4)}
    examples = [torch.rand(1, channels, 320 // stride, 448 // stride) for channels, stride in sizes.values()]
    axes = {name: {2: f"h{stride}", 3: f"w{stride}"} for name, (_, stride) in sizes.items()}
    backbone = OnnxBackbone(PANET_LITE0[1]["backbone"])
    axes["logits"] = {1: "h4", 2: "w4"}
    card = {"kind": MARKS, "name": "selector-lite0", "fingerprint": backbone.fingerprint}
    write_graph(network, examples, out, inputs=list(sizes), outputs=["logits"], axes=axes, card=card)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
