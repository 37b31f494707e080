"""The server: images in, masks or COCO out, with a bounded queue, health and metrics.

request -> token -> slots (429) -> body (413, 408) -> thread -> segmenter -> PNG or JSON
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import json
import time
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from pycocotools import mask as coco_mask
from starlette.middleware.trustedhost import TrustedHostMiddleware

from likewise.engine.threads import one_blas_thread
from likewise.errors import ArgumentError, ImageError, check_known
from likewise.io.images import read_scaled
from likewise.io.listening import listen
from likewise.jobs.writers import encode, regions_of
from likewise.predict.edges import LARGEST
from likewise.predict.segmenter import Segmenter
from likewise.serve.bounds import BODY, QUEUE, Slots, read_body
from likewise.serve.running import check_token, hosts_of, run
from likewise.version import __version__

FORMATS = ("mask", "coco")


class Metrics:
    """What /metrics states."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        registry = self.registry
        self.requests = Counter(
            "likewise_requests", "Requests to /segment by HTTP status.", ["status"], registry=registry
        )
        self.images = Counter("likewise_images", "Images segmented.", registry=registry)
        self.seconds = Histogram(
            "likewise_image_seconds", "Seconds that one image takes in its thread.", registry=registry
        )
        self.queue = Gauge("likewise_queue", "Images in work and waiting.", registry=registry)


def create_app(
    segmenter: Segmenter,
    *,
    queue: int = QUEUE,
    body: int = BODY,
    workers: int = 1,
    token: str | None = None,
    hosts: Sequence[str] = ("*",),
) -> FastAPI:
    """Return the endpoints /segment, /health and /metrics; arguments as for `serve`.

    Args:
        hosts: names that requests may call the server by.
    """
    metrics = Metrics()
    threads = ThreadPoolExecutor(workers)
    slots = Slots(queue, metrics.queue.set)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        with one_blas_thread():
            yield
        threads.shutdown()

    app = FastAPI(title="likewise serve", version=__version__, docs_url=None, redoc_url=None, lifespan=lifespan)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(hosts))

    def work(content: bytes, format: str, name: str) -> Any:
        start = time.perf_counter()
        found = segment_one(segmenter, content, format, name)
        metrics.images.inc()
        metrics.seconds.observe(time.perf_counter() - start)
        return found

    async def answer(request: Request, format: str) -> Response:
        check_known(format, FORMATS, "format")
        if token is not None:
            given = request.headers.get("authorization", "").removeprefix("Bearer ")
            if not hmac.compare_digest(given.encode(), token.encode()):
                raise HTTPException(401, "send the token: Authorization: Bearer ...", {"WWW-Authenticate": "Bearer"})
        loop = asyncio.get_running_loop()
        batch = request.headers.get("content-type", "").partition(";")[0].strip() == "application/json"
        if batch and format != "coco":
            raise HTTPException(400, "several images have one answer in JSON; ask for format=coco")
        async with slots.hold(1):
            content = await read_body(request, body)
            if not batch:
                found = await loop.run_in_executor(threads, work, content, format, "image")
                return Response(found, media_type="image/png") if format == "mask" else JSONResponse(found)
            images = parse_batch(content)
            if len(images) > queue:
                raise HTTPException(413, f"{len(images)} images; at most {queue} in one request")
            async with slots.hold(len(images) - 1):
                waiting = [loop.run_in_executor(threads, work_or_error, *image) for image in images]
                return JSONResponse({"results": await asyncio.gather(*waiting)})

    def work_or_error(name: str, content: bytes) -> Any:
        try:
            return work(content, "coco", name)
        except ImageError as error:
            return {"name": name, "error": reason(error)}

    @app.post("/segment", response_model=None)
    async def segment(request: Request, format: str = "mask") -> Response:
        """Segment the image in the body, or several in JSON.

        The body is an image file, answered by a PNG mask (format=mask) or by JSON (format=coco); or, with the type
        application/json, `{"images": [{"name": "1.jpg", "data": "<base64>"}, ...]}`, answered by `{"results": [...]}`,
        where an image that cannot be read has an `error`.
        """
        try:
            response = await answer(request, format)
        except HTTPException as error:
            response = JSONResponse({"detail": error.detail}, error.status_code, error.headers)
        except (ImageError, ArgumentError) as error:
            response = JSONResponse({"detail": reason(error)}, 400)
        except Exception:
            metrics.requests.labels("500").inc()
            raise
        metrics.requests.labels(str(response.status_code)).inc()
        return response

    @app.get("/health")
    def health() -> dict[str, Any]:
        """Say that the server answers, and by which model and concept."""
        concept = segmenter.concept
        return {
            "status": "ok",
            "version": __version__,
            "model": concept.model,
            "classes": concept.classes,
            "concept": concept.digest(),
        }

    @app.get("/metrics")
    def state() -> Response:
        """Return the metrics in Prometheus' text format."""
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    return app


def serve(
    segmenter: Segmenter,
    *,
    host: str = "127.0.0.1",
    port: int = 8790,
    queue: int = QUEUE,
    body: int = BODY,
    workers: int = 1,
    token: str | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM; requests in work are then answered, for at most `STOP_SECONDS`.

    Args:
        queue: images in work and waiting; more are refused with 429.
        body: bytes of a request at most; more are refused with 413.
        workers: threads that segment.
        token: that requests have to send; needed if other machines may connect.

    Raises:
        ArgumentError: a host that needs a token, a port that is taken, or a number below 1.
    """
    if min(queue, body, workers) < 1:
        raise ArgumentError("queue, body and workers are 1 or more")
    check_token(host, token)
    app = create_app(segmenter, queue=queue, body=body, workers=workers, token=token, hosts=hosts_of(host))
    listening = listen(host, [port])
    print(f"likewise serve: http://{host}:{listening.getsockname()[1]}/segment", flush=True)
    run(app, listening)


def segment_one(segmenter: Segmenter, content: bytes, format: str, name: str) -> Any:
    """Return the PNG mask of one image, or its regions as JSON can hold them."""
    image = read_scaled(content, LARGEST)
    result = segmenter(image)
    if format == "mask":
        return encode("mask", image, result)
    regions = regions_of(name, result)
    return {
        "name": name,
        "width": regions.width,
        "height": regions.height,
        "presence": dict(zip(result.classes, regions.presences, strict=False)),
        "annotations": [
            {
                "category": result.classes[region.category - 1],
                "segmentation": {"size": code["size"], "counts": region.counts},
                "bbox": coco_mask.toBbox(code).tolist(),
                "area": int(coco_mask.area(code)),
                "score": region.score,
            }
            for region, code in regions.coded_masks()
        ],
    }


def parse_batch(content: bytes) -> list[tuple[str, bytes]]:
    """Return name and content of each image of a batch.

    Raises:
        ArgumentError: another JSON.
    """
    try:
        images = [
            (str(each["name"]), base64.b64decode(each["data"], validate=True)) for each in json.loads(content)["images"]
        ]
    except (ValueError, LookupError, TypeError, RecursionError, binascii.Error) as error:
        raise ArgumentError(
            f'not a batch of images ({error!r}); send {{"images": [{{"name": "1.jpg", "data": "<base64>"}}]}}'
        ) from error
    if not images:
        raise ArgumentError("a batch without images; send one or more")
    return images


def reason(error: Exception) -> str:
    """Return the message of an error without the words for a body in memory."""
    return str(error).removeprefix("the given bytes: ")
