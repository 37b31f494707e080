"""A `Concept`: what a model learned from examples, in memory and in a file.

The file is safetensors with the suffix `.concept`: a JSON header that any text viewer shows, and one row of tensors
for each example. Each row comes from one example alone, so examples and classes are added without learning again.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from jaxtyping import UInt8
from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from likewise.errors import ConceptError, check_known
from likewise.io.atomic import delete_parts, write_atomically
from likewise.io.hub import local_path, parse_address, upload
from likewise.predict.concept_schema import FORMAT, THUMBNAIL, check_rows, parse_fields
from likewise.predict.equality import EqualByValue
from likewise.predict.second_look import PREFIX
from likewise.version import __version__
from likewise.viz import draw

MOST_ROWS = 32
"""Examples of a class that a concept keeps apart: its file stays under 16 MB a class, and the agreement of examples
needs no more."""
THUMBNAILS_IN_A_ROW = 8
"""Columns of `Concept.overlay`."""
BACKGROUND = (240, 240, 240)
"""The colour beside a thumbnail that is not square: light grey."""


@dataclass(frozen=True, eq=False, repr=False)
class Concept(EqualByValue):
    """What one model learned from examples of one or more classes.

    Attributes:
        model: the model's name, such as "panet-lite0".
        backbone: the backbone's name with its taps.
        fingerprint: of all weights that the rows depend on (`likewise.weights.checkpoint.fingerprint`).
        side: examples were resized to about `side` x `side` pixels, as queries must be.
        classes: the names of the classes; label i + 1 is `classes[i]`.
        class_of: for each example, the index of its class.
        names: for each example, its image's file name.
        rows: arrays with one entry for each example along the first axis. Entries shorter than the longest one are
            padded at the end, floats with 0 and integers with -1.
        thumbnails: `(n, 96, 96, 3)` uint8, the examples with their object outlined.
    """

    model: str
    backbone: str
    fingerprint: str
    side: int
    classes: tuple[str, ...]
    class_of: tuple[int, ...]
    names: tuple[str, ...]
    rows: dict[str, np.ndarray]
    thumbnails: UInt8[np.ndarray, "n h w 3"]

    def __len__(self) -> int:
        """The number of rows: of examples, unless some are folded into one."""
        return len(self.class_of)

    def examples_at(self, position: int) -> int:
        """The number of examples that a row stands for."""
        return round(float(self.rows["count"][position])) if "count" in self.rows else 1

    def __str__(self) -> str:
        counts: Counter[tuple[int, bool]] = Counter()
        for position, own in enumerate(self.class_of):
            counts[own, self.is_negative(position)] += self.examples_at(position)
        shots = ", ".join(
            f"{name} ({counts[index, False]}{f', {counts[index, True]} negative' if counts[index, True] else ''})"
            for index, name in enumerate(self.classes)
        )
        return f"concept of {shots}; {self.model} on {self.backbone}"

    def __repr__(self) -> str:
        return f"<{self}>"

    def is_negative(self, position: int) -> bool:
        """Whether an example shows what its class is not."""
        return "absent" in self.rows and bool(self.rows["absent"][position])

    def of_class(self, index: int) -> dict[str, np.ndarray]:
        """The rows of the examples of one class, without negatives."""
        chosen = [at for at, own in enumerate(self.class_of) if own == index and not self.is_negative(at)]
        return {name: rows[chosen] for name, rows in self.rows.items()}

    def merged(self, *others: Concept) -> Concept:
        """A concept with the examples and classes of this one and the others, in this order.

        Classes of the same name become one, and an example that is given twice counts once. The rows of the second look
        stay if all have them.

        Raises:
            ConceptError: a concept of another model, backbone, weights or side, or of another version of likewise.
        """
        for other in others:
            other.check(self.model, self.backbone, self.fingerprint, self.side, who="the other concept")
            different = {name for name in other.rows.keys() ^ self.rows.keys() if not name.startswith(PREFIX)}
            if different:
                raise ConceptError(
                    f"the concepts have different rows ({', '.join(sorted(different))}): an "
                    "older version of likewise learned one of them; learn it again from its examples"
                )
        concepts = (self, *others)
        shared = [name for name in self.rows if all(name in concept.rows for concept in concepts)]
        classes = tuple(dict.fromkeys(name for concept in concepts for name in concept.classes))
        return replace(
            self,
            classes=classes,
            class_of=tuple(classes.index(each.classes[index]) for each in concepts for index in each.class_of),
            names=tuple(name for concept in concepts for name in concept.names),
            rows=concatenate([{name: concept.rows[name] for name in shared} for concept in concepts]),
            thumbnails=np.concatenate([concept.thumbnails for concept in concepts]),
        ).without_repeats()

    def folded(self, fold: Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]], most: int = MOST_ROWS) -> Concept:
        """A concept with at most `most` positive examples of a class apart; the oldest others are one row.

        Args:
            fold: makes one row of several.
        """
        concept = self
        for index in range(len(self.classes)):
            own = [at for at, of in enumerate(concept.class_of) if of == index and not concept.is_negative(at)]
            if len(own) <= most + 1:
                continue
            oldest = own[: len(own) - most]
            row = fold({name: rows[oldest] for name, rows in concept.rows.items()})
            kept = [oldest[0], *(at for at in range(len(concept)) if at not in oldest)]
            names = tuple(concept.names[at] for at in kept[1:])
            concept = replace(
                concept,
                class_of=tuple(concept.class_of[at] for at in kept),
                names=(f"{sum(map(concept.examples_at, oldest))} earlier examples", *names),
                rows={name: np.concatenate([row[name], concept.rows[name][kept[1:]]]) for name in row},
                thumbnails=concept.thumbnails[kept],
            )
        return concept

    def without_repeats(self) -> Concept:
        """The concept with one of several examples of a class that have the same rows."""
        contents = [(own, *(row[at].tobytes() for row in self.rows.values())) for at, own in enumerate(self.class_of)]
        kept = sorted({content: at for at, content in reversed(list(enumerate(contents)))}.values())
        return replace(
            self,
            class_of=tuple(self.class_of[at] for at in kept),
            names=tuple(self.names[at] for at in kept),
            rows={name: row[kept] for name, row in self.rows.items()},
            thumbnails=self.thumbnails[kept],
        )

    def without(self, name: str, *, of: str | None = None) -> Concept:
        """A concept without the class, or without the examples from the image file, of this name.

        Args:
            of: the class whose examples from this file are left out; by default all classes lose theirs.

        Raises:
            ConceptError: no such class or example, or nothing would be left.
        """
        if of is not None:
            check_known(of, self.classes, "class of the concept", ConceptError)
        if name in self.classes and of is None:
            kept = [at for at, own in enumerate(self.class_of) if self.classes[own] != name]
        else:
            mine = [of in (None, self.classes[own]) for own in self.class_of]
            kept = [at for at, own in enumerate(self.names) if own != name or not mine[at]]
            if len(kept) == len(self):
                names = [own for own, is_mine in zip(self.names, mine, strict=True) if is_mine]
                known, what = (self.classes, "class or example") if of is None else ((), f"example of {of!r}")
                check_known(name, [*known, *dict.fromkeys(names)], what, ConceptError)
        if not kept:
            raise ConceptError(f"{name}: nothing else is in the concept; delete its file instead")
        classes = tuple(own for index, own in enumerate(self.classes) if any(self.class_of[at] == index for at in kept))
        return replace(
            self,
            classes=classes,
            class_of=tuple(classes.index(self.classes[self.class_of[at]]) for at in kept),
            names=tuple(self.names[at] for at in kept),
            rows={key: rows[kept] for key, rows in self.rows.items()},
            thumbnails=self.thumbnails[kept],
        )

    def without_unshown(self) -> Concept | None:
        """The concept without the classes that have only negatives; None if every class has."""
        shown = {own for at, own in enumerate(self.class_of) if not self.is_negative(at)}
        concept = self
        for index, name in enumerate(self.classes):
            if index not in shown and shown:
                concept = concept.without(name)
        return concept if shown else None

    def renamed(self, name: str, new: str) -> Concept:
        """A concept whose class `name` is called `new`.

        Raises:
            ConceptError: no such class, or another class of the new name.
        """
        check_known(name, self.classes, "class of the concept", ConceptError)
        if not new or new in self.classes:
            raise ConceptError(f"{new!r} is no new name; the concept has {', '.join(self.classes)}")
        return replace(self, classes=tuple(new if own == name else own for own in self.classes))

    def check(self, model: str, backbone: str, fingerprint: str, side: int, *, who: str = "the predictor") -> None:
        """Raise a `ConceptError` unless the concept was learned with this model, backbone, weights and side."""
        needed = {"model": model, "backbone": backbone, "input side": side, "weights": fingerprint}
        found = {"model": self.model, "backbone": self.backbone, "input side": self.side, "weights": self.fingerprint}
        for setting, value in needed.items():
            if found[setting] != value:
                raise ConceptError(
                    f"the concept was learned with {setting} {found[setting]}, but {who} has {setting} {value}; "
                    f"choose the {setting} of the concept, or learn it again from its examples"
                )

    def check_rows(self, needed: Mapping[str, tuple[int, ...]]) -> None:
        """Raise a `ConceptError` unless the concept has rows of these names, with these shapes for each example."""
        try:
            check_rows(self.rows, needed)
        except ValueError as error:
            raise ConceptError(
                f"the concept does not fit its model: {error}; an older version of likewise learned it, or it is "
                "damaged: learn it again from its examples"
            ) from error

    def digest(self) -> str:
        """Sixteen hexadecimal digits that change with what was learned, not with the names of the examples' files."""
        digest = hashlib.sha256(repr((self.fingerprint, self.side, self.classes, self.class_of)).encode())
        for name, rows in sorted(self.rows.items()):
            digest.update(name.encode() + rows.tobytes())
        return digest.hexdigest()[:16]

    def overlay(self) -> UInt8[np.ndarray, "h w 3"]:
        """The thumbnails of the examples, their objects outlined, up to eight in a row; negatives are crossed out."""
        columns = min(len(self), THUMBNAILS_IN_A_ROW)
        tiles = [
            Image.fromarray(draw.crossed_out(tile) if self.is_negative(at) else tile)
            for at, tile in enumerate(self.thumbnails)
        ]
        rows = -(-len(tiles) // columns)
        sheet = Image.new("RGB", (columns * THUMBNAIL, rows * THUMBNAIL), BACKGROUND)
        for index, tile in enumerate(tiles):
            sheet.paste(tile, (index % columns * THUMBNAIL, index // columns * THUMBNAIL))
        return np.array(sheet)

    def _repr_png_(self) -> bytes:
        return draw.png(self.overlay())

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
        arrays = {f"rows.{name}": np.ascontiguousarray(rows) for name, rows in self.rows.items()}
        delete_parts(Path(path).parent, below=False)
        with write_atomically(path) as part:
            part.write_bytes(
                with_sorted_header(
                    save(
                        {**arrays, "thumbnails": np.ascontiguousarray(self.thumbnails)},
                        {key: value if isinstance(value, str) else json.dumps(value) for key, value in header.items()},
                    )
                )
            )

    def push_to_hub(self, address: str, *, private: bool | None = None, token: str | None = None) -> str:
        """Commit the concept to ``hf://owner/name/cat.concept``; return the address of the commit.

        The file holds the names of the examples' images, and thumbnails of 96 pixels.

        Args:
            private: see `FewShot.push_to_hub`.
            token: see `FewShot.push_to_hub`.

        Raises:
            HubError: the hub cannot be reached, or refuses.
            ArgumentError: not the address of a file.
        """
        from likewise.predict.pretrained import concept_card

        repository, revision, file = parse_address(address)
        with TemporaryDirectory() as folder:
            self.save(Path(folder) / file)
            return upload(
                Path(folder),
                repository,
                card=concept_card(self, file, repository),
                private=private,
                token=token,
                revision=revision,
                message=f"Upload {file}",
            )

    @classmethod
    def load(cls, path: str | Path) -> Concept:
        """The concept in a file, or at an address such as ``hf://owner/name/cat.concept``.

        Raises:
            HubError: an address that cannot be downloaded.
            ConceptError: a file that does not exist, is not a concept, is damaged, or has a later format.
        """
        path = local_path(path)
        if not path.is_file():
            raise ConceptError(f"{path}: no such file; `likewise learn` makes a concept from examples")
        try:
            with safe_open(path, framework="numpy") as file:
                header: dict[str, str] = file.metadata() or {}
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, no dict
        except (SafetensorError, OSError, TypeError, AttributeError) as error:  # the last two: a type numpy lacks
            raise ConceptError(f"{path}: not a concept, or a damaged one ({error}); learn it again") from error
        if header.get("likewise") != "concept":
            raise ConceptError(f"{path}: a safetensors file, but not a concept of likewise")
        if (found := header.get("format", "")).isdecimal() and int(found[:9]) > FORMAT:
            raise ConceptError(
                f"{path}: a concept of a later version: format {found[:9]}, and this version reads {FORMAT}; "
                "update likewise"
            )
        try:
            fields = parse_fields(header, arrays)
        except ValueError as error:
            raise ConceptError(f"{path}: a damaged concept: {error}; learn it again from its examples") from error
        return cls(**fields)


def concatenate(parts: Sequence[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The rows of all parts along the first axis, padded as `Concept.rows` says where the other axes differ."""
    rows = {}
    for name in parts[0]:
        arrays = [part[name] for part in parts]
        lengths = [max(sizes) for sizes in zip(*(array.shape[1:] for array in arrays), strict=True)]
        padding = 0 if arrays[0].dtype.kind == "f" else -1
        rows[name] = np.full((sum(map(len, arrays)), *lengths), padding, arrays[0].dtype)
        start = 0
        for array in arrays:
            own = (slice(start, start + len(array)), *map(slice, array.shape[1:]))
            rows[name][own] = array
            start += len(array)
    return rows


def with_sorted_header(file: bytes) -> bytes:
    """The bytes of a safetensors file with its header in order, so that equal concepts are equal files."""
    end = 8 + int.from_bytes(file[:8], "little")
    header = json.dumps(json.loads(file[8:end]), sort_keys=True, ensure_ascii=False).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + file[end:]


def thumbnail(image: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "96 96 3"]:
    """The image scaled down into a grey square: `(96, 96, 3)` uint8."""
    square = Image.new("RGB", (THUMBNAIL, THUMBNAIL), BACKGROUND)
    small = Image.fromarray(image)
    small.thumbnail((THUMBNAIL, THUMBNAIL))
    square.paste(small, ((THUMBNAIL - small.width) // 2, (THUMBNAIL - small.height) // 2))
    return np.array(square)
