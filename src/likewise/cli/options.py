"""Options that several commands share."""

from __future__ import annotations

from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from likewise.errors import ArgumentError
from likewise.weights import PRESENCE

if TYPE_CHECKING:
    from likewise.predict.few_shot import FewShot
    from likewise.predict.find_examples import Marks

Paths = Annotated[list[str], typer.Argument(metavar="PATHS...", help="Images, folders (searched recursively), globs.")]
Out = Annotated[Path, typer.Option("--out", "-o", help="Folder for the results; created if missing.")]
FollowLinks = Annotated[bool, typer.Option("--follow-links", help="Follow links that lead out of a folder in PATHS.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Check everything and count the images; write nothing.")]
Memory = Annotated[
    str | None,
    typer.Option(
        "--memory",
        metavar="SIZE",
        help="Memory for images in work, such as 4G. \\[half of what is free]",
    ),
]
MaxPixels = Annotated[
    str | None,
    typer.Option("--max-pixels", metavar="NUMBER", help="Largest number of pixels of an image, such as 400M. \\[178M]"),
]
Pages = Annotated[
    str, typer.Option("--pages", metavar="first|all", help="Pages of TIFF files: the first, or a mask for each.")
]
Channels = Annotated[
    str | None,
    typer.Option(
        "--channels",
        metavar="R,G,B",
        help="Channels of TIFF files, from 1, such as 4,3,2; or one. \\[the first three]",
    ),
]
OneScale = Annotated[
    bool,
    typer.Option("--one-scale", help="Scale all TIFF files of more than 8 bits by common limits."),
]
Window = Annotated[
    int | None,
    typer.Option(
        "--window",
        help="Side in pixels of the windows of GeoTIFFs and large TIFF files. \\[that of the examples' images]",
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Process finished images again and overwrite existing files.")]


FORMATS = (
    "mask, labels, instance, probability, overlay, cutout, geojson, coco, yolo, voc, labelme, cvat, label-studio, "
    "table, parquet, areas, scores"
)


def format_option(default: str, names: str = FORMATS) -> Any:
    """Return the type of a `--format` option with this default, for its help text."""
    help = f"{names}. \\[{default}]"
    return Annotated[list[str] | None, typer.Option("--format", "-f", metavar="FORMAT...", help=help)]


Formats = format_option("mask")

Like = Annotated[
    list[str],
    typer.Option(
        "--like",
        metavar="EXAMPLE",
        help="What to find; may be repeated: [bold]image=mask[/bold]; an image with its mask beside it (x.mask.png, "
        "x_mask.png, or x.png beside x.jpg) or in masks/ beside images/; a folder of such pairs, whose subfolders are "
        "classes; an annotation file or folder (COCO, YOLO, VOC, labelme, CVAT, Label Studio, cellpose, GeoJSON); a "
        ".concept file, also hf://owner/name/cat.concept.",
    ),
]
Unlike = Annotated[
    list[str] | None,
    typer.Option(
        "--unlike",
        metavar="IMAGE",
        help="Negatives: images, folders or globs without the object; [bold]image=mask[/bold] of another object.",
    ),
]
Presence = Annotated[
    float, typer.Option("--presence", help="A class less likely than this to be in an image gets an empty mask there.")
]
FitPresence = Annotated[
    bool,
    typer.Option(
        "--fit-presence", help="Judge presence as suits these images: helps with one example; reads each once more."
    ),
]
Always = Annotated[bool, typer.Option("--always", help="Mark the most similar region in every image: --presence 0.")]
World = Annotated[
    Path | None,
    typer.Option("--world", help="File of [bold]likewise world[/bold], for models that bring none."),
]
Boxes = Annotated[
    list[str] | None,
    typer.Option(
        "--box",
        metavar="X0,Y0,X1,Y1...",
        help="Boxes in pixels instead of masks, one for each example image, in order; or several for one image. The "
        "object inside is masked, all outside is background; use --box-only if another object is outside.",
    ),
]
BoxOnly = Annotated[
    bool, typer.Option("--box-only", help="Only a ring around each box counts as background; the rest is unknown.")
]
Points = Annotated[
    list[str] | None,
    typer.Option(
        "--points",
        metavar="X,Y,+ X,Y,-...",
        help="Points in pixels on the object (+) and not on it (-), instead of masks. For several example images, one "
        "quoted list for each, in order.",
    ),
]
Scribbles = Annotated[
    list[Path] | None,
    typer.Option(
        "--scribbles",
        metavar="FILE",
        help="Strokes instead of masks, one file for each example image, in order: green on the object, red on the "
        "background.",
    ),
]
Label = Annotated[
    str | None,
    typer.Option(
        "--label",
        help="The object in masks of several classes: a value (7), a colour (128,0,0), a name of the palette, or "
        "nonzero for all but 0.",
    ),
]
Palette = Annotated[
    str | None,
    typer.Option(
        "--palette",
        metavar="FILE",
        help="Names and colours for --label: CVAT's labelmap.txt, a table, or voc. \\[a file beside the mask]",
    ),
]
Classes = Annotated[
    str | None, typer.Option("--classes", metavar="NAME,NAME", help="Classes to take from the examples. \\[all]")
]
Invert = Annotated[bool, typer.Option("--invert/--no-invert", help="The masks of the examples are inverted.")]
Strict = Annotated[
    bool, typer.Option("--strict", help="Stop at an example that cannot be used, instead of leaving it out.")
]
Maps = Annotated[
    str,
    typer.Option(
        "--maps",
        help="Single-image saliency maps: a folder of maps named like their images; saliency-lite0; a training run; "
        "or an ONNX saliency model.",
    ),
]
Then = Annotated[
    str | None,
    typer.Option(
        "--then",
        help="segment: use the best masks as examples and average both probabilities. consensus: keep the salient "
        "regions that recur, without ICNet.",
    ),
]
Model = Annotated[
    str,
    typer.Option(
        "--model",
        help="See [bold]likewise models[/bold]; or hf://owner/name, or a folder of save_pretrained.",
    ),
]
BackboneName = Annotated[
    str,
    typer.Option(
        "--backbone",
        help="Backbone of the models prototypes and panet: one of [bold]likewise backbones[/bold] or any timm model, "
        "as NAME or NAME@TAP+TAP.",
    ),
]
Weights = Annotated[Path | None, typer.Option("--weights", help="Weights file: see [bold]likewise models[/bold].")]
Side = Annotated[
    int | None,
    typer.Option("--side", help="Images are resized to about SIDE x SIDE pixels. \\[the model's, 320 or 400]"),
]
SceneWindow = Annotated[int, typer.Option("--window", min=1, help="Side in pixels of the windows of larger images.")]
ShortSide = Annotated[
    int | None,
    typer.Option("--side", min=0, help="Short side of the resized images; 0 keeps their size. \\[as trained]"),
]
Engine = Annotated[
    str, typer.Option("--engine", help="auto, onnx (bundled models, no torch needed) or torch (all models).")
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, mps, ...")]
Precision = Annotated[
    str,
    typer.Option(
        "--precision", help="float32, or bfloat16: less accurate, and faster only with bfloat16 instructions."
    ),
]
Instances = Annotated[
    bool, typer.Option("--instances", help="Separate objects that touch; files have one annotation for each.")
]
Quality = Annotated[
    str | None,
    typer.Option(
        "--quality",
        help="fast: look at an image once; balanced: look again where the object may be, at twice the size. "
        "\\[balanced, fast for HSNet]",
    ),
]
Edges = Annotated[bool, typer.Option("--edges/--no-edges", help="Refine outlines to image edges.")]


@dataclass(frozen=True)
class MarkOptions:
    """How the examples are marked."""

    boxes: Boxes = None
    box_only: BoxOnly = False
    points: Points = None
    scribbles: Scribbles = None
    label: Label = None
    palette: Palette = None
    classes: Classes = None
    invert: Invert = False
    strict: Strict = False

    def marks(self) -> Marks:
        """Return the keyword arguments of `find_examples`."""
        several: Any = {name: getattr(self, name) or () for name in ("boxes", "points", "scribbles")}
        return vars(self) | several | {"classes": names(self.classes)}


@dataclass(frozen=True)
class NetworkOptions:
    """The network of a few-shot model, and where it runs."""

    backbone: BackboneName = "lite0"
    weights: Weights = None
    side: Side = None
    engine: Engine = "auto"
    device: Device = "auto"
    precision: Precision = "float32"


@dataclass(frozen=True)
class SegmenterOptions(NetworkOptions):
    """Also how a few-shot model segments."""

    quality: Quality = None
    edges: Edges = True


@dataclass(frozen=True)
class PresenceOptions:
    """From which presence on a class counts."""

    presence: Presence = PRESENCE
    always: Always = False
    world: World = None


@dataclass(frozen=True)
class FolderOptions:
    """How the images of folders are read."""

    follow_links: FollowLinks = False
    memory: Memory = None
    dry_run: DryRun = False


def allow(pixels: str | None) -> None:
    """Allow images of more pixels, if the option is given."""
    if pixels is not None:
        from likewise.io.memory import parse_size
        from likewise.io.opening import allow_pixels

        allow_pixels(parse_size(pixels))


def names(text: str | None) -> list[str]:
    """Return the names in a list separated by commas."""
    return [name.strip() for name in (text or "").split(",") if name.strip()]


def open_few_shot(model: str, *groups: NetworkOptions | PresenceOptions, **options: Any) -> FewShot:
    """Return the predictor that the options name. `backbone` may carry taps after an @.

    An option at its default leaves the value of a saved model.
    """
    from likewise.predict.few_shot import FewShot
    from likewise.predict.pretrained import is_saved, open_saved

    for group in groups:
        options |= vars(group)
    if options.pop("always", False):
        if options["presence"] not in (PRESENCE, 0):
            raise ArgumentError(f"--always and --presence {options['presence']:g} exclude each other; give one of them")
        options["presence"] = 0.0
    options["backbone"], _, taps = options["backbone"].partition("@")
    options["taps"] = tuple(taps.split("+")) if taps else ()
    if is_saved(model):
        defaults = signature(FewShot).parameters
        return open_saved(FewShot, model, {key: own for key, own in options.items() if own != defaults[key].default})
    return FewShot(model, **options)
