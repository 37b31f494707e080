"""The app's server in the process of a test, with a few images."""

import io
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from fastapi.testclient import TestClient
from PIL import Image

from likewise.app.security import Gate
from likewise.app.server import create_app
from likewise.app.workspace import Workspace
from likewise.io.images import save_image
from support.scenes import scene

TOKEN = "t" * 40
HOST = "http://127.0.0.1"


def write_photos(folder: Path, count: int = 4) -> list[np.ndarray]:
    """Write photo1.png, photo2.png, ... with a red disc, and return the masks of the discs."""
    folder.mkdir(parents=True, exist_ok=True)
    masks = []
    for number in range(1, count + 1):
        image, mask = scene(at=(20 + 10 * number % 50, 15 * number % 100), seed=number)
        save_image(image, folder / f"photo{number}.png")
        masks.append(mask)
    return masks


@contextmanager
def serving(roots: list[Path], *, open_first: bool = True, password: str | None = None) -> Iterator[TestClient]:
    """Yield a client that has the token; the project in the first root is open."""
    workspace = Workspace(roots)
    if open_first:
        workspace.open_folder(roots[0])
    gate = Gate(create_app(workspace), token=TOKEN, port=80, password=password)
    with TestClient(gate, base_url=HOST, headers={"authorization": f"Bearer {TOKEN}"}) as client:
        client.gate, client.workspace = gate, workspace  # type: ignore[attr-defined]
        yield client


def wait_until(reached: Callable[[], object], seconds: float = 120.0) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def wait_for_answers(client: TestClient) -> list[dict]:
    """Return the images once all of them are answered by the concept of all steps, or have features without one."""
    opened = client.workspace.open  # type: ignore[attr-defined]

    def current() -> bool:
        answers, photos = opened.answers, opened.project.present()
        if not photos or any(photo.digest not in answers.cache and not photo.error for photo in photos):
            return False
        if not answers.is_current():
            return False
        return answers.current.segmenter is None or all(
            photo.error or ((one := answers.answer(photo.id)) and one.number == answers.current.number)
            for photo in photos
        )

    wait_until(current)
    return client.get("/api/images").json()["items"]


def png(labels: np.ndarray) -> bytes:
    """Return the bytes of a mask PNG."""
    buffer = io.BytesIO()
    Image.fromarray(labels.astype(np.uint8)).save(buffer, format="png")
    return buffer.getvalue()


def pixels(content: bytes) -> np.ndarray:
    """Return the pixels of an image file."""
    return np.array(Image.open(io.BytesIO(content)))
