"""Project, folders, files, classes, history and events."""

from __future__ import annotations

from collections import Counter
from importlib.util import find_spec
from pathlib import PurePosixPath

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from likewise.app import schemas
from likewise.app.routes.parts import InProject, InWorkspace, read_body
from likewise.app.workspace import Open, Workspace
from likewise.errors import ArgumentError, ImageError
from likewise.io.images import read_image
from likewise.io.paths import IMAGE_SUFFIXES
from likewise.jobs.writers import FORMATS
from likewise.version import __version__

router = APIRouter()

LARGEST_FILE = 64 << 20
"""Bytes of a dropped file at most."""


@router.get("/project")
def get_project(workspace: InWorkspace) -> schemas.ProjectOut:
    return project_out(workspace)


@router.post("/project")
def open_project(body: schemas.OpenFolder, workspace: InWorkspace) -> schemas.ProjectOut:
    workspace.open_folder(body.folder)
    return project_out(workspace)


@router.patch("/project")
def change_project(body: schemas.ChangeProject, workspace: InWorkspace, opened: InProject) -> schemas.ProjectOut:
    opened.project.change_settings(body.settings.model_dump(exclude_none=True))
    return project_out(workspace)


@router.post("/rescan")
def rescan(workspace: InWorkspace, opened: InProject) -> schemas.ProjectOut:
    opened.project.scan()
    return project_out(workspace)


@router.get("/folders")
def list_folders(workspace: InWorkspace, path: str | None = None) -> schemas.Folders:
    folder, inner = workspace.folders(path)
    parent = None if folder is None or folder in workspace.roots else str(folder.parent)
    return schemas.Folders(
        path=None if folder is None else str(folder),
        parent=parent,
        folders=[schemas.FolderOut(name=one.name, path=str(one), images=images) for one, images in inner],
    )


@router.post("/files", status_code=201)
async def add_file(name: str, request: Request, opened: InProject) -> schemas.Added:
    content = await read_body(request, LARGEST_FILE, name)
    return await run_in_threadpool(_add, opened, name, content)


def _add(opened: Open, name: str, content: bytes) -> schemas.Added:
    base = PurePosixPath(name.replace("\\", "/")).name
    kept = "".join(letter if letter.isprintable() and letter not in '<>:"|?*' else "_" for letter in base)[-120:]
    path = PurePosixPath(kept.lstrip(". ") or "image")
    if path.suffix.lower() not in IMAGE_SUFFIXES:
        raise ArgumentError(f"{name}: no name of an image; images end in .jpg, .png, ...")
    try:
        read_image(content)  # decoded before it is stored: what is no image stays out
    except ImageError as error:
        raise ImageError(str(error).replace("the given bytes", name)) from error
    photo = opened.project.add_file(path.name, content)
    return schemas.Added(id=photo.id, name=photo.name)


@router.post("/classes", status_code=201)
def add_class(body: schemas.NewClass, opened: InProject) -> schemas.ClassOut:
    return class_out(opened, opened.project.add_class(body.name, body.colour).id)


@router.patch("/classes/{id}")
def change_class(id: int, body: schemas.ChangeClass, opened: InProject) -> schemas.ClassOut:
    opened.project.change_class(id, **body.model_dump(exclude_none=True))
    return class_out(opened, id)


@router.delete("/classes/{id}", status_code=204)
def delete_class(id: int, opened: InProject) -> None:
    opened.project.delete_class(id)


@router.post("/undo")
def undo(opened: InProject) -> schemas.Turned:
    return _turn(opened, redo=False)


@router.post("/redo")
def redo(opened: InProject) -> schemas.Turned:
    return _turn(opened, redo=True)


def _turn(opened: Open, *, redo: bool) -> schemas.Turned:
    label, images = opened.project.turn(redo=redo)
    return schemas.Turned(label=label, images=images, revision=opened.project.revision)


@router.get("/events")
async def listen(workspace: InWorkspace) -> Response:
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    return StreamingResponse(workspace.events.listen(), media_type="text/event-stream", headers=headers)


def project_out(workspace: Workspace) -> schemas.ProjectOut:
    capabilities = {
        "train": find_spec("torch") is not None and find_spec("lightning_fabric") is not None,
        "formats": list(FORMATS),
        "version": __version__,
        "files": LARGEST_FILE,
    }
    if not workspace.is_open:
        return schemas.ProjectOut(
            name="", root=None, revision=0, answered=0, classes=[], counts={}, settings={}, progress={}, undo=None,
            redo=None, capabilities=capabilities,
        )  # fmt: skip
    opened = workspace.open
    project = opened.project
    photos = project.present()
    decisions = [project.decision(photo.id) for photo in photos]
    counts = {"all": len(photos), "new": 0, "accepted": 0, "edited": 0, "absent": 0}
    counts |= Counter(decision.status for decision in decisions)
    counts["examples"] = sum(decision.example for decision in decisions)
    counts["unreadable"] = sum(photo.error is not None for photo in photos)
    undo, redo = project.store.next_steps()
    return schemas.ProjectOut(
        name=project.root.name,
        root=str(project.root),
        revision=project.revision,
        answered=opened.answers.current.number,
        classes=classes_out(opened),
        counts=counts,
        settings=project.settings,
        progress={
            task: None if now is None else schemas.Progress(done=now[0], total=now[1])
            for task, now in opened.progress().items()
        },
        undo=undo,
        redo=redo,
        capabilities=capabilities,
    )


def classes_out(opened: Open) -> list[schemas.ClassOut]:
    project = opened.project
    photos = project.present()
    shown = Counter(id for photo in photos if (own := project.decision(photo.id)).example for id in own.areas)
    found = Counter(own.id for photo in photos for own in opened.listing.known(photo).classes if own.area > 0)
    return [
        schemas.ClassOut(
            id=one.id, name=one.name, colour=one.colour, key=one.key, examples=shown[one.id], images=found[one.id]
        )
        for one in sorted(project.classes.values(), key=lambda one: one.id)
    ]


def class_out(opened: Open, id: int) -> schemas.ClassOut:
    return next(one for one in classes_out(opened) if one.id == id)
