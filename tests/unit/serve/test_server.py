import base64
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from likewise import Example, FewShot
from likewise.errors import ArgumentError
from likewise.viz.draw import png
from support.fakes import noise

server = pytest.importorskip("likewise.serve.server", exc_type=ImportError)
TestClient = pytest.importorskip("fastapi.testclient").TestClient

SOURCE = str(Path(__file__).parents[3] / "src")
TOKEN = "a token of some length"


@pytest.fixture(scope="module")
def few_shot() -> FewShot:
    return FewShot(side=96, presence=0.0)


@pytest.fixture(scope="module")
def segmenter(few_shot):
    mask = np.zeros((60, 80), bool)
    mask[20:50, 20:60] = True
    return few_shot.prepare(few_shot.learn(Example(noise(0), mask=mask, class_name="cat")))


def client_of(segmenter, **options):
    return TestClient(server.create_app(segmenter, **options), base_url="http://127.0.0.1")


@pytest.fixture
def client(segmenter):
    with client_of(segmenter, hosts=["127.0.0.1"]) as opened:
        yield opened


def test_an_image_is_answered_by_its_mask(client, segmenter, tmp_path):
    answer = client.post("/segment", content=png(noise(1)))
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
    (tmp_path / "x.png").write_bytes(answer.content)
    np.testing.assert_array_equal(np.array(Image.open(tmp_path / "x.png")) > 0, segmenter(noise(1)).mask)


def test_an_image_is_answered_by_regions(client, segmenter):
    found = client.post("/segment?format=coco", content=png(noise(1))).json()
    assert (found["width"], found["height"]) == (80, 60)
    assert sum(each["area"] for each in found["annotations"]) == segmenter(noise(1)).mask.sum()
    assert found["annotations"][0]["category"] == "cat"
    assert 0 <= found["presence"]["cat"] <= 1


def batch(*contents: bytes) -> dict[str, object]:
    data = [base64.b64encode(content).decode() for content in contents]
    return {"images": [{"name": f"{index}.png", "data": each} for index, each in enumerate(data)]}


def test_a_batch_is_answered_in_order_and_a_damaged_image_fails_alone(client):
    sent = batch(png(noise(1)), b"no image", png(noise(2)))
    results = client.post("/segment?format=coco", json=sent).json()["results"]
    assert [each["name"] for each in results] == ["0.png", "1.png", "2.png"]
    assert [bool(each.get("error")) for each in results] == [False, True, False]


@pytest.mark.parametrize(
    ("sent", "format", "said"),
    [
        ({"content": b"no image"}, "mask", "save it as JPEG or PNG"),
        ({"content": b""}, "mask", "empty"),
        ({"content": png(noise(1))}, "yolo", "yolo"),
        ({"json": {"images": []}}, "coco", "without images"),
        ({"json": {"images": [{"name": "x"}]}}, "coco", "not a batch"),
        ({"json": [1]}, "coco", "not a batch"),
        ({"json": batch(png(noise(1)))}, "mask", "format=coco"),
    ],
)
def test_a_wrong_request_says_what_is_wrong(client, sent, format, said):
    answer = client.post("/segment", params={"format": format}, **sent)
    assert answer.status_code == 400
    assert said in answer.json()["detail"]


def test_health_names_the_model_and_the_classes(client):
    found = client.get("/health").json()
    assert (found["status"], found["model"], found["classes"]) == ("ok", "prototypes-lite0", ["cat"])


def test_metrics_count_images_and_answers(client):
    client.post("/segment", content=png(noise(1)))
    client.post("/segment", content=b"no image")
    text = client.get("/metrics").text
    assert 'likewise_requests_total{status="200"} 1.0' in text
    assert 'likewise_requests_total{status="400"} 1.0' in text
    assert "likewise_images_total 1.0" in text
    assert "likewise_queue 0.0" in text


def test_a_body_that_is_too_large_is_refused(segmenter):
    with client_of(segmenter, body=100) as client:
        assert client.post("/segment", content=bytes(101)).status_code == 413
        assert client.post("/segment", content=(bytes(60) for _ in range(2))).status_code == 413
        assert "likewise_queue 0.0" in client.get("/metrics").text


def test_a_slow_body_is_refused(segmenter, monkeypatch):
    monkeypatch.setattr("likewise.serve.bounds.BODY_SECONDS", 0.05)

    async def never(self):
        import asyncio

        await asyncio.sleep(5)
        yield b""

    monkeypatch.setattr("fastapi.Request.stream", never)
    with client_of(segmenter) as client:
        assert client.post("/segment", content=png(noise(1))).status_code == 408


def test_more_than_the_queue_holds_is_refused_and_nothing_is_lost(segmenter, monkeypatch):
    go = threading.Event()
    original = server.segment_one

    def slow(*arguments):
        go.wait(20)
        return original(*arguments)

    monkeypatch.setattr(server, "segment_one", slow)
    with client_of(segmenter, queue=3) as client, ThreadPoolExecutor(8) as threads:
        sent = [threads.submit(client.post, "/segment", content=png(noise(1))) for _ in range(8)]
        while sum(each.done() for each in sent) < 5:
            time.sleep(0.01)
        assert client.post("/segment?format=coco", json=batch(*[b"x"] * 4)).status_code == 429
        go.set()
        answers = [each.result() for each in sent]
        assert sorted(each.status_code for each in answers) == [200] * 3 + [429] * 5
        assert {each.headers.get("retry-after") for each in answers if each.status_code == 429} == {"1"}
        assert client.post("/segment?format=coco", json=batch(*[png(noise(1))] * 4)).status_code == 413
        assert "likewise_queue 0.0" in client.get("/metrics").text


def test_a_token_is_needed_where_one_is_set(segmenter):
    with client_of(segmenter, token=TOKEN) as client:
        for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": "Bearer ü".encode()}):
            assert client.post("/segment", content=png(noise(1)), headers=headers).status_code == 401
        right = {"authorization": f"Bearer {TOKEN}"}
        assert client.post("/segment", content=png(noise(1)), headers=right).status_code == 200
        assert client.get("/health").status_code == 200


def test_another_name_of_the_server_is_refused(client):
    assert client.get("/health", headers={"host": "evil.example"}).status_code == 400


@pytest.mark.parametrize(
    ("options", "said"),
    [({"host": "0.0.0.0"}, "LIKEWISE_SERVE_TOKEN"), ({"token": "short"}, "5 characters"), ({"queue": 0}, "1 or more")],
)
def test_settings_that_are_not_safe_are_refused(segmenter, options, said):
    with pytest.raises(ArgumentError, match=said):
        server.serve(segmenter, **options)


@pytest.mark.slow
def test_a_server_that_is_stopped_answers_what_it_has_and_ends(few_shot, segmenter, tmp_path):
    segmenter.concept.save(tmp_path / "x.concept")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "likewise", "serve", "--like", str(tmp_path / "x.concept"), "--side", "96"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([SOURCE, os.environ.get("PYTHONPATH", "")])}
    process = subprocess.Popen([*command, "--port", str(port)], env=environment, stdout=subprocess.PIPE, text=True)
    try:
        assert f":{port}/segment" in process.stdout.readline()
        big = png(noise(1, 600, 800))

        def ask() -> int:
            request = urllib.request.Request(f"http://127.0.0.1:{port}/segment", big)
            with urllib.request.urlopen(request, timeout=60) as answer:
                return len(answer.read())

        with ThreadPoolExecutor(3) as threads:
            sent = [threads.submit(ask) for _ in range(3)]
            metrics = f"http://127.0.0.1:{port}/metrics"
            while b"likewise_queue 3.0" not in urllib.request.urlopen(metrics).read():
                assert not any(each.done() for each in sent), "answered before all were sent"
                time.sleep(0.005)
            process.send_signal(signal.SIGTERM)
            assert all(each.result() > 0 for each in sent)
        assert process.wait(60) in (0, -signal.SIGTERM)
    finally:
        process.kill()
        process.wait()
