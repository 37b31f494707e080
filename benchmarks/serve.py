"""Measure `likewise serve` on loopback: p50 and p99 with 1, 4 and 16 clients, and answers at overload.

    python benchmarks/serve.py [--requests 100] [--size 640] [--queue 8]

Each client sends the next image when it has the answer to the last. An answer is 200 or 429; anything else, or none,
ends the script. A 429 is counted and not sent again. The server is a process of its own.
"""

from __future__ import annotations

import argparse
import io
import re
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from likewise import Example, FewShot


def make_image(index: int, size: int) -> np.ndarray:
    small = np.random.default_rng(index).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    return np.array(Image.fromarray(small).resize((size, size * 3 // 4), Image.Resampling.BICUBIC))


def ask(address: str, content: bytes) -> tuple[int, float]:
    """Send one image; return the status and the seconds."""
    start = time.perf_counter()
    try:
        with urllib.request.urlopen(urllib.request.Request(address, content), timeout=600) as answer:
            answer.read()
            status = answer.status
    except urllib.error.HTTPError as error:
        status = error.code
    return status, time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=100, help="for each number of clients")
    parser.add_argument("--size", type=int, default=640, help="width of the images in pixels")
    parser.add_argument("--queue", type=int, default=8)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        image = make_image(0, given.size)
        height, width = image.shape[:2]
        few_shot = FewShot()
        box = (width // 4, height // 4, 3 * width // 4, 3 * height // 4)
        few_shot.learn(Example(image, box=box)).save(Path(folder) / "x.concept")
        command = [sys.executable, "-m", "likewise", "serve", "--like", f"{folder}/x.concept", "--port", "0"]
        server = subprocess.Popen([*command, "--queue", str(given.queue)], stdout=subprocess.PIPE, text=True)
        try:
            assert server.stdout is not None
            found = re.search(r"http://\S+", server.stdout.readline())
            assert found, "the server did not start"
            buffer = io.BytesIO()
            Image.fromarray(make_image(1, given.size)).save(buffer, "jpeg")
            ask(found[0], buffer.getvalue())
            print(f"{width}x{height} JPEG, queue {given.queue}, {given.requests} requests a row")
            print(f"{'clients':>8}{'200':>6}{'429':>6}{'p50 ms':>9}{'p99 ms':>9}{'images/s':>10}")
            for clients in (1, 4, 16):
                start = time.perf_counter()
                with ThreadPoolExecutor(clients) as threads:
                    answers = list(threads.map(lambda _: ask(found[0], buffer.getvalue()), range(given.requests)))
                seconds = time.perf_counter() - start
                counts = Counter(status for status, _ in answers)
                assert counts.keys() <= {200, 429}, counts
                p50, p99 = 1e3 * np.percentile([own for status, own in answers if status == 200], [50, 99])
                rate = counts[200] / seconds
                print(f"{clients:8}{counts[200]:6}{counts[429]:6}{p50:9.0f}{p99:9.0f}{rate:10.1f}", flush=True)
        finally:
            server.terminate()
            server.wait(60)


if __name__ == "__main__":
    main()
