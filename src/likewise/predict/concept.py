"""A `Concept`: what was learned from examples, kept so that it need never be learned again.

One safetensors file, suffix `.concept`: a JSON header that any text viewer shows, and one row of tensors for each
example. Rows are what the model learns from one example alone, so adding an example or a class retrains nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from likewise import __version__
from likewise.errors import ConceptError
from likewise.io.atomic import write_atomically

FORMAT = 1
THUMBNAIL = 96


@dataclass(frozen=True)
class Concept:
    """What one model learned from examples of one or more classes.

    Attributes:
        model: the model's name, such as "panet-lite0".
        backbone: the backbone's name with its taps.
        fingerprint: of all weights that the rows depend on (`likewise.weights.load.fingerprint`).
        side: examples were brought to about `side` squared pixels, as queries must be.
        classes: the names of the classes; label i + 1 is `classes[i]`.
        class_of: for each example, the index of its class.
        names: for each example, its image's file name.
        rows: tensors with one entry for each example along the first axis. What an example has fewer of than another
            is padded at the end: floating point with 0, whole numbers with -1.
        thumbnails: `(n, 96, 96, 3)` uint8, the examples with their object outlined.
    """

    model: str
    backbone: str
    fingerprint: str
    side: int
    classes: tuple[str, ...]
    class_of: tuple[int, ...]
    names: tuple[str, ...]
    rows: dict[str, Tensor]
    thumbnails: Tensor

    def __len__(self) -> int:
        """The number of examples."""
        return len(self.class_of)

    def __str__(self) -> str:
        shots = ", ".join(f"{name} ({self.class_of.count(index)})" for index, name in enumerate(self.classes))
        return f"concept of {shots}; {self.model} on {self.backbone}"

    def of_class(self, index: int) -> dict[str, Tensor]:
        """The rows of the examples of one class."""
        chosen = torch.tensor([position for position, own in enumerate(self.class_of) if own == index])
        return {name: rows[chosen] for name, rows in self.rows.items()}

    def merged(self, *others: Concept) -> Concept:
        """This concept with the examples and classes of the others added; classes of one name become one.

        Raises:
            ConceptError: another model, backbone, weights or size than this one's, or learned by another likewise.
        """
        for other in others:
            other.check(self.model, self.backbone, self.fingerprint, self.side, who="the other concept")
            if other.rows.keys() != self.rows.keys():
                raise ConceptError(
                    f"{self.model} keeps more of each example than an earlier likewise did, by which one of these "
                    "concepts was learned: learn that one again from its examples"
                )
        concepts = (self, *others)
        classes = tuple(dict.fromkeys(name for concept in concepts for name in concept.classes))
        return replace(
            self,
            classes=classes,
            class_of=tuple(classes.index(each.classes[index]) for each in concepts for index in each.class_of),
            names=tuple(name for concept in concepts for name in concept.names),
            rows=joined([concept.rows for concept in concepts]),
            thumbnails=torch.cat([concept.thumbnails for concept in concepts]),
        )

    def check(self, model: str, backbone: str, fingerprint: str, side: int, *, who: str = "this model") -> None:
        """Raise a `ConceptError` unless the concept was learned by exactly that model."""
        wanted = {"model": model, "backbone": backbone, "input side": side, "weights": fingerprint}
        found = {"model": self.model, "backbone": self.backbone, "input side": self.side, "weights": self.fingerprint}
        for what, value in wanted.items():
            if found[what] != value:
                raise ConceptError(
                    f"the concept was learned with {what} {found[what]}, {who} has {what} {value}: "
                    "learn it again from its examples with that model, or choose the model it was learned with"
                )

    def check_rows(self, names: Iterable[str]) -> None:
        """Raise a `ConceptError` unless all these rows were learned."""
        if missing := sorted(set(names) - set(self.rows)):
            raise ConceptError(
                f"the concept lacks {missing[0]!r}, which {self.model} did not keep in an earlier likewise: learn it "
                "again from its examples"
            )

    def digest(self) -> str:
        """Sixteen hexadecimal digits that change with what was learned, whatever the examples' files are called."""
        digest = hashlib.sha256(repr((self.fingerprint, self.side, self.classes, self.class_of)).encode())
        for name, rows in sorted(self.rows.items()):
            digest.update(name.encode() + rows.contiguous().flatten().view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()[:16]

    def save(self, path: str | Path) -> None:
        """Write the concept to one file, whole or not at all."""
        header = {
            "likewise": "concept",
            "format": FORMAT,
            "version": __version__,
            "model": self.model,
            "backbone": self.backbone,
            "fingerprint": self.fingerprint,
            "side": self.side,
            "classes": self.classes,
            "class_of": self.class_of,
            "names": self.names,
        }
        tensors = {f"rows.{name}": rows.contiguous() for name, rows in self.rows.items()}
        with write_atomically(path) as part:
            save_file(
                {**tensors, "thumbnails": self.thumbnails.contiguous()},
                part,
                {key: value if isinstance(value, str) else json.dumps(value) for key, value in header.items()},
            )

    @classmethod
    def load(cls, path: str | Path) -> Concept:
        """The concept in a file.

        Raises:
            ConceptError: no such file, not a concept, a damaged one, or one of a later format.
        """
        path = Path(path)
        if not path.is_file():
            raise ConceptError(f"{path}: there is no such file; `likewise learn` makes a concept from examples")
        try:
            with safe_open(path, framework="pt") as file:
                header: dict[str, Any] = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, no dict
        except (SafetensorError, OSError) as error:
            raise ConceptError(f"{path}: not a concept, or a damaged one ({error}); learn it again") from error
        if header.get("likewise") != "concept":
            raise ConceptError(f"{path}: a safetensors file, but not a concept of likewise")
        if int(header["format"]) > FORMAT:
            raise ConceptError(f"{path}: of format {header['format']}, this likewise reads {FORMAT}; update likewise")
        for name, tensor in tensors.items():
            if tensor.is_floating_point() and not tensor.isfinite().all():
                raise ConceptError(
                    f"{path}: a damaged concept ({name!r} holds numbers that are infinite or undefined); learn it again"
                )
        try:
            return cls(
                model=header["model"],
                backbone=header["backbone"],
                fingerprint=header["fingerprint"],
                side=int(header["side"]),
                classes=tuple(json.loads(header["classes"])),
                class_of=tuple(json.loads(header["class_of"])),
                names=tuple(json.loads(header["names"])),
                rows={name.removeprefix("rows."): rows for name, rows in tensors.items() if name != "thumbnails"},
                thumbnails=tensors["thumbnails"],
            )
        except (KeyError, ValueError) as error:
            raise ConceptError(f"{path}: a damaged concept ({error} is missing or wrong); learn it again") from error


def joined(parts: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The rows of all parts, one after the other, padded as `Concept.rows` says where their lengths differ."""
    rows = {}
    for name in parts[0]:
        tensors = [part[name] for part in parts]
        lengths = [max(sizes) for sizes in zip(*(tensor.shape[1:] for tensor in tensors), strict=True)]
        filling = 0 if tensors[0].is_floating_point() else -1
        rows[name] = tensors[0].new_full((sum(map(len, tensors)), *lengths), filling)
        begin = 0
        for tensor in tensors:
            own = (slice(begin, begin + len(tensor)), *map(slice, tensor.shape[1:]))
            rows[name][own] = tensor
            begin += len(tensor)
    return rows


def thumbnail(image: np.ndarray) -> Tensor:
    """The image, `(h w 3)` uint8, fitted into a grey square of 96 pixels."""
    square = Image.new("RGB", (THUMBNAIL, THUMBNAIL), (240, 240, 240))
    small = Image.fromarray(image)
    small.thumbnail((THUMBNAIL, THUMBNAIL))
    square.paste(small, ((THUMBNAIL - small.width) // 2, (THUMBNAIL - small.height) // 2))
    return torch.from_numpy(np.array(square))
