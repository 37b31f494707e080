"""Labelling interfaces: which tags of a project take masks, and where its images are named.

https://labelstud.io/tags
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

from likewise.errors import check_known
from likewise.serve.label_studio.errors import ConfigError, PayloadError

TAGS = {"BrushLabels": "brush", "PolygonLabels": "polygon", "RectangleLabels": "rectangle"}
"""Tag to the kind of its regions, in the order in which a mask is shown."""

LARGEST = 1 << 20
"""Characters of an interface."""


@dataclass(frozen=True)
class Control:
    """A tag that takes regions: its kind, name, the name of its image, and its classes."""

    kind: str
    name: str
    to_name: str
    classes: tuple[str, ...]


@dataclass(frozen=True)
class Interface:
    """What a labelling interface has for masks.

    Attributes:
        image: the key of a task's data that holds the address of its image.
        controls: in the order of `TAGS`.
    """

    image: str
    controls: tuple[Control, ...]

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes of all controls."""
        return tuple(dict.fromkeys(name for control in self.controls for name in control.classes))

    def control(self, class_name: str) -> Control:
        """Return the control that shows a class: a brush before polygons before rectangles.

        Raises:
            ArgumentError: no control has the class.
        """
        check_known(class_name, self.classes, "class of a brush, polygon or rectangle tag")
        return next(control for control in self.controls if class_name in control.classes)

    def address(self, task: dict[str, Any]) -> str:
        """Return the address of a task's image.

        Raises:
            PayloadError: the task names none.
        """
        data = task.get("data")
        address = data.get(self.image) if isinstance(data, dict) else None
        if not isinstance(address, str) or not address:
            raise PayloadError(f"task {task.get('id')} has no image: its data lacks {self.image!r}")
        return address


def parse_interface(text: object) -> Interface:
    """Return the interface of a project's XML.

    Raises:
        ConfigError: no XML, no image, or no tag that takes masks of classes.
    """
    if not isinstance(text, str) or len(text) > LARGEST:
        raise ConfigError(f"the labelling interface is not a text of at most {LARGEST} characters")
    if "<!" in re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL):
        raise ConfigError("the labelling interface declares a document type or entities; remove the lines with <!")
    try:
        root = ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError) as error:
        raise ConfigError(f"the labelling interface is no XML ({error}); save it again in Label Studio") from error
    images = {
        each.get("name"): found[1]
        for each in root.iter("Image")
        if (found := re.fullmatch(r"\$(.+)", each.get("value") or ""))
    }
    if not images:
        raise ConfigError('the labelling interface has no image; add <Image name="image" value="$image"/>')
    controls = [
        Control(kind, each.get("name") or "", each.get("toName") or "", classes)
        for tag, kind in TAGS.items()
        for each in root.iter(tag)
        if each.get("toName") in images
        and (classes := tuple(filter(None, (label.get("alias") or label.get("value") for label in each.iter("Label")))))
    ]
    if not controls:
        raise ConfigError(
            "the labelling interface has no BrushLabels, PolygonLabels or RectangleLabels with a Label for its image; "
            "add one in Settings, Labeling Interface"
        )
    first = controls[0].to_name
    return Interface(images[first], tuple(control for control in controls if control.to_name == first))
