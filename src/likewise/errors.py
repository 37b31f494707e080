"""Errors about user input, with one base class. The command line catches `LikewiseError` and nothing else."""

import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from difflib import get_close_matches


class LikewiseError(ValueError):
    """Base class. The message says what was given, what is needed and what to do."""


class ArgumentError(LikewiseError):
    """An invalid value of an argument or option, or arguments that exclude each other."""


class ImageError(LikewiseError):
    """An image, mask, label map or saliency map that is missing, unreadable or of the wrong kind or size."""


class ExampleError(LikewiseError):
    """An example that is missing, has no object, or has contradictory marks."""


class ConceptError(LikewiseError):
    """A concept that is unreadable, or belongs to another model."""


class ModelError(LikewiseError):
    """An unknown model, backbone, tap, device or precision, or a model that does not support the operation."""


class WeightsError(LikewiseError):
    """Weights that are missing, damaged, cannot be downloaded, or do not fit the network."""


class HubError(LikewiseError):
    """A model or file on the Hugging Face hub that is missing, gated, damaged, or cannot be reached."""


class OutputError(LikewiseError):
    """Results that cannot be written, or would overwrite other files or mix with results of other settings."""


class DataSetError(LikewiseError):
    """A missing or damaged data set, or an unknown fold, class or split."""


class RecipeError(LikewiseError):
    """A training recipe that is missing or invalid."""


class TrainingError(LikewiseError):
    """A training run that cannot start or continue."""


class MemoryMismatchError(LikewiseError):
    """Labels or a saved dataset memory that belong to other classes; the message names both sides."""


class RunError(LikewiseError):
    """An evaluation run that is missing, damaged, or has other settings."""


class PredictionError(LikewiseError):
    """Predictions that cannot be scored."""


class MissingExtraError(LikewiseError):
    """An optional dependency that is not installed; the message names the extra to install."""


@contextmanager
def requires_extra(extra: str, purpose: str) -> Iterator[None]:
    """Turn a failed import in the block into a `MissingExtraError` that names the extra to install.

    Args:
        extra: The optional dependency group in pyproject.toml: "torch", "hub", "jobs", ...
        purpose: What needs it, the start of the message: "training".
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in ("", "likewise"):  # a bug of ours, not a missing dependency
            raise
        raise MissingExtraError(
            f"{purpose} needs packages that are not installed, such as {error.name}; install them with: "
            f"pip install 'likewise[{extra}]'"
        ) from error


def first_of(names: Sequence[object], most: int = 12, rest: str = ", ...") -> str:
    """Return the first names, with `rest` after them if there are more than `most`; "{more}" is their number."""
    shown = ", ".join(map(str, names[:most]))
    return shown + rest.format(more=len(names) - most) * (len(names) > most)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ``; did you mean a, b?`` for the names closest to `name` in any case; empty where none is close."""
    by_lower = {candidate.lower(): candidate for candidate in known}
    near = [by_lower[match] for match in get_close_matches(name.lower(), by_lower)]
    return f"; did you mean {', '.join(near)}?" if near else ""


def check_known(
    given: str | int, known: Iterable[str | int], noun: str, error: type[LikewiseError] = ArgumentError
) -> None:
    """Raise `error` with close matches and the known values unless `given` is one of `known`.

    Args:
        noun: what `given` names, for the message: "protocol", "fold of PASCAL-5i".
    """
    known = list(known)
    if given not in known:
        hint = did_you_mean(str(given), map(str, known)) or "."
        raise error(f"unknown {noun} {given!r}{hint} Known: {first_of(known, rest=' and {more} more')}")


def printable(text: str) -> str:
    """Return the text with all that is not printable escaped, since names of files may hold codes for terminals."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def unmarked(text: str) -> str:
    """Return printable text for a table or progress bar, which would otherwise read brackets as markup."""
    from rich.markup import escape

    return escape(printable(text))


def counted(count: int, noun: str) -> str:
    """Return ``1 image`` or ``2 images``."""
    return f"{count} {noun}{'s' * (count != 1)}"


_subject: ContextVar[str] = ContextVar("subject", default="")


@contextmanager
def warnings_about(name: str) -> Iterator[None]:
    """Prefix the messages of `warn` in the block, and in this thread, with the name."""
    token = _subject.set(f"{name}: ")
    try:
        yield
    finally:
        _subject.reset(token)


def warn(message: str) -> None:
    """Issue a `UserWarning` about user input, with the prefix of `warnings_about`."""
    warnings.warn(_subject.get() + message, stacklevel=3)
