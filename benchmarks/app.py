"""Measure the app's server: the first pass, answering all images again after an example, lists, masks, memory.

    python benchmarks/app.py [--images 1000 10000] [--photos FOLDER]

Images are 500x375 crops of the photographs of a folder, or of scikit-image's, every second one mirrored, in JPEG files.
The first pass is measured on 100 of them beside `likewise segment`; for larger numbers their features are put into the
cache under the digests of the other files. Each number of images then gets examples, one after the other. Times are
given as wall time and as processor time of the process, which does not depend on what else runs. "Longest pause" is how
late a thread woke that sleeps for 5 ms: the event loop of the server would wait as long.
"""

import argparse
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
from PIL import Image
from skimage import data

from likewise.app.answers import Answers
from likewise.app.listing import Listing
from likewise.app.project import Project
from likewise.app.schemas import Marks
from likewise.app.selection import Selections
from likewise.io.digests import file_digest
from likewise.jobs.segment import segment_folder
from likewise.predict.examples import Example
from likewise.predict.few_shot import FewShot

HEIGHT, WIDTH = 375, 500
CLICK = Marks(points=[(250, 190, 1), (60, 40, 0)])
FIRST = 100


def sources_of(photos: Path | None) -> list[np.ndarray]:
    """Return photographs that have room for a crop."""
    if photos is None:
        return [data.astronaut(), data.coffee(), data.rocket(), data.stereo_motorcycle()[0]]
    read = (np.array(Image.open(path).convert("RGB")) for path in sorted(photos.rglob("*.jpg")))
    return [image for image in read if image.shape[0] >= HEIGHT and image.shape[1] >= WIDTH]


def write_images(folder: Path, count: int, sources: list[np.ndarray]) -> None:
    generator = np.random.default_rng(0)
    for number in range(count):
        source = sources[number % len(sources)]
        top, left = (generator.integers(0, s - n + 1) for s, n in zip(source.shape[:2], (HEIGHT, WIDTH), strict=True))
        crop = Image.fromarray(source[top : top + HEIGHT, left : left + WIDTH][:, :: -1 if number % 2 else 1])
        crop.save(folder / f"{number:05}.jpg", comment=str(number).encode())  # no two files are equal


def memory() -> str:
    return f"{psutil.Process().memory_info().rss / 2**20:.0f} MiB"


@contextmanager
def measured(name: str):
    """Print the wall time, the processor time and the longest pause of a block."""
    pauses, stop = [0.0], threading.Event()

    def sleep() -> None:
        while not stop.is_set():
            start = time.perf_counter()
            time.sleep(0.005)
            pauses.append(time.perf_counter() - start - 0.005)

    thread = threading.Thread(target=sleep)
    thread.start()
    wall, processor = time.perf_counter(), time.process_time()
    yield
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    stop.set()
    thread.join()
    pause = max(pauses) * 1000
    print(f"{name}: {wall:.2f} s, processor {processor:.2f} s, longest pause {pause:.0f} ms, {memory()}", flush=True)


def wait(answers: Answers) -> None:
    project = answers.project
    while not answers.is_current() or answers.features_done or answers.current.done < len(project.present()):
        time.sleep(0.02)


def first_pass(folder: Path) -> Answers:
    few_shot = FewShot()
    concept = few_shot.learn(Example(folder / "00000.jpg", box=(100, 50, 300, 300)))
    with measured(f"likewise segment, {FIRST} images"):
        segment_folder([folder], [concept], folder.parent / "masks", few_shot=few_shot)
    project = Project(folder)
    answers = Answers(project, few_shot)
    with measured(f"first pass, {FIRST} images"):
        answers.start()
        while len(project.present()) < FIRST or any(one.digest not in answers.cache for one in project.present()):
            time.sleep(0.01)
    return answers


def answer_again(count: int, known: Answers, folder: Path, examples: int, sources: list[np.ndarray]) -> None:
    folder.mkdir()
    write_images(folder, count, sources)
    project = Project(folder)
    with measured(f"{count} images: folder read"):
        project.scan()
        project.read_headers()
    answers = Answers(project, known.few_shot)
    features = [known.encoder.features(photo) for photo in known.project.present()]
    digests = {photo.id: file_digest(project.path(photo)) for photo in project.present()}
    for number, digest in enumerate(digests.values()):
        answers.cache.put(digest, features[number % len(features)])
    project.update_photos({id: {"digest": digest} for id, digest in digests.items()})
    answers.start()
    wait_for_none = time.monotonic()
    while answers.features_done or time.monotonic() < wait_for_none + 1:
        time.sleep(0.01)
    project.add_class("thing")
    listing = Listing(project, answers)
    for number, photo in enumerate(project.present()[:examples], start=1):
        labels = np.zeros((HEIGHT, WIDTH), np.uint8)
        labels[50:300, 100:300] = 1
        with measured(f"{count} images: answered again after example {number}"):
            project.accept(photo.id, labels, "edited", example=True)
            wait(answers)
    for sort in ("name", "presence", "unlikely"):
        start = time.perf_counter()
        listing.items(listing.select(sort, "all")[:200])
        print(f"{count} images: list sorted by {sort}: {(time.perf_counter() - start) * 1000:.1f} ms")
    for side in (256, None):
        ids = [photo.id for photo in project.present()[10:40]]
        start = time.process_time()
        for id in ids:
            answers.labels(id, side)
        each = (time.process_time() - start) / len(ids) * 1000
        print(f"mask at {side or 'full'} pixels: {each:.1f} ms of processor time")
    click(project, known.few_shot)
    answers.stop()
    project.close()


def click(project: Project, few_shot: FewShot) -> None:
    """Print how long a click's mask takes, and the preparation that opening the image starts."""
    selections = Selections(project, few_shot.extractor)
    times: dict[str, list[tuple[float, float]]] = {"image prepared for clicks": [], "mask of a click": []}
    for photo in project.present()[:20]:
        for name, work in (
            ("image prepared for clicks", lambda photo=photo: selections.prepare(photo)),
            ("mask of a click", lambda photo=photo: selections.select(photo, CLICK)),
        ):
            wall, processor = time.perf_counter(), time.process_time()
            work()
            times[name].append((time.perf_counter() - wall, time.process_time() - processor))
    for name, both in times.items():
        wall, processor = np.median(both, axis=0) * 1000
        print(f"{name}: median {wall:.0f} ms, processor {processor:.0f} ms; slowest {max(both)[0] * 1000:.0f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, nargs="+", default=[1000])
    parser.add_argument("--examples", type=int, default=3)
    parser.add_argument("--photos", type=Path)
    arguments = parser.parse_args()
    sources = sources_of(arguments.photos)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "photos"
        folder.mkdir()
        write_images(folder, FIRST, sources)
        known = first_pass(folder)
        for count in arguments.images:
            answer_again(count, known, Path(temporary) / f"photos-{count}", arguments.examples, sources)
        known.stop()


if __name__ == "__main__":
    main()
