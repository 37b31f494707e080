"""Jobs in the actors of a real Ray: on this machine, with too few processors, and in a cluster whose node is killed.

`make test-ray` runs these; each ends within `LIMIT` or fails.
"""

import faulthandler
import functools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from likewise import FewShot
from likewise.errors import ImageError, OutputError
from likewise.jobs.shards import ray_actors
from likewise.jobs.shards.executors import run_shards
from likewise.jobs.shards.plan import plan_job
from likewise.jobs.shards.storage import Listed
from likewise.jobs.shards.work import read_listed
from support.shard_jobs import learn_cat, make_photos, names_of, open_small, outputs

ray = pytest.importorskip("ray")
ray_readers = pytest.importorskip("likewise.jobs.shards.ray_readers")
cluster_utils = pytest.importorskip("ray.cluster_utils")

IMAGES = 24
SHARD = 2
SOURCE = str(Path(__file__).parents[2] / "src")
KILLS = int(os.environ.get("LIKEWISE_KILLS", "3"))
LIMIT = 240
"""Seconds for a test."""
ACTOR = "ray::Actor"
"""Start of the title of an actor's process."""


@pytest.fixture(autouse=True)
def ends():
    """End a test that hangs, and leave no Ray behind."""

    def stop(*_):
        faulthandler.dump_traceback()
        raise TimeoutError(f"the test took more than {LIMIT} seconds")

    signal.signal(signal.SIGALRM, stop)
    signal.alarm(LIMIT)
    yield
    signal.alarm(0)
    ray.shutdown()


@pytest.fixture(scope="module")
def few_shot() -> FewShot:
    return open_small()


@pytest.fixture(scope="module")
def concept(few_shot):
    return learn_cat(few_shot)


@pytest.fixture
def photos(tmp_path) -> Path:
    return make_photos(tmp_path / "photos", IMAGES)


@pytest.fixture
def planned(few_shot, concept, photos):
    return functools.partial(plan_job, str(photos), concept, few_shot=few_shot, size=SHARD)


@pytest.fixture
def whole(planned, tmp_path) -> dict[str, bytes]:
    """Return the outputs of an unbroken run in this process."""
    planned(str(tmp_path / "whole"))
    run_shards(str(tmp_path / "whole"))
    return outputs(tmp_path / "whole")


@pytest.fixture
def cluster():
    """Return a Ray of one node with one processor."""
    made = cluster_utils.Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": 80_000_000}
    )
    yield made
    ray.shutdown()
    made.shutdown()


def actors() -> list[psutil.Process]:
    return [each for each in psutil.process_iter(["cmdline"]) if ACTOR in " ".join(each.info["cmdline"] or ())]


def test_actors_have_the_outputs_of_one_process(planned, whole, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    planned("out")
    report = run_shards("out", engine="ray", workers=2)
    assert (report.done, report.images, report.errors) == (IMAGES // SHARD, IMAGES, 1)
    assert outputs(tmp_path / "out") == whole
    assert not ray.is_initialized()
    assert run_shards("out", engine="ray").skipped == IMAGES // SHARD


def test_images_decoded_in_tasks_give_the_same_outputs(planned, whole, tmp_path):
    planned(str(tmp_path / "out"))
    report = run_shards(str(tmp_path / "out"), engine="ray", workers=2, decoders=2)
    assert (report.done, report.errors) == (IMAGES // SHARD, 1)
    assert outputs(tmp_path / "out") == whole


def test_an_image_that_ends_its_decoder_fails_alone(photos, monkeypatch):
    images = [Listed(str(path), path.name) for path in sorted(photos.glob("*/*.png"))[:10]]
    deadly = images[3].name

    def die_of_one(read, chunk):  # here, so that it travels to its process by value
        from likewise.jobs.shards.ray_readers import read_some

        if any(image.name == deadly for image in chunk):
            os.kill(os.getpid(), signal.SIGKILL)
        return read_some(read, chunk)

    monkeypatch.setattr(ray_readers, "read_some", die_of_one)
    ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=80_000_000)
    read = functools.partial(read_listed, cost=1, budget=10**9)
    found = [(image, reading.exception()) for image, reading in ray_readers.read_in_tasks(images, read, tasks=2)]
    assert [image for image, _ in found] == images
    assert [error is None for _, error in found] == [image != images[3] for image in images]
    assert isinstance(found[3][1], ImageError)


def test_without_a_processor_to_decode_the_job_says_so(photos, monkeypatch):
    monkeypatch.setattr(ray_readers, "PATIENCE", 3.0)
    ray.init("local", num_cpus=0, include_dashboard=False, log_to_driver=False, object_store_memory=80_000_000)
    images = [Listed(str(next(photos.glob("*/*.png"))), "x.png")]
    with pytest.raises(OutputError, match="no processor"):
        list(ray_readers.read_in_tasks(images, functools.partial(read_listed, cost=1, budget=10**9), tasks=1))


def test_more_actors_than_processors_end(planned, whole, tmp_path, cluster):
    planned(str(tmp_path / "out"))
    cluster.add_node(num_cpus=1, object_store_memory=80_000_000)
    assert run_shards(str(tmp_path / "out"), engine="ray", workers=5, address=cluster.address).done == IMAGES // SHARD
    assert outputs(tmp_path / "out") == whole


def test_a_killed_node_loses_nothing(planned, whole, tmp_path, cluster):
    planned(str(tmp_path / "out"))
    node = cluster.add_node(num_cpus=2, object_store_memory=80_000_000)
    cluster.wait_for_nodes()
    removed = []

    def remove(done: int, _: int) -> None:
        if done == 2:
            cluster.remove_node(node, allow_graceful=False)
            removed.append(done)

    report = run_shards(str(tmp_path / "out"), engine="ray", workers=3, address=cluster.address, progress=remove)
    assert removed
    assert report.done == IMAGES // SHARD
    assert outputs(tmp_path / "out") == whole
    assert len(names_of(tmp_path / "out")) == len(set(names_of(tmp_path / "out"))) == IMAGES


def test_killed_actors_are_replaced(planned, whole, tmp_path, record_property):
    planned(str(tmp_path / "out"))
    kills = []

    def kill(done: int, _: int) -> None:
        if 0 < done <= KILLS and (found := actors()):
            found[0].kill()
            kills.append(done)

    report = run_shards(str(tmp_path / "out"), engine="ray", workers=2, progress=kill)
    record_property("kills", len(kills))
    assert kills
    assert report.done == IMAGES // SHARD
    assert outputs(tmp_path / "out") == whole


def test_a_driver_that_is_killed_at_random_moments_resumes(planned, whole, tmp_path, record_property):
    planned(str(tmp_path / "out"))
    generator = np.random.default_rng(int(time.time()))
    command = [sys.executable, "-m", "likewise", "jobs", "work", str(tmp_path / "out"), "--engine", "ray"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([SOURCE, os.environ.get("PYTHONPATH", "")])}
    kills = 0
    for _ in range(KILLS):
        done = len(outputs(tmp_path / "out")) if (tmp_path / "out/shards").exists() else 0
        signal.alarm(LIMIT)
        process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL, start_new_session=True)
        while process.poll() is None and len(list((tmp_path / "out").glob("shards/[0-9]*.parquet"))) == done:
            time.sleep(0.01)
        time.sleep(generator.uniform(0, 0.2))
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
            kills += 1
        process.wait()
    record_property("kills", kills)
    signal.alarm(LIMIT)
    assert subprocess.run(command, env=environment, stderr=subprocess.DEVNULL, check=False).returncode == 0
    assert outputs(tmp_path / "out") == whole
    assert len(names_of(tmp_path / "out")) == len(set(names_of(tmp_path / "out"))) == IMAGES


def test_without_room_for_an_actor_the_job_ends(planned, tmp_path, monkeypatch):
    planned(str(tmp_path / "out"))
    monkeypatch.setattr(ray_actors, "ROOM", 5.0)
    ray.init("local", num_cpus=0, include_dashboard=False, log_to_driver=False, object_store_memory=80_000_000)
    with pytest.raises(OutputError, match="no room for an actor for 5 seconds; it has 0 CPU"):
        run_shards(str(tmp_path / "out"), engine="ray")


def test_an_actor_that_dies_each_time_ends_the_job(planned, tmp_path, monkeypatch):
    class Dies:  # here, so that it travels to its process by value
        def open(self, *_: object) -> None:
            pass

        def work(self, *_: object) -> None:
            os.kill(os.getpid(), signal.SIGKILL)

    planned(str(tmp_path / "out"))
    monkeypatch.setattr(ray_actors, "Actor", Dies)
    with pytest.raises(OutputError, match="3 Ray actors died on shard"):
        run_shards(str(tmp_path / "out"), engine="ray", workers=1)


def test_what_a_worker_raises_reaches_the_caller(planned, tmp_path):
    planned(str(tmp_path / "out"))
    (tmp_path / "out/model/job.concept").write_bytes(b"damaged")
    with pytest.raises(ValueError, match="damaged"):
        run_shards(str(tmp_path / "out"), engine="ray", workers=1)


def test_a_cluster_that_is_not_there_is_named(planned, tmp_path):
    planned(str(tmp_path / "out"))
    with pytest.raises(OutputError, match=r"Ray at 127\.0\.0\.1:9 cannot be reached"):
        run_shards(str(tmp_path / "out"), engine="ray", address="127.0.0.1:9")
