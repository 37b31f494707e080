"""A Hugging Face hub on loopback: the part of its API that likewise needs, in memory."""

import base64
import hashlib
import json
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

COMMIT = "a" * 40


class FakeHub(ThreadingHTTPServer):
    """`files` of each repository by name; `gated` repositories refuse downloads, `requests` lists what was asked."""

    def __init__(self) -> None:
        self.files: dict[str, dict[str, bytes]] = defaultdict(dict)
        self.gated: set[str] = set()
        self.requests: list[str] = []
        self.token = "hf_right"
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: FakeHub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def answer(self, status: int, content: object = b"", error: str | None = None, **headers: str) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        if error:
            headers |= {"X-Error-Code": error, "X-Error-Message": error}
        for name, value in ({"Content-Length": str(len(body))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.server.requests.append(f"{self.command} {path}")
        parts = path.strip("/").split("/")
        api = parts[:2] == ["api", "models"]
        repository = "/".join(parts[2:4] if api else parts[:2])
        if repository not in self.server.files:
            return self.answer(401, error="RepoNotFound")
        files = self.server.files[repository]
        if api and parts[4:5] in ([], ["revision"]):
            siblings = [{"rfilename": name, "size": len(data), "blobId": "b"} for name, data in files.items()]
            return self.answer(200, {"id": repository, "sha": COMMIT, "siblings": siblings, "tags": []})
        if api and parts[4:5] == ["tree"]:
            entries = [{"type": "file", "path": name, "size": len(d), "oid": "b"} for name, d in files.items()]
            return self.answer(200, entries)
        if repository in self.server.gated:
            return self.answer(403, error="GatedRepo")
        name = "/".join(parts[4:])
        if name not in files:
            return self.answer(404, error="EntryNotFound")
        etag = hashlib.sha1(files[name]).hexdigest()
        self.answer(200, files[name], **{"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT})

    def do_POST(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.server.requests.append(f"{self.command} {path}")
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.headers.get("Authorization") != f"Bearer {self.server.token}":
            return self.answer(401, {"error": "no token"})
        if path == "/api/repos/create":
            given = json.loads(body)
            name = "/".join(filter(None, (given.get("organization"), given["name"])))
            existed = name in self.server.files
            self.server.files[name]  # makes it
            return self.answer(409 if existed else 200, {"url": f"{self.server.address}/{name}", "id": name})
        if path == "/api/validate-yaml":
            return self.answer(200, {"errors": [], "warnings": []})
        repository = "/".join(path.strip("/").split("/")[2:4])
        if "/preupload/" in path:
            files = [{"path": each["path"], "uploadMode": "regular"} for each in json.loads(body)["files"]]
            return self.answer(200, {"files": [each | {"shouldIgnore": False, "oid": None} for each in files]})
        if "/commit/" in path:
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    content = base64.b64decode(line["value"]["content"])
                    self.server.files[repository][line["value"]["path"]] = content
            url = f"{self.server.address}/{repository}/commit/{COMMIT}"
            return self.answer(200, {"commitUrl": url, "commitOid": COMMIT, "success": True})
        self.answer(404)


@contextmanager
def fake_hub(monkeypatch, cache) -> Iterator[FakeHub]:
    """Serve, and point huggingface_hub to it, with an empty cache and no token."""
    from huggingface_hub import constants

    hub = FakeHub()
    thread = threading.Thread(target=hub.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setattr(constants, "ENDPOINT", hub.address)
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", f"{hub.address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    )
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(cache / "token"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    try:
        yield hub
    finally:
        hub.shutdown()
        hub.server_close()
        thread.join()
