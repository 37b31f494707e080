"""The endpoints of Label Studio's machine learning backend protocol.

https://labelstud.io/guide/ml
"""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import re
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse
from starlette.middleware.trustedhost import TrustedHostMiddleware

from likewise.engine.threads import one_blas_thread
from likewise.errors import ArgumentError, LikewiseError, OutputError
from likewise.io.listening import listen
from likewise.predict.few_shot import FewShot
from likewise.serve.bounds import QUEUE, Slots, read_body
from likewise.serve.label_studio.backend import Backend, Payload
from likewise.serve.label_studio.client import Client
from likewise.serve.label_studio.errors import STATUS, PayloadError
from likewise.serve.label_studio.images import Images
from likewise.serve.label_studio.projects import Projects
from likewise.serve.running import check_token, hosts_of, run
from likewise.version import __version__

log = logging.getLogger(__name__)

BODY = 128 << 20
"""Bytes of a request at most: one for smart regions carries all annotations of its task."""
TOKEN = re.compile(r"[A-Za-z0-9_-]+")
"""What a token in an address is made of."""


def create_app(
    backend: Backend, *, token: str | None = None, queue: int = QUEUE, workers: int = 1, hosts: Sequence[str] = ("*",)
) -> FastAPI:
    """Return the endpoints; with a token below ``/token``, since the webhook that Label Studio makes sends no header.

    Args:
        queue: requests for predictions in work and waiting; more are refused with 429.
        workers: threads that predict; smart regions have one of their own.
        hosts: names that requests may call the server by.
    """
    slots, threads, smart = Slots(queue), ThreadPoolExecutor(workers), ThreadPoolExecutor(1)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        with one_blas_thread():
            yield
        threads.shutdown()
        smart.shutdown()
        backend.close()

    app = FastAPI(
        title="likewise for Label Studio", version=__version__, docs_url=None, redoc_url=None, lifespan=lifespan
    )
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(hosts))

    def check(request: Request) -> None:
        given = request.url.path.split("/")[1]
        if token is not None and not hmac.compare_digest(given.encode(), token.encode()):
            raise HTTPException(401, "the address of the backend ends with the token: http://HOST:PORT/TOKEN")

    router = APIRouter(prefix="" if token is None else "/{token}", dependencies=[Depends(check)])

    async def read_payload(request: Request) -> Payload:
        if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            raise HTTPException(415, "send application/json")  # which pages of other sites may not
        return parse_payload(await read_body(request, BODY))

    async def answer(request: Request, work: Callable[[Payload], Payload]) -> Payload:
        payload = await read_payload(request)
        return await asyncio.get_running_loop().run_in_executor(None, work, payload)

    @router.get("/")
    @router.get("/health")
    def health() -> Payload:
        return {"status": "UP", "model_class": "likewise", "version": __version__, "learning": backend.teacher.waiting}

    @router.post("/setup")
    async def setup(request: Request) -> Payload:
        return await answer(request, backend.setup)

    @router.post("/predict")
    async def predict(request: Request) -> Payload:
        async with slots.hold(1):
            payload = await read_payload(request)
            params = payload.get("params")
            is_smart = isinstance(params, dict) and params.get("context") is not None
            work, pool = (backend.suggest, smart) if is_smart else (backend.predict, threads)
            return await asyncio.get_running_loop().run_in_executor(pool, work, payload)

    @router.post("/webhook", status_code=201)
    async def webhook(request: Request) -> Payload:
        return await answer(request, backend.webhook)

    @router.get("/versions")
    def versions(project: str | None = None) -> Payload:
        return backend.versions(project)

    app.include_router(router)

    @app.api_route("/{rest:path}", methods=["GET", "POST"], include_in_schema=False)
    def elsewhere(request: Request) -> None:
        check(request)
        raise HTTPException(404, "the endpoints are /health, /setup, /predict, /webhook and /versions")

    @app.exception_handler(HTTPException)
    def refuse(request: Request, error: HTTPException) -> JSONResponse:
        log.warning("%s: %s", request.url.path.rpartition("/")[2], error.detail)
        return JSONResponse({"error": error.detail}, error.status_code, error.headers)

    @app.exception_handler(LikewiseError)
    def explain(request: Request, error: LikewiseError) -> JSONResponse:
        log.warning("%s: %s", request.url.path.rpartition("/")[2], error)
        status = next((status for kind, status in {**STATUS, OutputError: 507}.items() if isinstance(error, kind)), 422)
        return JSONResponse({"error": str(error)}, status)

    return app


def parse_payload(content: bytes) -> Payload:
    """Return the object in the body of a request.

    Raises:
        PayloadError: no JSON, or no object.
    """
    try:
        payload = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise PayloadError(f"the body is no JSON ({error})") from error
    if not isinstance(payload, dict):
        raise PayloadError("the body is no JSON object")
    return payload


def serve(
    folder: Path,
    few_shot: FewShot,
    *,
    label_studio: str,
    api_key: str | None = None,
    local_files: Sequence[Path] = (),
    images_from: Sequence[str] = (),
    host: str = "127.0.0.1",
    port: int = 9090,
    workers: int = 1,
    token: str | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM; requests in work are then answered.

    Args:
        folder: of the projects: their annotations, examples and concepts.
        label_studio: address of Label Studio, the only host that is asked for images and annotations.
        api_key: access token of an account of Label Studio.
        local_files: Label Studio's document roots of local files, where this machine has them.
        images_from: addresses of other servers that images may be read from.
        workers: threads that predict.
        token: the last part of the backend's address; needed if other machines may connect.

    Raises:
        ArgumentError: a host that needs a token, a token that an address cannot have, or a port or folder in use.
    """
    check_token(host, token)
    if token is not None and not TOKEN.fullmatch(token):
        raise ArgumentError("the token is part of an address; make it of letters, digits, - and _")
    client = Client(label_studio, api_key, images_from)
    projects = Projects(folder, few_shot, Images(client, local_files))
    projects.warm()
    listening = listen(host, [port])
    app = create_app(Backend(projects), token=token, workers=workers, hosts=hosts_of(host))
    logging.basicConfig(format="likewise: %(message)s")
    logging.getLogger("likewise").setLevel(logging.INFO)
    end = "/TOKEN" if token is not None else ""
    print(f"likewise serve label-studio: http://{host}:{listening.getsockname()[1]}{end}", flush=True)
    run(app, listening)
