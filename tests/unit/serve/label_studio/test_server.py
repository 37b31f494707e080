"""Every endpoint, with a Label Studio of a few lines; `make test-integration` has the real one."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from likewise import FewShot
from likewise.errors import ArgumentError
from likewise.io.annotations.label_studio import decode_brush, results_of
from likewise.predict.concept import Concept
from likewise.viz.draw import png
from support.fakes import noise

server = pytest.importorskip("likewise.serve.label_studio.server", exc_type=ImportError)
TestClient = pytest.importorskip("fastapi.testclient").TestClient

from likewise.serve.label_studio.backend import Backend  # noqa: E402
from likewise.serve.label_studio.client import Client  # noqa: E402
from likewise.serve.label_studio.images import Images  # noqa: E402
from likewise.serve.label_studio.projects import Projects  # noqa: E402

SOURCE = str(Path(__file__).parents[4] / "src")
XML = (
    '<View><Image name="image" value="$image"/>'
    '<BrushLabels name="b" toName="image"><Label value="cat"/><Label value="dog"/></BrushLabels></View>'
)
ONE, TWO = "1.1700000000", "2.1700000001"
SIZE = 60, 80


@pytest.fixture(scope="module")
def few_shot():
    return FewShot(side=96, presence=0.0, quality="fast")


def project_of(name: str) -> dict[str, Any]:
    number, _, second = name.partition(".")
    made = time.strftime("%Y-%m-%dT%H:%M:%S.5Z", time.gmtime(int(second)))
    return {"id": int(number), "created_at": made, "label_config": XML}


def shape(*, at: int = 20, name: str = "cat", size: tuple[int, int] = SIZE) -> list[dict[str, Any]]:
    mask = np.zeros(size, bool)
    mask[at : at + 25, 20:60] = True
    return results_of(mask, name, "brush", ("b", "image"))


def task_of(number: int, image: str = "/data/upload/1/0.png") -> dict[str, Any]:
    return {"id": number, "data": {"image": image}}


def event(action: str, id: int = 1, *, project: str = ONE, second: int = 0, **annotation: Any) -> dict[str, Any]:
    return {
        "action": action,
        "project": project_of(project),
        "task": task_of(id, f"/data/upload/1/{id}.png"),
        "annotation": {"id": id, "result": shape(), "updated_at": f"2026-01-01T00:00:{second:02}Z", **annotation},
    }


class Studio:
    """Uploads 0.png to 9.png, and the tasks that a test gives it."""

    def __init__(self) -> None:
        self.tasks: list[dict[str, Any]] | None = []
        self.failing = False
        studio = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path = self.path.partition("?")[0]
                name = path.rpartition("/")[2].removesuffix(".png")
                if path.startswith("/api/tasks"):
                    content = json.dumps({"total": 1, "tasks": studio.tasks}).encode()
                elif name.isdecimal() and not studio.failing:
                    content = png(noise(int(name)))
                else:
                    content = None if name != "text" else b"no image"
                self.send_response(404 if content is None else 200)
                self.end_headers()
                self.wfile.write(content or b"")

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def studio():
    studio = Studio()
    yield studio
    studio.server.shutdown()


class Opened:
    """A client of the backend, and the backend."""

    def __init__(self, folder, few_shot, studio, **options):
        projects = Projects(folder, few_shot, Images(Client(studio.address, "abc")))
        self.backend = Backend(projects)
        self.http = TestClient(server.create_app(self.backend, **options), base_url="http://127.0.0.1")

    def __enter__(self):
        self.http.__enter__()
        return self

    def __exit__(self, *error):
        self.http.__exit__(*error)

    def setup(self, project=ONE, schema=XML):
        return self.http.post("/setup", json={"project": project, "schema": schema, "hostname": "", "access_token": ""})

    def webhook(self, payload):
        answer = self.http.post("/webhook", json=payload)
        self.learned()
        return answer

    def learned(self):
        while self.http.get("/health").json()["learning"]:
            time.sleep(0.01)

    def version(self, project=ONE):
        self.learned()
        return self.http.get("/versions", params={"project": project}).json()["versions"][0]

    def predict(self, tasks, project=ONE, context=None, config=XML):
        params = {"login": None, "password": None, "context": context}
        body = {"tasks": tasks, "project": project, "label_config": config, "params": params}
        return self.http.post("/predict", json=body)


@pytest.fixture
def opened(tmp_path, few_shot, studio):
    with Opened(tmp_path / "projects", few_shot, studio) as opened:
        assert opened.setup().status_code == 200
        opened.learned()
        yield opened


def test_health_is_up(opened):
    for path in ("/", "/health"):
        assert opened.http.get(path).json()["status"] == "UP"


def test_setup_names_the_concept(opened):
    assert opened.setup().json() == {"model_version": "likewise, no examples"}
    opened.webhook(event("ANNOTATION_CREATED"))
    assert opened.setup().json() == {"model_version": opened.version()}
    assert "1 example," in opened.version()


def test_predictions_have_a_mask_and_the_presence(opened):
    opened.webhook(event("ANNOTATION_CREATED"))
    found = opened.predict([task_of(1, "/data/upload/1/1.png"), task_of(2, "/data/upload/1/2.png")]).json()
    assert found["model_version"] == opened.version()
    first, second = found["results"]
    assert 0 <= first["score"] <= 1
    assert first["model_version"] == second["model_version"] == opened.version()
    (region,) = first["result"]
    assert region["value"]["brushlabels"] == ["cat"]
    mask = opened.backend.projects.project(ONE).segmenter(noise(1)).mask
    np.testing.assert_array_equal(decode_brush(region["value"]["rle"], SIZE), mask)


def test_without_examples_predictions_are_empty(opened):
    (found,) = opened.predict([task_of(1)]).json()["results"]
    assert found == {"result": [], "score": 0.0, "model_version": "likewise, no examples"}


def test_a_smart_box_is_answered_by_a_mask(opened):
    box = {
        "type": "rectanglelabels",
        "id": "x",
        "value": {"rectanglelabels": ["cat"], "x": 25, "y": 25, "width": 50, "height": 50},
    }
    (found,) = opened.predict([task_of(1)], context={"result": [box]}).json()["results"]
    (region,) = found["result"]
    mask = decode_brush(region["value"]["rle"], SIZE)
    assert mask.any()
    assert not mask[:15].any()
    assert opened.predict([task_of(1)], context={"result": []}).json()["results"][0]["result"] == []


@pytest.mark.parametrize(
    ("context", "status"),
    [
        ({"result": None}, 400),
        ({"result": [{}]}, 400),
        (3, 400),
        ({"result": [{"type": "ellipselabels", "value": {"ellipselabels": ["cat"]}}]}, 422),
        ({"result": [{"type": "keypointlabels", "value": {"keypointlabels": ["bird"], "x": 1, "y": 1}}]}, 422),
        (
            {
                "result": [
                    {"type": "keypointlabels", "is_positive": False, "value": {"labels": ["cat"], "x": 1, "y": 1}}
                ]
            },
            422,
        ),
        (
            {
                "result": [
                    {"type": "rectanglelabels", "value": {"labels": ["cat"], "x": 1, "y": 1, "width": 0, "height": 0}}
                ]
            },
            422,
        ),
    ],
)
def test_smart_regions_that_mark_nothing_are_refused(opened, context, status):
    answer = opened.predict([task_of(1)], context=context)
    assert answer.status_code == status
    assert len(answer.json()["error"]) > 10


def test_the_same_webhook_twice_is_one_example(opened):
    assert opened.webhook(event("ANNOTATION_CREATED")).status_code == 201
    first = opened.version()
    assert opened.webhook(event("ANNOTATION_CREATED")).status_code == 201
    assert opened.version() == first
    assert "1 example," in first


def test_updates_replace_and_deletions_remove(opened):
    opened.webhook(event("ANNOTATION_CREATED"))
    first = opened.version()
    opened.webhook(event("ANNOTATION_UPDATED", second=5, result=shape(at=5)))
    assert opened.version() != first
    assert "1 example," in opened.version()
    opened.webhook(event("ANNOTATION_UPDATED", second=6))
    assert opened.version() == first
    opened.webhook({"action": "ANNOTATIONS_DELETED", "project": project_of(ONE), "annotations": [{"id": 1}]})
    assert opened.version() == "likewise, no examples"
    opened.webhook(event("ANNOTATION_UPDATED", second=7))
    assert opened.version() == "likewise, no examples"


def test_several_annotations_at_once_and_tasks_that_are_deleted(opened):
    one, two = event("ANNOTATIONS_CREATED"), event("ANNOTATIONS_CREATED", 2)
    both = one | {"annotation": [one["annotation"], two["annotation"]], "task": [one["task"], two["task"]]}
    opened.webhook(both)
    assert "2 examples," in opened.version()
    opened.webhook({"action": "TASKS_DELETED", "project": project_of(ONE), "tasks": [{"id": 2}]})
    assert "1 example," in opened.version()


def test_an_empty_annotation_is_a_negative_and_a_skipped_one_is_none(opened):
    opened.webhook(event("ANNOTATION_CREATED", 2, result=[]))
    assert opened.version() == "likewise, no examples"
    opened.webhook(event("ANNOTATION_CREATED"))
    concept = opened.backend.projects.project(ONE).segmenter.concept
    assert sorted(map(concept.is_negative, range(len(concept)))) == [False, True]
    opened.webhook(event("ANNOTATION_UPDATED", 2, second=5, result=[], was_cancelled=True))
    assert "1 example," in opened.version()


def test_two_projects_never_mix(opened, tmp_path):
    assert opened.setup(TWO).status_code == 200
    opened.webhook(event("ANNOTATION_CREATED"))
    opened.webhook(event("ANNOTATION_CREATED", project=TWO, result=shape(name="dog", at=5)))
    classes = [Concept.load(tmp_path / "projects" / name / "project.concept").classes for name in (ONE, TWO)]
    assert classes == [("cat",), ("dog",)]
    (found,) = opened.predict([task_of(1)], TWO).json()["results"]
    assert {name for one in found["result"] for name in one["value"]["brushlabels"]} <= {"dog"}
    assert found["model_version"] == opened.version(TWO) != opened.version(ONE)
    assert len(opened.http.get("/versions").json()["versions"]) == 2


def test_one_annotation_of_several_classes_is_an_example_of_each(opened):
    opened.webhook(event("ANNOTATION_CREATED", result=shape(at=0) + shape(name="dog", at=30)))
    assert opened.backend.projects.project(ONE).segmenter.concept.classes == ("cat", "dog")


def test_the_concept_survives_a_restart(opened, tmp_path, few_shot, studio):
    opened.webhook(event("ANNOTATION_CREATED"))
    version = opened.version()
    opened.backend.projects.close()
    studio.failing = True  # nothing is learned again
    with Opened(tmp_path / "projects", few_shot, studio) as again:
        assert again.version() == version
        again.webhook(event("ANNOTATION_CREATED", second=1))
        assert again.version() == version


def test_a_concept_of_another_model_is_learned_again(opened, tmp_path, studio):
    opened.webhook(event("ANNOTATION_CREATED"))
    opened.backend.projects.close()
    other = FewShot(side=112, presence=0.0, quality="fast")
    with Opened(tmp_path / "projects", other, studio) as again:
        assert again.version() == "likewise, no examples"
        again.webhook(event("ANNOTATION_UPDATED", second=1))
        assert "1 example," in again.version()
        assert Concept.load(tmp_path / "projects" / ONE / "project.concept").side == 112


def test_earlier_annotations_are_read_at_the_first_setup_and_by_start_training(tmp_path, few_shot, studio):
    created = event("ANNOTATION_CREATED")
    studio.tasks = [created["task"] | {"annotations": [created["annotation"]]}]
    with Opened(tmp_path, few_shot, studio) as opened:
        opened.setup()
        assert "1 example," in opened.version()
        studio.tasks = []
        opened.setup()
        assert "1 example," in opened.version()
        assert opened.webhook({"action": "START_TRAINING", "project": project_of(ONE)}).status_code == 201
        assert opened.version() == "likewise, no examples"


def test_what_is_on_disk_is_learned_also_if_label_studio_lists_no_tasks(opened, tmp_path, few_shot, studio, caplog):
    studio.failing = True
    opened.webhook(event("ANNOTATION_CREATED"))
    opened.backend.projects.close()
    studio.failing, studio.tasks = False, None
    with Opened(tmp_path / "projects", few_shot, studio) as again:
        again.setup()
        assert "1 example," in again.version()
    assert "TypeError" in caplog.text


def test_an_annotation_whose_image_cannot_be_fetched_is_kept_and_learned_later(opened, studio):
    studio.failing = True
    assert opened.webhook(event("ANNOTATION_CREATED")).status_code == 201
    assert opened.version() == "likewise, no examples"
    studio.failing = False
    opened.webhook(event("ANNOTATION_CREATED", 2))
    assert "2 examples," in opened.version()


def test_an_annotation_of_another_size_than_its_image_is_no_example(opened, caplog):
    opened.webhook(event("ANNOTATION_CREATED", result=shape(size=(90, 90))))
    assert opened.version() == "likewise, no examples"
    assert "90x90" in caplog.text
    turned = [one | {"image_rotation": 90} for one in shape()]
    opened.webhook(event("ANNOTATION_UPDATED", second=1, result=turned))
    assert opened.version() == "likewise, no examples"
    assert "turned" in caplog.text


def test_an_image_that_cannot_be_read_has_no_prediction_and_the_others_have(opened, caplog):
    opened.webhook(event("ANNOTATION_CREATED"))
    addresses = ["/data/upload/1/1.png", "/data/upload/1/absent.png", "/data/upload/1/text", "http://192.0.2.1/x.png"]
    found = opened.predict([task_of(index, address) for index, address in enumerate(addresses)]).json()["results"]
    assert [bool(one) for one in found] == [True, False, False, False]
    assert "task 1 has no prediction" in caplog.text


@pytest.mark.parametrize(
    ("address", "status"),
    [
        ("/data/upload/1/absent.png", 502),
        ("/data/upload/1/text", 422),
        ("http://192.0.2.1/x.png", 403),
        ("file:///x", 403),
    ],
)
def test_a_single_image_that_cannot_be_read_is_an_error(opened, address, status):
    opened.webhook(event("ANNOTATION_CREATED"))
    answer = opened.predict([task_of(1, address)])
    assert answer.status_code == status
    assert len(answer.json()["error"]) > 10


def test_tasks_beyond_the_time_have_no_predictions(opened, monkeypatch, caplog):
    opened.webhook(event("ANNOTATION_CREATED"))
    monkeypatch.setattr("likewise.serve.label_studio.backend.SECONDS", -1.0)
    assert opened.predict([task_of(1), task_of(2)]).json()["results"] == [[], []]
    assert "0 of 2 tasks" in caplog.text


def test_an_interface_without_a_place_for_masks_is_refused(opened):
    wrong = '<View><Image name="image" value="$image"/></View>'
    answer = opened.setup(schema=wrong)
    assert answer.status_code == 422
    assert "BrushLabels" in answer.json()["error"]
    assert opened.predict([task_of(1)], config=wrong).status_code == 422
    assert opened.setup().status_code == 200


@pytest.mark.parametrize("path", ["/setup", "/predict", "/webhook"])
@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"3", b"[" * 10000])
def test_a_body_that_is_no_object_is_refused(opened, path, content):
    answer = opened.http.post(path, content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert "JSON" in answer.json()["error"]


@pytest.mark.parametrize("path", ["/setup", "/predict", "/webhook"])
def test_a_page_of_another_site_is_refused(opened, path):
    answer = opened.http.post(path, content=b"{}", headers={"Content-Type": "text/plain"})
    assert answer.status_code == 415


@pytest.mark.parametrize(
    ("path", "payload", "status"),
    [
        ("/setup", {}, 400),
        ("/setup", {"project": "../x", "schema": XML}, 400),
        ("/setup", {"project": ONE, "schema": None}, 422),
        ("/predict", {"project": ONE, "label_config": XML}, 400),
        ("/predict", {"project": ONE, "label_config": XML, "tasks": [3]}, 400),
        ("/predict", {"project": ONE, "label_config": XML, "tasks": [{"id": 1}]}, 400),
        ("/predict", {"project": "9.9", "label_config": XML, "tasks": [task_of(1)]}, 404),
        ("/webhook", {"action": "ANNOTATION_CREATED"}, 400),
        ("/webhook", {"action": "ANNOTATION_CREATED", "project": project_of(ONE)}, 400),
        ("/webhook", event("ANNOTATION_CREATED", result=None), 400),
        ("/webhook", event("ANNOTATION_CREATED", project="9.9"), 404),
        ("/webhook", {"action": "ANNOTATIONS_DELETED", "project": project_of(ONE)}, 400),
        ("/webhook", {"action": "ANNOTATIONS_DELETED", "project": project_of(ONE), "annotations": [{"id": "1"}]}, 400),
        ("/webhook", {"action": ["x"]}, 400),
    ],
)
def test_a_payload_that_is_not_of_the_protocol_is_refused(opened, path, payload, status):
    opened.webhook(event("ANNOTATION_CREATED"))
    before = opened.version()
    answer = opened.http.post(path, json=payload)
    assert answer.status_code == status
    assert len(answer.json()["error"]) > 10
    assert opened.version() == before


def test_other_webhooks_are_ignored(opened):
    assert opened.webhook({"action": "TASKS_CREATED", "project": project_of(ONE)}).json() == {"status": "ignored"}


def test_a_changed_interface_is_kept(opened):
    changed = XML.replace("$image", "$photo")
    created = {"action": "PROJECT_UPDATED", "project": project_of(ONE) | {"label_config": changed}}
    assert opened.webhook(created).status_code == 201
    assert opened.backend.projects.project(ONE).records.interface.image == "photo"


def test_versions_of_an_unknown_project_are_an_error(opened):
    assert opened.http.get("/versions?project=9.9").status_code == 404
    assert opened.http.get("/versions?project=x").status_code == 400


def test_the_token_is_the_first_part_of_the_path(tmp_path, few_shot, studio):
    with Opened(tmp_path, few_shot, studio, token="a-token-of-some-length") as opened:
        body = {"project": ONE, "schema": XML}
        assert opened.http.post("/a-token-of-some-length/setup", json=body).status_code == 200
        assert opened.http.get("/a-token-of-some-length/health").status_code == 200
        for path in ("/setup", "/wrong/setup", "/", "/wrong/nothing"):
            answer = opened.http.post(path, json=body)
            assert answer.status_code == 401, path
            assert "TOKEN" in answer.json()["error"]
        assert opened.http.get("/wrong/health").status_code == 401
        assert opened.http.get("/a-token-of-some-length/nothing").status_code == 404


def test_an_unknown_path_names_the_endpoints(opened):
    answer = opened.http.get("/nothing")
    assert answer.status_code == 404
    assert "/predict" in answer.json()["error"]


def test_too_many_requests_and_too_large_ones_are_refused(tmp_path, few_shot, studio, monkeypatch):
    monkeypatch.setattr(server, "BODY", 5000)
    go = threading.Event()
    with Opened(tmp_path, few_shot, studio, queue=2) as opened, ThreadPoolExecutor(6) as threads:
        opened.setup()
        monkeypatch.setattr(opened.backend, "predict", lambda payload: {"results": [go.wait(20)]})
        assert opened.http.post("/predict", json=" " * 5001).status_code == 413
        sent = [threads.submit(opened.predict, [task_of(1)]) for _ in range(6)]
        while sum(each.done() for each in sent) < 4:
            time.sleep(0.01)
        go.set()
        assert sorted(each.result().status_code for each in sent) == [200] * 2 + [429] * 4


def test_two_servers_do_not_share_a_folder(opened, tmp_path, few_shot, studio):
    with pytest.raises(ArgumentError, match="another server"):
        Projects(tmp_path / "projects", few_shot, Images(Client(studio.address)))


def test_a_file_is_no_folder_of_projects(tmp_path, few_shot, studio):
    (tmp_path / "notes").write_text("mine")
    with pytest.raises(ArgumentError, match="notes"):
        Projects(tmp_path / "notes", few_shot, Images(Client(studio.address)))
    assert (tmp_path / "notes").read_text() == "mine"


@pytest.mark.parametrize(
    "wrong",
    [
        {"host": "0.0.0.0"},
        {"token": "short"},
        {"token": "a token with spaces in it"},
        {"label_studio": "localhost:8080"},
    ],
)
def test_a_start_with_wrong_arguments_says_so(tmp_path, few_shot, wrong):
    with pytest.raises(ArgumentError):
        server.serve(tmp_path, few_shot, **({"label_studio": "http://127.0.0.1:9"} | wrong))


@pytest.mark.slow
def test_an_annotation_that_was_answered_survives_a_kill(tmp_path, studio):
    def start() -> tuple[subprocess.Popen[str], str]:
        command = [sys.executable, "-m", "likewise", "serve", "label-studio", str(tmp_path), "--port", "0"]
        process = subprocess.Popen(
            [*command, "--label-studio", studio.address],
            env={**os.environ, "PYTHONPATH": SOURCE},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        return process, process.stdout.readline().split()[-1]

    def ask(address: str, body: dict[str, Any] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(address, data, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read())

    process, address = start()
    ask(f"{address}/setup", {"project": ONE, "schema": XML})
    ask(f"{address}/webhook", event("ANNOTATION_CREATED"))
    process.send_signal(signal.SIGKILL)
    process.wait()
    process, address = start()
    ask(f"{address}/setup", {"project": ONE, "schema": XML})
    while ask(f"{address}/health")["learning"]:
        time.sleep(0.1)
    assert "1 example," in ask(f"{address}/versions?project={ONE}")["versions"][0]
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) in (0, -signal.SIGTERM)
