"""Suggestions, objects, export, concepts, annotations and training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import FileResponse
from starlette.concurrency import run_in_threadpool

from likewise.app import schemas
from likewise.app.annotations import open_annotations, open_concept
from likewise.app.objects import class_summaries, object_rows
from likewise.app.photos import ConflictError, UnknownError
from likewise.app.routes.parts import InProject, InWorkspace, png, read_body
from likewise.app.routes.project import project_out
from likewise.app.tasks import Task

router = APIRouter()

LARGEST_CONCEPT = 64 << 20
"""Bytes of an uploaded concept at most."""


def task_out(task: Task) -> dict[str, Any]:
    return {"state": task.state, "done": task.done, "total": task.total, "error": task.error}


@router.post("/suggest", status_code=202)
def start_suggestions(body: schemas.Suggest, opened: InProject) -> schemas.Proposals:
    opened.suggestions.start(body.ids, body.count, body.class_id)
    return get_suggestions(opened)


@router.get("/suggest")
def get_suggestions(opened: InProject) -> schemas.Proposals:
    own = opened.suggestions
    proposals = [schemas.Proposal(id=id, area=float(mask.mean())) for id, mask in own.proposals.items()]
    return schemas.Proposals(**task_out(own.task), proposals=proposals, outsiders=own.outsiders)


@router.post("/suggest/stop", status_code=204)
def stop_suggestions(opened: InProject) -> None:
    opened.suggestions.task.stop()


@router.get("/suggest/{id}/mask")
def get_proposal(id: int, opened: InProject) -> Response:
    return png(opened.suggestions.proposal(id) * np.uint8(255))


@router.post("/suggest/{id}")
def decide_proposal(id: int, body: schemas.DecideProposal, opened: InProject) -> schemas.ImageOut:
    if body.accept:
        opened.suggestions.accept(id, body.class_id)
    else:
        opened.suggestions.reject(id)
    return opened.listing.items([opened.project.photo(id)])[0]


@router.get("/objects")
def get_objects(
    opened: InProject,
    accepted: bool = True,
    class_id: int | None = None,
    offset: Annotated[int, Query(ge=0)] = 0,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 1000,
) -> schemas.Objects:
    rows = object_rows(opened.project, opened.answers, accepted=accepted)
    shown = [row for row, _ in rows if class_id in (None, row.class_id)]
    summaries = class_summaries(opened.project, rows)
    return schemas.Objects(classes=summaries, total=len(shown), items=shown[offset : offset + limit])


@router.post("/export", status_code=202)
def start_export(body: schemas.Export, workspace: InWorkspace, opened: InProject) -> schemas.ExportOut:
    out = None
    if body.to == "folder":
        out = workspace.allowed(opened.project.root / Path(body.folder or "").expanduser())
        if out == opened.project.root or opened.project.folder in (out, *out.parents):
            raise ConflictError(f"{body.folder}: name a folder of its own for the export, such as masks")
    opened.exports.start(body.formats, body.which, out)
    return get_export(opened)


@router.get("/export")
def get_export(opened: InProject) -> schemas.ExportOut:
    own = opened.exports
    url = "/api/export/file" if own.path is not None and own.path.suffix == ".zip" else None
    failed = [(str(path), reason) for path, reason in own.report.failed] if own.report else []
    done = own.report.done if own.report else 0
    path = None if own.path is None else str(own.path)
    return schemas.ExportOut(**task_out(own.task), path=path, url=url, images=done, failed=failed)


@router.post("/export/stop", status_code=204)
def stop_export(opened: InProject) -> None:
    opened.exports.task.stop()


@router.get("/export/file")
def get_export_file(opened: InProject) -> FileResponse:
    path = opened.exports.path
    if path is None or path.suffix != ".zip" or not path.is_file():
        raise UnknownError("there is no zip; export one first")
    name = f"{opened.project.root.name or 'photos'}-masks.zip"
    return FileResponse(path, filename=name, media_type="application/zip", headers={"cache-control": "no-store"})


@router.get("/concept")
def get_concept(opened: InProject) -> FileResponse:
    path = opened.exports.concept()
    return FileResponse(path, filename=path.name, headers={"cache-control": "no-store"})


@router.post("/concept")
async def add_concept(request: Request, workspace: InWorkspace, opened: InProject) -> schemas.ProjectOut:
    content = await read_body(request, LARGEST_CONCEPT, "the concept")
    await run_in_threadpool(open_concept, opened.project, opened.answers.few_shot, content)
    return await run_in_threadpool(project_out, workspace)


@router.post("/annotations")
def add_annotations(body: schemas.OpenAnnotations, workspace: InWorkspace, opened: InProject) -> schemas.Opened:
    path = workspace.allowed(opened.project.root / Path(body.path).expanduser())
    images, unmatched = open_annotations(opened.project, path, as_example=body.as_example)
    return schemas.Opened(images=images, unmatched=unmatched)


@router.get("/command")
def get_command(opened: InProject) -> schemas.Command:
    return schemas.Command(segment=opened.exports.command(), concept=str(opened.exports.concept()))


@router.get("/train")
def get_training(opened: InProject) -> schemas.TrainOut:
    return schemas.TrainOut(**opened.training.describe())


@router.post("/train", status_code=202)
def start_training(body: schemas.Train, opened: InProject) -> schemas.TrainOut:
    opened.training.start(body.iterations)
    return get_training(opened)


@router.post("/train/stop")
def stop_training(opened: InProject) -> schemas.TrainOut:
    opened.training.stop()
    return get_training(opened)


@router.post("/train/adopt")
def adopt_network(body: schemas.Adopt, opened: InProject) -> schemas.TrainOut:
    opened.training.adopt(adopt=body.adopt)
    return get_training(opened)
