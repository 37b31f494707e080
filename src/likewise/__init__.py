"""Find masks in an image by looking at other images.

from likewise import Example, FewShot

few_shot = FewShot()
concept = few_shot.learn([Example("cat.jpg", mask="cat.png")])
few_shot.segment("another.jpg", concept).mask
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from likewise.version import __version__

if TYPE_CHECKING:
    from likewise.errors import (
        ArgumentError,
        ConceptError,
        DataSetError,
        ExampleError,
        HubError,
        ImageError,
        LikewiseError,
        MemoryMismatchError,
        MissingExtraError,
        ModelError,
        OutputError,
        PredictionError,
        RecipeError,
        RunError,
        TrainingError,
        WeightsError,
    )
    from likewise.io.annotations import AnnotatedImage, Object, write_annotations
    from likewise.io.images import read_image
    from likewise.io.opening import allow_pixels
    from likewise.io.raster import TiffPage
    from likewise.jobs.convert import convert_annotations
    from likewise.jobs.cosegment import GroupReport, cosegment_folder
    from likewise.jobs.learn import learn_concept
    from likewise.jobs.parse import parse_folder
    from likewise.jobs.pipeline import Report
    from likewise.jobs.saliency import saliency_folder
    from likewise.jobs.segment import segment_folder
    from likewise.predict.co_saliency import CoSaliency, Group
    from likewise.predict.concept import Concept
    from likewise.predict.consensus import Consensus
    from likewise.predict.dataset import Dataset, read_annotations
    from likewise.predict.examples import Example
    from likewise.predict.few_shot import FewShot
    from likewise.predict.find_examples import find_examples
    from likewise.predict.result import Result, SceneResult
    from likewise.predict.saliency import Saliency
    from likewise.predict.scene_parser import SceneParser
    from likewise.predict.segmenter import Segmenter
    from likewise.predict.selector import Selector

# torch asks for the user's name when it is imported; a container's user may have none
if os.name == "posix" and not any(os.environ.get(name) for name in ("LOGNAME", "USER", "LNAME", "USERNAME")):
    import pwd

    try:
        pwd.getpwuid(os.getuid())
    except KeyError:
        os.environ["USER"] = str(os.getuid())

_MODULES = {
    "errors": (
        "ArgumentError", "ConceptError", "DataSetError", "ExampleError", "HubError", "ImageError",
        "LikewiseError", "MemoryMismatchError", "MissingExtraError", "ModelError", "OutputError", "PredictionError",
        "RecipeError", "RunError", "TrainingError", "WeightsError",
    ),
    "io.annotations": ("AnnotatedImage", "Object", "write_annotations"),
    "io.opening": ("allow_pixels",),
    "io.images": ("read_image",),
    "io.raster": ("TiffPage",),
    "jobs.convert": ("convert_annotations",),
    "jobs.cosegment": ("GroupReport", "cosegment_folder"),
    "jobs.learn": ("learn_concept",),
    "jobs.parse": ("parse_folder",),
    "jobs.pipeline": ("Report",),
    "jobs.saliency": ("saliency_folder",),
    "jobs.segment": ("segment_folder",),
    "predict.co_saliency": ("CoSaliency", "Group"),
    "predict.concept": ("Concept",),
    "predict.consensus": ("Consensus",),
    "predict.dataset": ("Dataset", "read_annotations"),
    "predict.examples": ("Example",),
    "predict.few_shot": ("FewShot",),
    "predict.find_examples": ("find_examples",),
    "predict.result": ("Result", "SceneResult"),
    "predict.saliency": ("Saliency",),
    "predict.scene_parser": ("SceneParser",),
    "predict.segmenter": ("Segmenter",),
    "predict.selector": ("Selector",),
}  # fmt: skip
"""Module to the public names in it."""

__all__ = [
    "AnnotatedImage", "ArgumentError", "CoSaliency", "Concept", "ConceptError", "Consensus", "DataSetError", "Dataset",
    "Example", "ExampleError", "FewShot", "Group", "GroupReport", "HubError", "ImageError", "LikewiseError",
    "MemoryMismatchError", "MissingExtraError", "ModelError", "Object", "OutputError", "PredictionError", "RecipeError",
    "Report", "Result", "RunError", "Saliency", "SceneParser", "SceneResult", "Segmenter", "Selector", "TiffPage",
    "TrainingError", "WeightsError", "__version__", "allow_pixels", "convert_annotations", "cosegment_folder",
    "find_examples", "learn_concept", "parse_folder", "read_annotations", "read_image", "saliency_folder",
    "segment_folder", "write_annotations",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Import the module of a public name at its first use, since torch takes a second to import."""
    module = next((module for module, names in _MODULES.items() if name in names), None)
    if module is None:
        raise AttributeError(f"module 'likewise' has no attribute {name!r}; it has {', '.join(__all__)}")
    from likewise.errors import requires_extra

    with requires_extra("torch", f"likewise.{name}"):
        return getattr(import_module(f"likewise.{module}"), name)


def __dir__() -> list[str]:
    return __all__
