import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from likewise.errors import ArgumentError
from likewise.serve.label_studio import client
from likewise.serve.label_studio.client import Client, origin_of
from likewise.serve.label_studio.errors import AddressError, FetchError
from likewise.serve.label_studio.images import Images

Answer = Callable[[BaseHTTPRequestHandler], None]


class Host:
    """A server on loopback that keeps the headers of its requests."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str | None]] = []
        self.answers: dict[str, Answer] = {}
        host = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                host.asked.append((self.path, self.headers.get("Authorization")))
                host.answers[self.path.partition("?")[0]](self)

            do_POST = do_GET

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def say(self, path: str, status: int, body: bytes = b"", **headers: str) -> None:
        def answer(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                handler.send_header(name, value)
            handler.end_headers()
            handler.wfile.write(body)

        self.answers[path] = answer


@pytest.fixture
def host() -> Iterator[Host]:
    host = Host()
    yield host
    host.server.shutdown()


@pytest.fixture
def other() -> Iterator[Host]:
    host = Host()
    yield host
    host.server.shutdown()


def test_an_upload_is_read_with_the_token(host):
    host.say("/data/upload/1/x.png", 200, b"image")
    assert Images(Client(host.address, "abc")).read("/data/upload/1/x.png") == b"image"
    assert host.asked == [("/data/upload/1/x.png", "Token abc")]


def test_a_long_lived_token_is_exchanged_and_renewed(host):
    tokens = iter(["one", "two"])

    def renew(handler: BaseHTTPRequestHandler) -> None:
        host.say("/token", 200, json.dumps({"access": next(tokens)}).encode())
        host.answers["/token"](handler)

    def only_two(handler: BaseHTTPRequestHandler) -> None:
        host.answers["/200" if handler.headers["Authorization"] == "Bearer two" else "/401"](handler)

    host.say("/200", 200, b"image")
    host.say("/401", 401)
    host.answers |= {"/api/token/refresh/": renew, "/x": only_two}
    opened = Client(host.address, "a.b.c")
    assert opened.get("/x", 10) == b"image"
    assert opened.get("/x", 10) == b"image"
    assert [path for path, _ in host.asked] == ["/api/token/refresh/", "/x", "/api/token/refresh/", "/x", "/x"]


@pytest.mark.parametrize("token", ["wrong", "wrong.wrong.wrong", None])
def test_a_wrong_token_says_what_to_set(host, token):
    host.say("/x", 401)
    host.say("/api/token/refresh/", 401)
    with pytest.raises(FetchError, match="LABEL_STUDIO_API_KEY"):
        Client(host.address, token).get("/x", 10)


def test_only_named_hosts_are_asked_and_the_token_stays_with_label_studio(host, other):
    other.say("/x.png", 200, b"image")
    with pytest.raises(AddressError, match="--images-from"):
        Client(host.address, "abc").get(f"{other.address}/x.png", 10)
    assert other.asked == []
    assert Client(host.address, "abc", [other.address]).get(f"{other.address}/x.png", 10) == b"image"
    assert other.asked == [("/x.png", None)]


def test_a_redirection_leads_to_named_hosts_only_and_without_the_token(host, other):
    host.say("/x", 302, Location=f"{other.address}/x.png")
    other.say("/x.png", 200, b"image")
    with pytest.raises(AddressError):
        Client(host.address, "abc").get("/x", 10)
    assert other.asked == []
    assert Client(host.address, "abc", [other.address]).get("/x", 10) == b"image"
    assert other.asked == [("/x.png", None)]


@pytest.mark.parametrize(
    "address",
    [
        "file:///etc/passwd",
        "ftp://127.0.0.1/x",
        "//169.254.169.254/latest",
        "http://user@127.0.0.1/x",
        "gopher://x",
        "s3://b/x",
    ],
)
def test_other_schemes_and_hosts_are_refused(host, address):
    with pytest.raises(AddressError):
        Images(Client(host.address)).read(address)
    assert host.asked == []


def test_an_answer_is_bounded_in_bytes_and_time(host, monkeypatch):
    host.say("/x", 200, b"0" * 100)
    with pytest.raises(FetchError, match=r"/x: .*\b99 "):
        Client(host.address).get("/x", 99)
    monkeypatch.setattr(client, "DEADLINE", -1.0)
    with pytest.raises(FetchError, match=r"/x: .* -1 "):
        Client(host.address).get("/x", 100)


def test_no_answer_is_an_error():
    with pytest.raises(FetchError, match=r"127\.0\.0\.1:9/x"):
        Client("http://127.0.0.1:9").get("/x", 10)


@pytest.mark.parametrize("address", ["127.0.0.1:8080", "ftp://x", "http://", "http://x:y", "http://[x"])
def test_a_host_that_is_no_address_is_refused(address):
    with pytest.raises(ArgumentError):
        origin_of(address)


def test_local_files_stay_below_their_folder(tmp_path, host):
    (tmp_path / "files/cats").mkdir(parents=True)
    (tmp_path / "files/cats/a cat.png").write_bytes(b"image")
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "files/link").symlink_to(tmp_path / "secret")
    images = Images(Client(host.address), [tmp_path / "files"])
    assert images.read("/data/local-files/?d=cats/a%20cat.png") == b"image"
    assert images.read(f"{host.address}/data/local-files/?d=cats/a%20cat.png") == b"image"
    for name in ("../secret", "link", "/etc/passwd", "%00"):
        with pytest.raises((AddressError, FetchError)):
            images.read(f"/data/local-files/?d={name}")
    with pytest.raises(FetchError, match=r"absent\.png"):
        images.read("/data/local-files/?d=absent.png")
    with pytest.raises(AddressError):
        images.read("http://192.0.2.1/data/local-files/?d=cats/a%20cat.png")
    assert host.asked == []


def test_label_studio_is_asked_for_local_files_without_a_folder(tmp_path, host):
    host.say("/data/local-files/", 200, b"image")
    assert Images(Client(host.address)).read("/data/local-files/?d=x.png") == b"image"
    with pytest.raises(ArgumentError, match="absent"):
        Images(Client(host.address), [tmp_path / "absent"])
