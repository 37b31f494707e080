"""Masks in an image, found by looking at other images.

from likewise import Example, FewShot

few_shot = FewShot()
concept = few_shot.learn([Example("cat.jpg", mask="cat.png")])
few_shot.segment("another.jpg", concept).mask
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from likewise.errors import ConceptError, ImageError, WeightsError
    from likewise.predict.co_saliency import CoSaliency
    from likewise.predict.concept import Concept
    from likewise.predict.examples import Example
    from likewise.predict.few_shot import FewShot, Result
    from likewise.predict.scene_parser import SceneParser

__version__ = "0.1.0"

_HOMES = {
    "CoSaliency": "predict.co_saliency",
    "Concept": "predict.concept",
    "ConceptError": "errors",
    "Example": "predict.examples",
    "FewShot": "predict.few_shot",
    "ImageError": "errors",
    "Result": "predict.result",
    "SceneParser": "predict.scene_parser",
    "WeightsError": "errors",
}

__all__ = [
    "CoSaliency",
    "Concept",
    "ConceptError",
    "Example",
    "FewShot",
    "ImageError",
    "Result",
    "SceneParser",
    "WeightsError",
    "__version__",
]


def __getattr__(name: str) -> Any:
    """Load a public name when it is first asked for: torch takes a second to import."""
    if name not in _HOMES:
        raise AttributeError(f"module 'likewise' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(f"likewise.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
