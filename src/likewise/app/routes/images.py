"""Images, their pixels and masks, and what a person decides about them."""

from __future__ import annotations

import contextlib
import threading
from typing import Annotated, Literal

import numpy as np
from fastapi import APIRouter, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from likewise.app import pixels, schemas
from likewise.app.masks import LARGEST_MASK, decode_png
from likewise.app.photos import ConflictError
from likewise.app.routes.parts import InProject, caching, png, read_body
from likewise.app.workspace import Open
from likewise.errors import OutputError

router = APIRouter()

Page = Annotated[int, Query(ge=1, le=1000)]
Side = Annotated[int, Query(ge=16, le=pixels.LARGEST)]


@router.get("/images")
def list_images(
    opened: InProject,
    offset: Annotated[int, Query(ge=0)] = 0,
    limit: Page = 200,
    sort: schemas.Sort = "name",
    descending: bool = False,
    filter: schemas.Filter = "all",
    class_id: int | None = None,
    search: Annotated[str, Query(max_length=200)] = "",
) -> Response:
    listing, project = opened.listing, opened.project
    photos = listing.select(sort, filter, descending=descending, class_id=class_id, search=search)
    found = schemas.ImageList.model_construct(
        total=len(photos),
        revision=project.revision,
        answered=opened.answers.current.number,
        items=listing.items(photos[offset : offset + limit]),
    )
    return Response(found.model_dump_json(), media_type="application/json")


@router.post("/visible", status_code=204)
def show(body: schemas.Visible, opened: InProject) -> None:
    opened.answers.show(body.ids)


@router.get("/images/{id}")
def get_image(id: int, opened: InProject) -> schemas.ImageOut:
    photo = opened.project.photo(id)
    if not photo.seen:
        with contextlib.suppress(OutputError):  # a full disk does not keep a person from looking
            opened.project.update_photos({id: {"seen": 1}})
    if photo.error is None:
        threading.Thread(target=opened.prepare, args=(photo,), daemon=True).start()
    return _image(opened, id)


@router.get("/images/{id}/thumbnail")
def get_thumbnail(id: int, opened: InProject, rev: str = "") -> Response:
    photo = opened.project.photo(id)
    return Response(
        pixels.thumbnail(opened.project, photo), media_type="image/jpeg", headers=caching(rev == photo.version)
    )


@router.get("/images/{id}/pixels")
def get_pixels(id: int, opened: InProject, rev: str = "", side: Side = 2048) -> Response:
    photo = opened.project.photo(id)
    content = pixels.jpeg(opened.project, photo, side)
    return Response(content, media_type="image/jpeg", headers=caching(rev == photo.version))


@router.get("/images/{id}/mask")
def get_mask(
    id: int,
    opened: InProject,
    rev: str = "",
    side: Side | None = None,
    of: Literal["concept", "network"] | None = None,
) -> Response:
    photo = opened.project.photo(id)
    version = opened.answers.mask_version(photo)
    labels = opened.answers.labels(id, side, of)
    keep = of is None and rev == version == opened.answers.mask_version(photo)
    if of is None and rev:
        opened.answers.loaded(id, rev, side, labels, is_current=keep)
    return png(labels, keep=keep)


@router.post("/images/{id}/select")
def select(id: int, marks: schemas.Marks, opened: InProject) -> Response:
    photo = opened.project.photo(id)
    opened.answers.wait_a_moment()
    return png(opened.selections.select(photo, marks).astype(np.uint8) * np.uint8(255))


@router.put("/images/{id}/mask")
async def put_mask(
    id: int, request: Request, opened: InProject, as_example: bool = True, base: str | None = None
) -> schemas.ImageOut:
    body = await read_body(request, LARGEST_MASK, "the mask")
    return await run_in_threadpool(_put_mask, opened, id, body, as_example, base)


def _put_mask(opened: Open, id: int, body: bytes, as_example: bool, base: str | None) -> schemas.ImageOut:
    project = opened.project
    photo = project.photo(id)
    labels = decode_png(body, project.size(photo))
    with project.lock:
        decided = project.decision(id).status != "new"
        if base is not None and decided and not opened.answers.is_decided_mask(photo, base):
            raise ConflictError(f"{photo.name}: its mask was replaced meanwhile; load it again, then draw")
        project.accept(id, labels, "edited", example=as_example)
    return _image(opened, id)


@router.post("/images/{id}/decision")
def decide(id: int, body: schemas.Decide, opened: InProject) -> schemas.ImageOut:
    project = opened.project
    if body.decision == "accept":
        _accept(opened, id, bool(body.as_example), body.base)
    elif body.decision == "absent":
        project.mark_absent(id, example=body.as_example is not False)
    else:
        project.reset(id)
    return _image(opened, id)


def _accept(opened: Open, id: int, as_example: bool, base: str | None) -> None:
    project = opened.project
    photo = project.photo(id)
    if not project.classes:
        raise ConflictError("there is no class yet, so nothing to accept; add a class and an example")
    decision = project.decision(id)
    is_guarded = base is not None and decision.status == "new"
    labels = opened.answers.seen_labels(id, base or "") if is_guarded else opened.answers.labels(id)
    with project.lock:
        if labels is None or (is_guarded and project.decision(id) != decision):
            raise ConflictError(
                f"{photo.name}: its mask has changed since it was shown; look at the new mask, then accept again"
            )
        project.accept(id, labels, "accepted", example=as_example)


@router.post("/images/{id}/example")
def add_example(id: int, opened: InProject) -> schemas.ImageOut:
    opened.project.set_example(id, example=True)
    return _image(opened, id)


@router.delete("/images/{id}/example")
def delete_example(id: int, opened: InProject) -> schemas.ImageOut:
    opened.project.set_example(id, example=False)
    return _image(opened, id)


def _image(opened: Open, id: int) -> schemas.ImageOut:
    return opened.listing.items([opened.project.photo(id)])[0]
