"""Masks in a picture, found by looking at other pictures.

from likewise import Example, FewShot

few_shot = FewShot()
concept = few_shot.learn([Example("cat.jpg", mask="cat.png")])
few_shot.segment("another.jpg", concept).mask
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from likewise.concept import Concept, ConceptError
    from likewise.examples import Example
    from likewise.images import PictureError
    from likewise.predict.co_saliency import CoSaliency
    from likewise.predict.few_shot import FewShot, Result
    from likewise.predict.scene_parser import SceneParser
    from likewise.weights import WeightsError

__version__ = "0.1.0"

_HOMES = {
    "CoSaliency": "predict.co_saliency",
    "Concept": "concept",
    "ConceptError": "concept",
    "Example": "examples",
    "FewShot": "predict.few_shot",
    "PictureError": "images",
    "Result": "predict.few_shot",
    "SceneParser": "predict.scene_parser",
    "WeightsError": "weights",
}

__all__ = [
    "CoSaliency",
    "Concept",
    "ConceptError",
    "Example",
    "FewShot",
    "PictureError",
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
