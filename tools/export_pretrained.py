"""Export the bundled networks to ONNX, in src/likewise/weights/pretrained.

    python tools/export_pretrained.py

- panet-lite0.onnx: the backbone of the few-shot models; it holds the weights of the semantic map only.
- hsnet-lite0.units.onnx, hsnet-lite0.logits.onnx: HSNet's backbone, and what follows it.
- saliency-lite0.onnx, icnet-lite0.vectors.onnx, icnet-lite0.masks.onnx.

The other weights of a graph are in the .safetensors file beside it; those of HSNet's backbone in panet-lite0's
files, so export all of them together.

The model cards beside them get the files' hashes. Run it after the weights change; it needs torch and onnx. The tests
compare the files with the torch networks.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from likewise.export.networks import export_backbone, export_groups, export_hsnet, export_saliency
from likewise.io.digests import file_digest
from likewise.weights import PRETRAINED
from likewise.weights.checkpoint import fingerprint
from likewise.weights.imagenet import load_semantic
from likewise.weights.load import open_model
from likewise.weights.names import CO_SALIENCY, FEW_SHOT, SALIENCY

ROOT = Path(__file__).resolve().parents[1]


def card_of(name: str) -> dict[str, str]:
    """Return the metadata that all bundled graphs have."""
    record = json.loads((PRETRAINED / f"{name}.json").read_text())
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return {
        "weights": name,
        "commit": commit.stdout.strip(),
        "licence": json.dumps(record.get("licence", record.get("licences", ""))),
    }


def main() -> None:
    name = "panet-lite0"
    network = open_model(name, FEW_SHOT).network
    export_backbone(
        network.backbone,
        PRETRAINED / f"{name}.onnx",
        semantic=load_semantic(),
        fingerprint=fingerprint(network),
        card=card_of(name),
        weights=[PRETRAINED / f"{name}.safetensors"],
    )
    name = "hsnet-lite0"
    export_hsnet(
        open_model(name, FEW_SHOT).network,
        PRETRAINED / f"{name}.units.onnx",
        PRETRAINED / f"{name}.logits.onnx",
        card={"name": name, **card_of(name)},
        weights=[PRETRAINED / own for own in ("panet-lite0.safetensors", "panet-lite0.onnx", f"{name}.safetensors")],
    )
    name = "saliency-lite0"
    export_saliency(
        open_model(name, SALIENCY).network,
        PRETRAINED / f"{name}.onnx",
        card={"name": name, **card_of(name)},
        weights=[PRETRAINED / f"{name}.safetensors"],
    )
    name = "icnet-lite0"
    export_groups(
        open_model(name, CO_SALIENCY).network,
        PRETRAINED / f"{name}.vectors.onnx",
        PRETRAINED / f"{name}.masks.onnx",
        card={"name": name, **card_of(name)},
        weights=[PRETRAINED / f"{name}.safetensors"],
    )
    for record in sorted(PRETRAINED.glob("*.json")):
        card = json.loads(record.read_text())
        graphs = [
            path for path in sorted(PRETRAINED.glob(f"{record.stem}.*onnx")) if path.name != card["weights"]["file"]
        ]
        card["exported"] = {path.name: file_digest(path) for path in graphs}
        record.write_text(json.dumps(card, indent=1, ensure_ascii=False) + "\n")
        for path in graphs:
            print(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
