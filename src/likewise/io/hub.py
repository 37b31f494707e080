"""Files on the Hugging Face hub, by addresses such as ``hf://owner/name/cat.concept``. Needs the extra `hub`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from likewise.errors import ArgumentError, HubError, first_of, requires_extra

if TYPE_CHECKING:
    from huggingface_hub import HfApi

PREFIX = "hf://"
"""Start of the address of a file: ``hf://owner/name/file``, or ``hf://owner/name@revision/file``."""
HTTP_LIBRARIES = ("httpx", "httpx2", "httpcore", "httpcore2", "requests", "urllib3")
"""Packages whose errors the hub's client lets through."""


def local_path(path: str | Path) -> Path:
    """Return the path; for the address of a file on the hub, that of its copy in the local cache.

    Raises:
        HubError: See `hub_errors`.
        ArgumentError: An address without a file.
    """
    if not str(path).startswith(PREFIX):
        return Path(path)
    repository, revision, file = parse_address(str(path))
    with hub_errors(repository, file):
        from huggingface_hub import hf_hub_download

        return Path(hf_hub_download(repository, file, revision=revision))


def parse_address(address: str) -> tuple[str, str | None, str]:
    """Return repository, revision (or None) and file of an address.

    Raises:
        ArgumentError: Another text.
    """
    owner, _, rest = address.removeprefix(PREFIX).partition("/")
    name, _, file = rest.partition("/")
    name, _, revision = name.partition("@")
    if not (owner and name and file):
        raise ArgumentError(f"{address}: not the address of a file; write {PREFIX}owner/name/cat.concept")
    return f"{owner}/{name}", revision or None, file


def parse_repository(address: str) -> tuple[str, str | None]:
    """Return repository and revision (or None) of ``hf://owner/name`` or ``hf://owner/name@revision``.

    Raises:
        ArgumentError: Another text.
    """
    owner, _, name = address.removeprefix(PREFIX).strip("/").partition("/")
    name, _, revision = name.partition("@")
    if not (owner and name) or "/" in name:
        raise ArgumentError(f"{address}: not the address of a repository; write {PREFIX}owner/name")
    return f"{owner}/{name}", revision or None


def download_folder(
    repository: str, *, revision: str | None = None, token: str | None = None, local_files_only: bool = False
) -> Path:
    """Return the folder of a repository's files in the local cache, downloaded where they are missing or old.

    Raises:
        HubError: See `hub_errors`.
    """
    with hub_errors(repository):
        from huggingface_hub import snapshot_download

        return Path(snapshot_download(repository, revision=revision, token=token, local_files_only=local_files_only))


def upload(
    folder: Path,
    repository: str,
    *,
    card: str,
    private: bool | None = None,
    token: str | None = None,
    revision: str | None = None,
    message: str,
) -> str:
    """Commit the files of a folder to a repository, made if missing; return the address of the commit.

    Args:
        card: README.md for a repository that has none; a card that people have edited stays.
        private: Of a new repository; None is the account's default.

    Raises:
        HubError: See `hub_errors`.
    """
    with hub_errors(repository):
        from huggingface_hub import CommitOperationAdd, HfApi

        api: HfApi = HfApi(token=token)
        api.create_repo(repository, private=private, exist_ok=True)
        if revision is not None:
            api.create_branch(repository, branch=revision, exist_ok=True)
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        changes = [CommitOperationAdd(path.relative_to(folder).as_posix(), path) for path in files]
        if not api.file_exists(repository, "README.md", revision=revision):
            changes.append(CommitOperationAdd("README.md", card.encode()))
        return str(api.create_commit(repository, changes, commit_message=message, revision=revision).commit_url)


@contextmanager
def hub_errors(repository: str, file: str | None = None) -> Iterator[None]:
    """Turn what the hub's client raises in the block into a `HubError` of one sentence.

    Raises:
        HubError: The repository is gated, private or missing, lacks the file or revision, the token may not do this, or
            the hub cannot be reached and the files are not in the local cache.
        MissingExtraError: huggingface_hub is not installed.
    """
    with requires_extra("hub", f"{PREFIX}{repository}"):
        from huggingface_hub import errors
    asked = repository if file is None else f"{PREFIX}{repository}/{file}"
    page = f"https://huggingface.co/{repository}"
    try:
        yield
    except errors.GatedRepoError as error:
        raise HubError(
            f"{asked}: gated; accept its terms at {page}, then log in with `hf auth login` or set HF_TOKEN"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise HubError(
            f"{asked}: no such repository, or a private one; check the name, or log in with `hf auth login`"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise HubError(f"{asked}: no such revision; leave it out for the latest") from error
    except errors.LocalEntryNotFoundError as error:
        raise HubError(
            f"{asked}: not on this machine, and the hub cannot be reached ({type(error.__cause__ or error).__name__})"
            "; connect to the internet once, or give a local copy"
        ) from error
    except errors.EntryNotFoundError as error:
        raise HubError(f"{asked}: the repository has no such file; see {page}/tree/main") from error
    except errors.LocalTokenNotFoundError as error:
        raise HubError(f"{asked}: needs a token; log in with `hf auth login` or set HF_TOKEN") from error
    except errors.HfHubHTTPError as error:
        status = getattr(error.response, "status_code", None)
        advice = "log in with a token that may do this" if status in (401, 403) else "try again later"
        raise HubError(f"{asked}: refused by the hub (HTTP status {status}); {advice}") from error
    except errors.HFValidationError as error:
        raise HubError(f"{asked}: not the name of a repository; write owner/name") from error
    except Exception as error:  # the client raises errors of its HTTP library too
        library = type(error).__module__.partition(".")[0]
        if not isinstance(error, ConnectionError | TimeoutError) and library not in HTTP_LIBRARIES:
            raise
        raise HubError(
            f"{asked}: the hub cannot be reached ({type(error).__name__}); connect to the internet, or give a local "
            "copy"
        ) from error


def inner_file(folder: Path, name: str) -> Path:
    """Return a file or folder inside `folder` that a downloaded text names.

    Raises:
        HubError: A name that leads out of the folder, or to nothing.
    """
    parts = PurePosixPath(name).parts
    if not parts or ".." in parts or PurePosixPath(name).is_absolute() or Path(name).is_absolute() or "\\" in name:
        raise HubError(f"{folder}: names a file outside of itself, {name!r}; do not trust it")
    if not (folder / name).exists():
        held = first_of(sorted(path.name for path in folder.iterdir()))
        raise HubError(f"{folder}: names {name}, which it does not have (it has {held}); download it again")
    return folder / name
