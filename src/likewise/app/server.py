"""The server: routes behind the gate, the page, and one process on one port."""

from __future__ import annotations

import contextlib
import webbrowser
from collections.abc import AsyncIterator
from pathlib import Path

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from fastapi.staticfiles import StaticFiles

from likewise.app.photos import PROJECT, ConflictError, UnknownError
from likewise.app.project import root_of
from likewise.app.routes import images, project, tasks
from likewise.app.routes.parts import TooLargeError
from likewise.app.security import Gate, check_password, session_token
from likewise.app.workspace import Workspace
from likewise.errors import ArgumentError, LikewiseError, OutputError
from likewise.io.listening import is_loopback, listen
from likewise.version import __version__

PORTS = range(8765, 8785)
"""The first free one is taken."""

STATUS: dict[type[LikewiseError], int] = {UnknownError: 404, ConflictError: 409, TooLargeError: 413, OutputError: 507}
"""HTTP status of an error; 400 for all others."""


def create_app(workspace: Workspace) -> FastAPI:
    """Return the routes and the page, without the gate."""

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        workspace.close()

    app = FastAPI(
        title="likewise",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/openapi.json",
        lifespan=lifespan,
    )
    app.state.workspace = workspace
    app.include_router(project.router, prefix="/api")
    app.include_router(images.router, prefix="/api")
    app.include_router(tasks.router, prefix="/api")

    @app.exception_handler(LikewiseError)
    def explain(request: Request, error: LikewiseError) -> JSONResponse:
        status = next((status for kind, status in STATUS.items() if isinstance(error, kind)), 400)
        return JSONResponse({"detail": str(error)}, status)

    page = Path(__file__).parent / "page"
    if page.is_dir():
        app.mount("/", StaticFiles(directory=page, html=True))
    return app


def serve(
    photos: Path | None = None,
    *,
    project: Path | None = None,
    host: str = "127.0.0.1",
    port: int | None = None,
    browser: bool = True,
    password: str | None = None,
) -> None:
    """Serve until interrupted.

    Args:
        photos: the folder of images; None is that of `project`, or lets the page choose one below the current and the
            home folder.

    Raises:
        ArgumentError: no such folder, no free port, or a host that needs a password.
    """
    check_password(host, password)
    if photos is None and project is not None and (photos := root_of(project)) is not None and not photos.is_dir():
        raise ArgumentError(
            f"{project}: its folder {photos} is not there any more; if it moved, name it: likewise app PHOTOS "
            f"--project {project}"
        )
    if photos is not None and not photos.is_dir():
        raise ArgumentError(f"{photos}: no such folder; name a folder of images")
    listening = listen(host, PORTS if port is None else [port])
    roots = [photos] if photos is not None else [Path.cwd(), Path.home()]
    workspace = Workspace(roots, project)
    token = session_token(project or (photos / PROJECT if photos is not None else Path.home() / PROJECT))
    own_port = listening.getsockname()[1]
    gate = Gate(create_app(workspace), token=token, port=own_port, password=password)
    if photos is not None:
        workspace.open_folder(photos)
    shown = f"[{host}]" if ":" in host else host
    link = f"http://{'127.0.0.1' if host in ('0.0.0.0', '::') else shown}:{own_port}/?token={gate.launch}"
    print(f"likewise app: {link}", flush=True)
    if not is_loopback(host):
        print(f"Other machines log in at http://THIS-MACHINE:{own_port}/login, without encryption.", flush=True)
    print("Ctrl+C stops it; the project is always saved.", flush=True)
    if browser:
        webbrowser.open(link)
    config = uvicorn.Config(gate, log_level="warning", timeout_graceful_shutdown=2, server_header=False)
    with contextlib.suppress(KeyboardInterrupt):  # uvicorn raises it again when it has ended in good order
        uvicorn.Server(config).run(sockets=[listening])
