"""`likewise export`: a model, or a concept, as a folder of ONNX files with a card."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from likewise.engine.onnx import open_session
from likewise.errors import ModelError, OutputError
from likewise.export.check import Difference, compare
from likewise.export.concept import ConceptGraph
from likewise.export.networks import (
    export_backbone,
    export_concept,
    export_groups,
    export_hsnet,
    export_saliency,
    export_scenes,
)
from likewise.io.atomic import write_atomically
from likewise.io.digests import file_digest
from likewise.predict.concept import Concept
from likewise.predict.few_shot import FewShot
from likewise.predict.torch_networks import stored_labels, training_side
from likewise.version import __version__
from likewise.weights.checkpoint import fingerprint
from likewise.weights.exported import CARD, CARD_FORMAT
from likewise.weights.imagenet import load_semantic
from likewise.weights.load import open_model
from likewise.weights.names import CO_SALIENCY, FEW_SHOT, MODELS, SALIENCY, SCENES

IMAGE = "RGB image, uint8, height x width x 3, values 0 to 255; the graph normalises it"
NOTES = {
    "backbone": f"images: {IMAGE}. Both sides are multiples of {{multiple}}; resize with an antialiased bilinear "
    "filter (Pillow's) to about 320 x 320 pixels, keeping the aspect. Outputs: a feature map for each tap.",
    "units": f"images: {IMAGE}. Both sides are multiples of 16, at least 32; resize with an antialiased bilinear "
    "filter to about {{side}} x {{side}} pixels, keeping the aspect. masks8, masks16, masks32: an example's mask at "
    "the size of each output, float32 in [0, 1]; for a query ones of shape (1, 1, 1). Outputs: unit features.",
    "logits": "units8, units16, units32: of one query. The other inputs describe one example; "
    "`likewise.ops.hypercorrelation.products.operands` makes them of its unit features. logits: of background and "
    "foreground, at a quarter of the query's size.",
    "maps": f"images: {IMAGE}; resize to {{side}} x {{side}} with an antialiased bilinear filter. maps: the "
    "probability that a pixel is salient; resize it to the image.",
    "vectors": f"images: {IMAGE}; resize to {{side}} x {{side}}. maps: its saliency map of that size, float32 in "
    "[0, 1]. Outputs: the image's vectors; concatenate those of the group along the first axis.",
    "masks": "images and maps: as for vectors. vectors8, vectors16, vectors32: those of all images of the group. "
    "probabilities: of the common object; resize it to the image.",
    "scenes": f"images: {IMAGE}; any size, for this model with a short side of about {{side}} pixels (0: its own). "
    "probabilities: of each class at every pixel, in the order {classes}.",
    "concept": f"images: one {IMAGE}; any size from 16 pixels a side. probabilities: of background and {{classes}} "
    "at every pixel of the image; they sum to 1. Outlines are not refined to image edges, and presence is not judged.",
}
"""What goes in and comes out of the graph of each role."""


@dataclass(frozen=True)
class Export:
    """An exported folder.

    Attributes:
        name: of the model.
        method: of the model, or "concept".
        files: in the folder.
        differences: from torch, for each graph, if they were compared.
    """

    name: str
    method: str
    files: tuple[Path, ...]
    differences: tuple[Difference, ...] = ()


def export_model(
    model: str | Path,
    out: str | Path,
    *,
    backbone: str = "lite0",
    taps: Sequence[str] = (),
    weights: str | Path | None = None,
    check: bool = False,
    force: bool = False,
) -> Export:
    """Write a model that `likewise` runs from the folder without torch.

    Args:
        model, backbone, taps, weights: as for `FewShot`, `CoSaliency`, `Saliency` or `SceneParser`.
        check: compare the graphs with torch on a few inputs.
        force: overwrite files of an earlier export.

    Raises:
        ModelError: an unknown model, or one that cannot be exported.
        OutputError: the folder has files already.
    """
    refuse_exported(model)
    methods = (*FEW_SHOT, *CO_SALIENCY, *SALIENCY, *SCENES)
    opened = open_model(model, methods, weights=weights, backbone=backbone, taps=taps)
    out = prepare_folder(Path(out), force=force)
    entries = {"name": opened.name, "weights": str(model)}
    network: Any = opened.network
    settings: dict[str, Any] = {}
    graphs: dict[str, Path]
    with exporting(str(model)):
        if opened.method in SALIENCY:
            graphs = {"maps": out / "maps.onnx"}
            export_saliency(network, graphs["maps"], card=entries)
        elif opened.method in CO_SALIENCY:
            graphs = {"vectors": out / "vectors.onnx", "masks": out / "masks.onnx"}
            export_groups(network, graphs["vectors"], graphs["masks"], card=entries)
        elif opened.method == "hsnet":
            graphs = {"units": out / "units.onnx", "logits": out / "logits.onnx"}
            settings = {"authors": opened.authors}
            export_hsnet(network, graphs["units"], graphs["logits"], card=entries)
        elif opened.method in SCENES:
            graphs = {"scenes": out / "scenes.onnx"}
            settings = {"classes": list(opened.trained_classes), "side": training_side(model)}
            labels = json.dumps(stored_labels(model, len(opened.trained_classes)))
            card = {"classes": json.dumps(settings["classes"]), "labels": labels, "side": str(settings["side"])}
            export_scenes(network, graphs["scenes"], card=entries | card)
        else:
            graphs = {"backbone": out / "backbone.onnx"}
            bundled = weights is None and str(model) in MODELS and MODELS[str(model)].world is not None
            export_backbone(
                network.backbone,
                graphs["backbone"],
                semantic=load_semantic() if bundled else None,
                fingerprint=fingerprint(network),
            )
            if opened.method == "panet":
                config = network.config
                settings = {"scale": config.scale, "pool_at": config.pool_at, "align_corners": config.align_corners}
    write_card(out, opened.name, opened.method, graphs, settings, opened.trained_classes)
    differences = compare(opened.method, network, graphs) if check else ()
    return Export(opened.name, opened.method, tuple(graphs.values()), differences)


def export_baked(
    path: str | Path,
    out: str | Path,
    *,
    model: str | Path | None = None,
    weights: str | Path | None = None,
    check: bool = False,
    force: bool = False,
) -> Export:
    """Write a concept and its model as one graph for other programs: an image in, probabilities out.

    Args:
        path: the concept's file.
        model, weights: that the concept was learned with; by default the bundled model of the concept's name.
        check, force: as for `export_model`.

    Raises:
        ConceptError: a concept of another model or of other weights.
        ModelError, OutputError: as for `export_model`.
    """
    concept = Concept.load(path)
    if model is None and concept.model not in MODELS:
        raise ModelError(f"{path} was learned with {concept.model}, which is not bundled; name it with --model")
    source = concept.model if model is None else model
    refuse_exported(source)
    name, _, taps = concept.backbone.partition("@")
    choice: dict[str, Any] = {"weights": weights}
    if source in ("prototypes", "panet"):
        choice |= {"backbone": name, "taps": taps.split("+")}
    opened = open_model(source, FEW_SHOT, **choice)
    if opened.method == "hsnet":
        raise ModelError(
            f"{path} is a concept of an HSNet, which cannot be baked into one graph: a support of any size is many "
            "inputs; export the model, or learn the concept with prototypes or panet"
        )
    few_shot = FewShot(
        str(source), engine="torch", device="cpu", side=concept.side, quality="fast", edges=False, **choice
    )
    few_shot.check(concept)
    out = prepare_folder(Path(out), force=force)
    graph = out / "concept.onnx"
    module = ConceptGraph(few_shot, opened.network.backbone, few_shot.head.prepare(concept).own)
    classes = list(concept.classes)
    with exporting(str(path)):
        export_concept(
            module,
            graph,
            card={"name": opened.name, "fingerprint": concept.fingerprint, "classes": json.dumps(classes)},
        )
    write_card(out, opened.name, "concept", {"concept": graph}, {"classes": classes}, ())
    differences = compare("concept", (few_shot, concept), {"concept": graph}) if check else ()
    return Export(opened.name, "concept", (graph,), differences)


def refuse_exported(model: str | Path) -> None:
    """Raise a `ModelError` for a folder that is an export itself."""
    if str(model) not in MODELS and (Path(model) / CARD).is_file():
        raise ModelError(f"{model} is an exported model already; give the model that it was made from")


def prepare_folder(out: Path, *, force: bool) -> Path:
    """Create the folder; raise an `OutputError` if it holds other files, or an export and not `force`."""
    if out.exists() and not out.is_dir():
        raise OutputError(f"{out} is a file; give a folder")
    if out.is_dir() and any(out.iterdir()) and not (force and (out / CARD).is_file()):
        raise OutputError(f"{out} is not empty; give a new folder, or --force to replace an earlier export")
    out.mkdir(parents=True, exist_ok=True)
    return out


@contextmanager
def exporting(model: str) -> Iterator[None]:
    """Turn an error of torch's exporter in the block into a `ModelError`."""
    try:
        yield
    except (torch.onnx.errors.OnnxExporterError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ModelError(
            f"{model} cannot be exported: torch's exporter cannot express its network ({reason})"
        ) from error


def write_card(
    out: Path,
    name: str,
    method: str,
    graphs: Mapping[str, Path],
    settings: Mapping[str, Any],
    trained_classes: Sequence[str],
) -> None:
    """Write `card.json` and `README.md`."""
    entries, lines = {}, [f"# {name}", "", f"Exported by likewise {__version__}; method: {method}."]
    for role, path in graphs.items():
        session = open_session(path, "cpu")
        metadata = dict(session.get_modelmeta().custom_metadata_map)
        note = NOTES[role].format_map(metadata | {"classes": ", ".join(settings.get("classes", ()))})
        digest = file_digest(path)
        inputs = [describe_value(value) for value in session.get_inputs()]
        outputs = [describe_value(value) for value in session.get_outputs()]
        entries[role] = {"file": path.name, "sha256": digest, "inputs": inputs, "outputs": outputs, "use": note}
        lines += ["", f"## {path.name}", "", note, "", f"- SHA-256: `{digest}`"]
        lines += [f"- fingerprint of the weights: `{metadata['fingerprint']}`"]
        lines += [f"- input {value}" for value in inputs] + [f"- output {value}" for value in outputs]
    card = {
        "likewise": "export",
        "format": CARD_FORMAT,
        "version": __version__,
        "model": name,
        "method": method,
        "settings": settings,
        "trained_classes": list(trained_classes),
        "graphs": entries,
    }
    for file, text in ((CARD, json.dumps(card, indent=1)), ("README.md", "\n".join(lines))):
        with write_atomically(out / file) as part:
            part.write_text(text + "\n", encoding="utf-8")


def describe_value(value: Any) -> str:
    """Return name, type and shape of an input or output of a graph."""
    shape = ", ".join(map(str, value.shape))
    return f"{value.name}: {value.type.removeprefix('tensor(').removesuffix(')')} ({shape})"
