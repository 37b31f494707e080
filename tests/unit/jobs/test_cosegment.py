"""`cosegment_folder`, `saliency_folder` and `parse_folder`, as a Python user calls them."""

from pathlib import Path

import pytest
from PIL import Image

from likewise import CoSaliency, FewShot, Saliency, SceneParser, cosegment_folder, parse_folder, saliency_folder
from likewise.errors import ArgumentError, OutputError
from likewise.io.paths import find_images
from likewise.jobs.cosegment import group_by_folder, group_digest
from support.fakes import noise
from support.scene_runs import write_run


@pytest.fixture
def groups(photos: Path) -> Path:
    for name in ("a/1.png", "a/2.png", "b/1.png"):
        (photos / name).parent.mkdir(exist_ok=True)
        Image.fromarray(noise(len(list(photos.rglob("*.png"))))).save(photos / name)
    return photos


def test_images_are_grouped_by_folder_and_the_digest_follows_the_files(groups: Path) -> None:
    members = group_by_folder(find_images([groups]))
    assert {folder.name: len(files) for folder, files in members.items()} == {"a": 2, "b": 1}
    before = {folder: group_digest(files) for folder, files in members.items()}
    (groups / "a/1.png").write_bytes((groups / "a/2.png").read_bytes() + b"more")
    after = {folder: group_digest(files) for folder, files in members.items()}
    assert [before[folder] == after[folder] for folder in members] == [False, True]
    assert group_digest(members[groups / "a"][:1]) != after[groups / "a"]


def test_each_folder_is_a_group_and_progress_names_the_stages(groups: Path) -> None:
    calls: list[tuple[str, int, int]] = []
    with pytest.warns(UserWarning, match="photos/b: a group of one"):
        report = cosegment_folder(
            groups, "out", cosaliency=CoSaliency(device="cpu"), progress=lambda *call: calls.append(call)
        )
    assert (report.done, report.folders) == (3, 2)
    assert {folder.name: len(group) for folder, group in report.groups.items()} == {"a": 2, "b": 1}
    assert report.examples == {}
    assert [call for call in calls if call[0] == "comparing"] == [("comparing", done, 3) for done in (1, 2, 3)]
    assert calls[-1] == ("segmenting", 3, 3)


def test_the_second_pass_by_examples_is_part_of_the_settings(groups: Path) -> None:
    cosaliency = CoSaliency(device="cpu", edges=False)
    cosegment_folder(groups / "a", "out", cosaliency=cosaliency)
    few_shot = FewShot("panet-lite0", side=96, device="cpu", edges=False)
    with pytest.raises((OutputError, ArgumentError), match="then"):
        cosegment_folder(groups / "a", "out", cosaliency=cosaliency, then=few_shot)


@pytest.mark.parametrize("then", [None, "segment", "consensus"])
def test_a_dry_run_and_a_finished_rerun_compute_nothing(groups: Path, monkeypatch: pytest.MonkeyPatch, then) -> None:
    cosaliency = CoSaliency(device="cpu", edges=False)
    cosegment_folder(groups / "a", "out", cosaliency=cosaliency, then=then)

    def encode(*_: object) -> None:
        pytest.fail("an image is encoded")

    monkeypatch.setattr(cosaliency.network, "encode", encode)
    monkeypatch.setattr(FewShot, "features", encode)
    rerun = cosegment_folder(groups / "a", "out", cosaliency=cosaliency, then=then)
    assert (rerun.done, rerun.skipped, rerun.folders, rerun.groups) == (0, 2, 1, {})
    dry = cosegment_folder(groups, "other", cosaliency=cosaliency, then=then, dry_run=True)
    assert (dry.planned, dry.folders) == (3, 2)
    with pytest.raises(OutputError, match="groups"):
        cosegment_folder(groups, "out", cosaliency=cosaliency, then=then)


def test_an_unknown_second_pass_is_refused(groups: Path) -> None:
    with pytest.raises(ArgumentError, match="unknown second pass 'rest'"):
        cosegment_folder(groups, "out", cosaliency=CoSaliency(device="cpu"), then="rest")


def test_saliency_and_parsing_write_their_formats(groups: Path) -> None:
    assert saliency_folder(groups, "maps", saliency=Saliency(device="cpu")).done == 3
    assert Path("maps/a/1.probability.png").is_file()
    parser = SceneParser(write_run(Path("run")), device="cpu")
    assert parse_folder(groups, "parsed", parser=parser).done == 3
    assert Path("parsed/b/1.labels.png").is_file()
    assert Path("parsed/b/1.overlay.jpg").is_file()
    with pytest.raises(ArgumentError, match="cutout"):
        parse_folder(groups, "parsed", parser=parser, formats=["cutout"])
