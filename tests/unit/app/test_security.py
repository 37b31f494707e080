"""Attacks on the app's server."""

import pytest

from likewise.app.security import Gate, check_password, session_token
from likewise.errors import ArgumentError
from support.app_client import HOST, TOKEN, serving, write_photos

PASSWORD = "correct horse battery"


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    write_photos(folder / "open", 1)
    write_photos(folder / "secret", 1)
    return folder / "open"


@pytest.fixture
def client(photos):
    with serving([photos], password=PASSWORD) as client:
        yield client


def stranger(client):
    """The client without a token."""
    del client.headers["authorization"]
    return client


def test_nothing_is_shown_without_the_token(client):
    stranger(client)
    assert client.get("/", follow_redirects=False).headers["location"] == "/login"
    for path in ("/api/project", "/api/openapi.json", "/api/images/1/pixels", "/api/events", "/index.html"):
        assert client.get(path).status_code == 401, path
    assert client.get("/api/project", headers={"authorization": "Bearer " + "x" * 40}).status_code == 401
    assert client.get("/api/project", headers={"cookie": f"likewise-80={'x' * 40}"}).status_code == 401
    assert client.get("/api/project", headers={"cookie": f"likewise-81={TOKEN}"}).status_code == 401


def test_the_link_sets_a_strict_cookie_and_works_once(client):
    stranger(client)
    link = f"/?token={client.gate.launch}"
    answer = client.get(link, follow_redirects=False)
    assert answer.status_code == 303
    assert answer.headers["location"] == "/"
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert client.get("/api/project").status_code == 200
    client.cookies.clear()
    assert client.get(link, follow_redirects=False).status_code == 403
    assert client.get(f"/?token={TOKEN}", follow_redirects=False).status_code == 403


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "127.0.0.1:8080", "localhost:1", "", "[::1"]
)
def test_a_foreign_host_is_refused(client, host):
    assert client.get("/api/project", headers={"host": host}).status_code == 403


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:80", "localhost", "[::1]", "LOCALHOST:80"])
def test_this_machine_is_served_by_its_names(client, host):
    assert client.get("/api/project", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "http://127.0.0.1:8080", "https://127.0.0.1", "null"])
def test_a_foreign_origin_is_refused(client, origin):
    for send in (client.get, client.post):
        assert send("/api/undo", headers={"origin": origin}).status_code == 403


def test_a_cross_site_request_is_refused(client):
    assert client.get("/api/project", headers={"sec-fetch-site": "cross-site"}).status_code == 403


def test_a_change_by_cookie_needs_an_origin(client):
    stranger(client)
    cookie = {"cookie": f"likewise-80={TOKEN}"}
    assert client.post("/api/classes", json={"name": "cat"}, headers=cookie).status_code == 403
    assert client.post("/api/classes", json={"name": "cat"}, headers={**cookie, "origin": HOST}).status_code == 201
    assert client.request("DELETE", "/api/classes/1", headers=cookie).status_code == 403


def test_answers_forbid_foreign_content(client):
    for path in ("/api/project", "/api/images/1/thumbnail", "/api/nothing"):
        headers = client.get(path).headers
        assert "script-src 'self'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert "access-control-allow-origin" not in headers


@pytest.mark.parametrize("path", ["/", "/etc", "..", "open/../../secret", "~", "\0", "/proc/self/root"])
def test_no_folder_outside_the_roots_is_listed_or_opened(client, photos, path):
    path = path if path.startswith("/") else f"{photos}/{path}"
    assert client.get("/api/folders", params={"path": path}).status_code in (400, 404)
    assert client.post("/api/project", json={"folder": path}).status_code in (400, 404)


def test_links_out_of_the_root_are_neither_listed_nor_served(photos):
    secret = photos.parent / "secret"
    (photos / "way").symlink_to(secret)
    (photos / "photo9.png").symlink_to(secret / "photo1.png")
    try:
        with serving([photos]) as client:
            assert [
                one["name"] for one in client.get("/api/folders", params={"path": str(photos)}).json()["folders"]
            ] == []
            assert client.get("/api/folders", params={"path": str(photos / "way")}).status_code == 404
            client.post("/api/rescan")
            assert [one["name"] for one in client.get("/api/images").json()["items"]] == ["photo1.png"]
    finally:
        (photos / "way").unlink()
        (photos / "photo9.png").unlink()


def test_an_image_that_became_a_link_is_not_served(photos, tmp_path):
    write_photos(tmp_path / "photos", 2)
    with serving([tmp_path / "photos"]) as client:
        client.post("/api/rescan")
        image = client.get("/api/images").json()["items"][1]
        (tmp_path / "photos/photo2.png").unlink()
        (tmp_path / "photos/photo2.png").symlink_to(photos / "photo1.png")
        for part in ("pixels", "pixels?side=20"):
            assert client.get(f"/api/images/{image['id']}/{part}").status_code == 400


def test_static_files_are_only_of_the_page(client):
    for path in ("/../server.py", "/%2e%2e/server.py", "/..%2fserver.py", "//etc/passwd", "/.likewise-app/session"):
        assert client.get(path).status_code in (401, 404), path


@pytest.mark.parametrize("length", ["99999999999", "-1", "x", "1e3", "٣"])
def test_a_body_that_is_said_to_be_too_large_is_refused(client, length):
    headers = {"content-length": length.encode()}
    assert client.post("/api/files?name=a.png", content=b"", headers=headers).status_code in (400, 413)


def test_a_body_of_unknown_length_is_cut(client, monkeypatch):
    monkeypatch.setattr("likewise.app.routes.project.LARGEST_FILE", 1000)

    def body():
        for _ in range(100):
            yield b"x" * 100

    answer = client.post("/api/files?name=a.png", content=body())
    assert answer.status_code == 413
    assert "a.png" in answer.json()["detail"]


def test_a_decompression_bomb_is_not_decoded(client):
    import struct
    import zlib

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    bomb = (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )
    answer = client.post("/api/files?name=bomb.png", content=bomb)
    assert answer.status_code == 400
    assert "bomb.png" in answer.json()["detail"]
    client.post("/api/rescan")
    image = client.get("/api/images").json()["items"][0]
    assert client.put(f"/api/images/{image['id']}/mask", content=bomb).status_code == 400


@pytest.mark.parametrize(
    "name",
    [
        "../../x.png",
        "/etc/cron.d/x.png",
        "..\\..\\x.png",
        ".bashrc",
        "a\0.png",
        "x.sh",
        "",
        "..",
        "x.png/",
        "CON:x.png",
    ],
)
def test_a_dropped_file_stays_in_its_folder(client, photos, name):
    content = (photos / "photo1.png").read_bytes()
    before = {path for path in photos.parent.rglob("*") if ".likewise-app" not in path.parts}
    answer = client.post("/api/files", params={"name": name}, content=content)
    assert answer.status_code in (201, 400)
    assert {path for path in photos.parent.rglob("*") if ".likewise-app" not in path.parts} == before
    kept = [path.name for path in (photos / ".likewise-app/files").glob("*")]
    assert all(not one.startswith(".") and one.endswith(".png") for one in kept)


@pytest.mark.parametrize("folder", ["../out", "/tmp/out", ".", ".likewise-app", ".likewise-app/masks"])
def test_an_export_stays_below_the_root(client, folder):
    client.post("/api/classes", json={"name": "cat"})
    body = {"formats": ["mask"], "which": "all", "to": "folder", "folder": folder}
    assert client.post("/api/export", json=body).status_code in (404, 409)


def test_annotations_outside_the_roots_are_not_read(client):
    assert client.post("/api/annotations", json={"path": "/etc/passwd"}).status_code == 404
    assert client.post("/api/annotations", json={"path": "../secret"}).status_code == 404


def test_a_password_lets_in_and_others_do_not(client, monkeypatch):
    async def no_wait(seconds: float) -> None:
        assert seconds >= 1

    monkeypatch.setattr("likewise.app.security.asyncio.sleep", no_wait)
    stranger(client)
    page = client.get("/login")
    assert "<script" not in page.text
    assert (
        client.post("/login", data={"password": "guess"}, headers={"origin": HOST}, follow_redirects=False).status_code
        == 303
    )
    assert client.get("/api/project").status_code == 401
    assert (
        client.post("/login", data={"password": PASSWORD}, headers={"origin": "http://evil.example"}).status_code == 403
    )
    assert (
        client.post(
            "/login", content=b"password=" + b"x" * 100_000, headers={"origin": HOST}, follow_redirects=False
        ).status_code
        == 303
    )
    client.post("/login", data={"password": PASSWORD}, headers={"origin": HOST}, follow_redirects=False)
    assert client.get("/api/project").status_code == 200


def test_without_a_password_there_is_no_login(photos):
    with serving([photos]) as client:
        assert stranger(client).get("/login").status_code == 401
        assert client.get("/").status_code == 401


@pytest.mark.parametrize("password", [None, "", "short"])
@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "::", "example.org"])
def test_other_machines_need_a_good_password(host, password):
    with pytest.raises(ArgumentError, match="LIKEWISE_APP_PASSWORD"):
        check_password(host, password)
    check_password(host, PASSWORD)


def test_this_machine_needs_no_password():
    for host in ("127.0.0.1", "localhost", "::1", "127.0.0.2"):
        check_password(host, None)


def test_the_session_secret_is_kept_for_its_owner_alone(tmp_path):
    token = session_token(tmp_path / "project")
    assert len(token) >= 32
    assert session_token(tmp_path / "project") == token
    assert (tmp_path / "project/session").stat().st_mode & 0o077 == 0
    assert session_token(tmp_path / "other") != token


def test_each_start_has_another_link():
    assert Gate(None, token=TOKEN, port=1).launch != Gate(None, token=TOKEN, port=1).launch
