"""Export the bundled few-shot backbone to ONNX: src/likewise/weights/pretrained/panet-lite0.onnx.

    python tools/export_pretrained.py

Run it after the weights change. The tests compare the file with the torch network.
"""

import json
import subprocess
from pathlib import Path

from likewise.engine.export import export_backbone
from likewise.weights import PRETRAINED
from likewise.weights.checkpoint import fingerprint
from likewise.weights.load import open_model
from likewise.weights.names import FEW_SHOT

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    name = "panet-lite0"
    network = open_model(name, FEW_SHOT).network
    record = json.loads((PRETRAINED / f"{name}.json").read_text())
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    path = PRETRAINED / f"{name}.onnx"
    card = {
        "weights": name,
        "commit": commit.stdout.strip(),
        "licence": json.dumps(record.get("licence", record.get("licences", ""))),
    }
    export_backbone(network.backbone, path, fingerprint=fingerprint(network), card=card)
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
