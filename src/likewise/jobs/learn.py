"""Learn a concept from examples, other concepts and negatives: `learn_concept`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Unpack
from unicodedata import normalize

from likewise.errors import ExampleError, warn
from likewise.jobs.outputs import list_images
from likewise.predict.examples import Example
from likewise.predict.find_examples import Marks, find_examples

if TYPE_CHECKING:
    from likewise.predict.concept import Concept
    from likewise.predict.few_shot import FewShot


def learn_concept(
    few_shot: FewShot,
    like: str | Path | Example | Concept | Iterable[str | Path | Example | Concept],
    *,
    unlike: Iterable[str | Path] = (),
    class_name: str | None = None,
    **marks: Unpack[Marks],
) -> Concept:
    """Return one concept of all examples and concepts in `like`; arguments and errors as for `segment_folder`.

    Args:
        class_name: The class of all examples, whatever their folders are called; concepts keep their classes.
    """
    examples, concepts = collect_examples(like, **marks)
    if class_name is not None:
        examples = [replace(example, class_name=class_name) for example in examples]
    return merge_concepts(few_shot, examples, concepts, find_negatives(unlike), strict=marks.get("strict", False))


def collect_examples(
    like: str | Path | Example | Concept | Iterable[str | Path | Example | Concept],
    **marks: Unpack[Marks],
) -> tuple[list[Example], list[Path | Concept]]:
    """Return the examples and the concepts (or their files) in `like`; texts are read by `find_examples`."""
    given = list(like) if isinstance(like, Iterable) and not isinstance(like, str) else [like]
    texts = [one for one in given if isinstance(one, str | Path)]
    examples = [one for one in given if isinstance(one, Example)]
    concepts: list[Path | Concept] = [one for one in given if not isinstance(one, str | Path | Example)]
    if texts or not given:
        found, files = find_examples(texts, **marks)
        return [*examples, *found], [*concepts, *files]
    return examples, concepts


def find_negatives(texts: Iterable[str | Path]) -> list[Example]:
    """Return the negatives that the texts name.

    Each text is ``image=mask``, where the mask marks what is not the object, or an image, a folder or a glob of images
    without the object.
    """
    pairs: list[str | Path] = []
    images: list[str | Path] = []
    for text in [texts] if isinstance(texts, str | Path) else texts:
        if not str(text).strip():
            raise ExampleError("a negative is an empty text; give an image, a folder, a glob or image=mask")
        (pairs if "=" in str(text) and not Path(text).exists() else images).append(text)
    marked, _ = find_examples(pairs) if pairs else ([], [])
    whole = [Example(image.path, absent=True) for image in list_images(images)] if images else []
    return [*(replace(example, absent=True) for example in marked), *whole]


def merge_concepts(
    few_shot: FewShot,
    examples: Sequence[Example],
    concepts: Sequence[Path | Concept],
    negatives: Sequence[Example] = (),
    *,
    strict: bool = True,
) -> Concept:
    """Return the given concepts merged with that of the examples.

    Old classes keep their numbers, and an example that is given twice counts once.

    Args:
        negatives: count for every class.
    """
    from likewise.predict.concept import Concept

    parts = [Concept.load(concept) if isinstance(concept, Path) else concept for concept in concepts]
    names = dict.fromkeys(name for part in parts for name in part.classes)
    names |= dict.fromkeys(example.class_name for example in examples)
    seen: dict[str, str] = {}
    for name in names:
        if (other := seen.setdefault(normalize("NFC", name).strip().casefold(), name)) != name:
            warn(f"two classes are named {other!r} and {name!r}; give the examples of a class the same name (--class)")
    absent = [replace(negative, class_name=name) for name in names for negative in negatives]
    if learned := [*examples, *absent]:
        parts.append(few_shot.learn(learned, strict=strict))
    first, *others = parts
    merged = few_shot.fold(first.merged(*others))
    few_shot.check(merged)
    return merged
