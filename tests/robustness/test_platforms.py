"""Other platforms, users and file systems, by simulation: the commands work, or say in one line why not."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from likewise.io.paths import ImageFile
from likewise.jobs.outputs import plan_jobs
from support.fakes import save_flat

SOURCE = str(Path(__file__).parents[2] / "src")
UNKNOWN = ("unshare", "--user", "--map-user=54321")
"""A user without rights and without an entry in passwd."""


@pytest.fixture
def ball(photos: Path) -> Path:
    """Two images of a red disc, the first with its mask."""
    rows, columns = np.mgrid[:96, :128]
    for name, column in (("a", 40), ("b", 80)):
        image = np.random.default_rng(0).integers(90, 130, (96, 128, 1), dtype=np.uint8).repeat(3, axis=2)
        mask = (rows - 48) ** 2 + (columns - column) ** 2 < 22**2
        image[mask] = 220, 40, 40
        Image.fromarray(image).save(photos / f"{name}.png")
        if name == "a":
            Image.fromarray(mask).save(photos / "a.mask.png")
    photos.chmod(0o755)
    return photos


def likewise(*words: object, prefix: tuple[str, ...] = (), unset: tuple[str, ...] = (), **options):
    environment = {**os.environ, "PYTHONPATH": SOURCE, **options.pop("env", {})}
    for name in unset:
        environment.pop(name, None)
    command = [*prefix, sys.executable, "-m", "likewise", *map(str, words)]
    return subprocess.run(command, env=environment, capture_output=True, check=False, timeout=600, **options)


SEGMENT = ("segment", "photos", "--like", "photos/a.png", "-o")


def one_line(found) -> bool:
    return found.returncode in (1, 2) and b"Traceback" not in found.stderr and b"likewise: " in found.stderr


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "cp437", "latin-1"])
def test_output_that_an_encoding_cannot_hold_is_escaped(ball, encoding):
    (ball / "b.png").rename(ball / "猫 é.png")
    found = likewise(*SEGMENT, "出力", "-f", "mask", "areas", env={"PYTHONIOENCODING": encoding})
    assert (found.returncode, found.stderr) == (0, b"")
    assert Path("出力/猫 é.mask.png").exists()
    Path("pets").mkdir()
    ball.rename("pets/猫")
    learned = likewise("learn", "pets", "-o", "猫", env={"PYTHONIOENCODING": encoding})
    assert learned.returncode == 0
    assert Path("猫.concept").exists()


def test_names_that_are_not_utf8_are_processed(ball):
    (ball / "b.png").rename(ball / os.fsdecode(b"\xff\xfe.png"))
    found = likewise(*SEGMENT, "out", "-f", "mask", "areas", "coco", "scores")
    assert found.returncode == 0, found.stderr
    assert Path("out", os.fsdecode(b"\xff\xfe.mask.png")).exists()
    assert "udcff" in Path("out/areas.csv").read_text(encoding="utf-8")


def test_a_machine_without_home_works(ball):
    assert likewise(*SEGMENT, "out", unset=("HOME", "USER", "LOGNAME", "XDG_CACHE_HOME")).returncode == 0


@pytest.mark.skipif(not shutil.which("unshare"), reason="needs unshare")
@pytest.mark.parametrize("command", ["segment", "torch"])
def test_a_user_without_passwd_entry_works(ball, command):
    if subprocess.run([*UNKNOWN, "true"], capture_output=True, check=False).returncode:
        pytest.skip("user namespaces are not allowed here")
    more = ("--engine", "torch", "--device", "cpu") if command == "torch" else ()
    found = likewise(*SEGMENT, "out", *more, prefix=UNKNOWN, unset=("HOME", "USER", "LOGNAME"))
    assert found.returncode == 0, found.stderr


@pytest.mark.skipif(not shutil.which("unshare"), reason="needs unshare")
def test_without_rights_one_line_says_what_cannot_be_read_or_written(ball):
    if subprocess.run([*UNKNOWN, "true"], capture_output=True, check=False).returncode:
        pytest.skip("user namespaces are not allowed here")
    closed, secret = ball / "closed", save_flat(ball / "secret.png")
    save_flat(closed / "x.jpg")
    Path("mine").mkdir()
    modes = {closed: 0, secret: 0, Path(): 0o555}
    try:
        for path, mode in modes.items():
            path.chmod(mode)
        found = likewise(*SEGMENT, "mine/out", prefix=UNKNOWN)
        assert found.returncode == 1
        assert b"closed: cannot be read" in found.stderr
        assert b"secret.png: cannot be read" in found.stderr
        assert Path("mine/out/b.mask.png").exists()
        for words in ((*SEGMENT, "theirs"), ("learn", "photos/a.png", "-o", "theirs.concept")):
            refused = likewise(*words, prefix=UNKNOWN)
            assert one_line(refused), refused.stderr
            assert b"theirs" in refused.stderr
    finally:
        for path in modes:
            path.chmod(0o755)


READ_ONLY = (
    *("unshare", "--user", "--map-root-user", "--mount", "sh", "-c"),
    'mount --bind "$PWD" "$PWD" && mount -t tmpfs -o ro tmpfs /dev/shm && mount -o remount,bind,ro / && '
    'cd "$PWD" && "$@"',
    "sh",
)


@pytest.mark.skipif(not shutil.which("unshare"), reason="needs unshare")
@pytest.mark.parametrize("engine", ["onnx", "torch"])
def test_a_read_only_root_without_shared_memory_works(ball, engine):
    if subprocess.run([*READ_ONLY, "true"], capture_output=True, check=False).returncode:
        pytest.skip("mounts are not allowed here")
    found = likewise(*SEGMENT, "out", "--engine", engine, "--device", "cpu", prefix=READ_ONLY, unset=("HOME",))
    assert found.returncode == 0, found.stderr
    refused = likewise(*SEGMENT, "/likewise-out", prefix=READ_ONLY)
    assert one_line(refused), refused.stderr
    assert b"likewise-out" in refused.stderr


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("qemu-x86_64"), reason="needs qemu-x86_64 (Debian's qemu-user)")
def test_a_processor_without_avx2_gives_the_same_probability(ball, tmp_path):
    program = (
        "import sys, numpy as np\n"
        "from likewise import Example, FewShot\n"
        "few_shot = FewShot(quality='fast', edges=False, side=96)\n"
        "concept = few_shot.learn(Example('photos/a.png', mask='photos/a.mask.png'))\n"
        "np.save(sys.argv[1], few_shot.segment('photos/b.png', concept).probability)\n"
    )
    found = []
    for name, prefix in (("own", ()), ("nehalem", ("qemu-x86_64", "-cpu", "Nehalem"))):
        environment = {**os.environ, "PYTHONPATH": SOURCE, "OMP_NUM_THREADS": "1"}
        environment.pop("OPENBLAS_CORETYPE", None)  # numpy's choice for this processor
        words = [*prefix, sys.executable, "-c", program, str(tmp_path / f"{name}.npy")]
        subprocess.run(words, env=environment, check=True)
        found.append(np.load(tmp_path / f"{name}.npy"))
    np.testing.assert_allclose(*found, atol=1e-3)


def test_a_name_of_the_greatest_length_fails_alone(ball):
    (ball / "b.png").rename(ball / ("x" * 250 + ".png"))
    save_flat(ball / "c.jpg", size=(40, 40))
    found = likewise(*SEGMENT, "out")
    assert found.returncode == 1
    assert b"1 failed" in found.stderr
    assert Path("out/c.mask.png").exists()
    assert one_line(likewise("segment", "y" * 5000, *SEGMENT[2:], "out"))


@pytest.mark.parametrize("names", [("A.jpg", "a.png"), ("a.JPG", "A.tif"), ("Ä.jpg", "ä.png"), ("a/b.jpg", "A/B.png")])
def test_outputs_differ_where_case_does_not_count(names):
    jobs = plan_jobs([ImageFile(Path(name), name) for name in names], Path("out"), ["mask"])
    outputs = [job.outputs["mask"].as_posix().casefold() for job in jobs]
    assert len(set(outputs)) == len(names)


@pytest.mark.parametrize("words", ["--version", "-h", "segment -h", "models", "backbones", "recipes", "train nowhere"])
def test_commands_that_compute_nothing_do_not_load_torch(words):
    program = "import sys, likewise.cli as c\ntry: c.main()\nfinally: print('torch' in sys.modules, file=sys.stderr)"
    environment = {**os.environ, "PYTHONPATH": SOURCE}
    found = subprocess.run(
        [sys.executable, "-c", program, *words.split()], env=environment, capture_output=True, check=False
    )
    assert found.stderr.strip().endswith(b"False"), found.stderr


def test_processes_that_are_spawned_find_the_program(ball):
    program = (
        "import multiprocessing as m\nfrom pathlib import Path\n"
        "def work(name):\n    from likewise.io.images import read_image\n    return read_image(name).shape\n"
        "if __name__ == '__main__':\n    print(m.get_context('spawn').Pool(2).map(work, ['photos/a.png'] * 3))\n"
    )
    Path("spawned.py").write_text(program)
    environment = {**os.environ, "PYTHONPATH": SOURCE}
    found = subprocess.run([sys.executable, "spawned.py"], env=environment, capture_output=True, check=False)
    assert b"(96, 128, 3)" in found.stdout
