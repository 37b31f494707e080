import pytest

pytest.importorskip("huggingface_hub")

from likewise.errors import ArgumentError, HubError
from likewise.io.hub import download_folder, inner_file, local_path, parse_address, upload
from support.fake_hub import fake_hub


@pytest.fixture
def hub(monkeypatch, tmp_path):
    with fake_hub(monkeypatch, tmp_path / "cache") as served:
        served.files["ann/cats"]["a/cat.concept"] = b"a cat"
        yield served


def test_an_address_names_repository_revision_and_file():
    assert parse_address("hf://ann/cats/a/cat.concept") == ("ann/cats", None, "a/cat.concept")
    assert parse_address("hf://ann/cats@v2/cat.concept") == ("ann/cats", "v2", "cat.concept")


@pytest.mark.parametrize("address", ["hf://", "hf://ann", "hf://ann/cats", "hf://ann/cats/", "hf:///cats/x"])
def test_an_address_without_a_file_is_refused(address):
    with pytest.raises(ArgumentError, match="hf://owner/name"):
        parse_address(address)


def test_a_file_of_the_hub_is_downloaded_once_and_then_found_without_the_hub(hub, monkeypatch):
    path = local_path("hf://ann/cats/a/cat.concept")
    assert path.read_bytes() == b"a cat"
    hub.files.clear()
    hub.shutdown()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert local_path("hf://ann/cats/a/cat.concept") == path


def test_a_repository_of_the_hub_is_downloaded_as_a_folder(hub):
    assert (download_folder("ann/cats") / "a/cat.concept").read_bytes() == b"a cat"


def test_other_paths_are_themselves(tmp_path):
    assert local_path(tmp_path / "cat.concept") == tmp_path / "cat.concept"


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("hf://ann/dogs/dog.concept", "ann/dogs.*no such repository"),
        ("hf://ann/cats/dog.concept", "dog.concept.*no such file"),
        ("hf://an n/cats/dog.concept", "not the name of a repository"),
    ],
)
def test_what_the_hub_does_not_have_is_named(hub, address, said):
    with pytest.raises(HubError, match=said):
        local_path(address)


def test_a_gated_repository_says_where_to_accept_its_terms(hub):
    hub.gated.add("ann/cats")
    with pytest.raises(HubError, match=r"gated.*https://huggingface.co/ann/cats"):
        local_path("hf://ann/cats/a/cat.concept")


@pytest.mark.parametrize(("read", "name"), [(local_path, "hf://ann/cats/a/cat.concept"), (download_folder, "ann/cats")])
def test_without_a_network_a_file_that_is_not_cached_is_named(hub, read, name, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(HubError, match=r"ann/cats.*not on this machine"):
        read(name)


def test_a_folder_is_uploaded_with_a_card_and_a_card_that_is_there_stays(hub, tmp_path):
    folder = tmp_path / "x"
    (folder / "a").mkdir(parents=True)
    (folder / "a/b.txt").write_bytes(b"b")
    for card in ("first", "second"):
        address = upload(folder, "ann/new", card=card, token=hub.token, message="Add b")
    assert hub.files["ann/new"] == {"a/b.txt": b"b", "README.md": b"first"}
    assert "ann/new/commit" in address


@pytest.mark.parametrize("token", [None, "hf_wrong"])
def test_an_upload_without_a_valid_token_says_to_log_in(hub, tmp_path, token):
    with pytest.raises(HubError, match=r"ann/new.*(token|log in)"):
        upload(tmp_path, "ann/new", card="", token=token, message="")


@pytest.mark.parametrize("name", ["", "../x", "a/../../x", "/etc/passwd", "a\\..\\x"])
def test_a_name_that_leads_out_of_a_folder_is_refused(tmp_path, name):
    with pytest.raises(HubError, match="outside"):
        inner_file(tmp_path, name)


def test_a_name_of_nothing_in_a_folder_is_refused_with_what_there_is(tmp_path):
    (tmp_path / "here.txt").touch()
    with pytest.raises(HubError, match=r"missing\.txt.*here\.txt"):
        inner_file(tmp_path, "missing.txt")
