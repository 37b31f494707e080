import numpy as np
import pytest

from likewise import FewShot
from likewise.errors import ArgumentError
from likewise.io.images import save_image
from likewise.jobs.world import measure_folder
from likewise.predict.worlds import load_world
from support.fakes import noise


@pytest.fixture(scope="module")
def few_shot():
    return FewShot()


def test_the_world_of_a_folder_serves_the_same_model(few_shot, tmp_path):
    for seed in range(3):
        save_image(noise(seed), tmp_path / f"photos/{seed}.png")
    assert measure_folder(tmp_path / "photos", tmp_path / "a.world", few_shot=few_shot, about="noise") == 3
    world, digest = load_world(tmp_path / "a.world", few_shot.extractor)
    assert np.isfinite(world.covariance).all()
    assert FewShot(world=tmp_path / "a.world").settings["world"] == digest


def test_an_unreadable_image_is_left_out_with_a_warning(few_shot, tmp_path):
    for seed in range(2):
        save_image(noise(seed), tmp_path / f"photos/{seed}.png")
    (tmp_path / "photos/broken.png").write_bytes(b"no image")
    with pytest.warns(UserWarning, match="broken.png"):
        assert measure_folder(tmp_path / "photos", tmp_path / "a.world", few_shot=few_shot) == 2


def test_a_folder_of_one_image_is_refused(few_shot, tmp_path):
    save_image(noise(0), tmp_path / "photos/0.png")
    with pytest.raises(ArgumentError, match="got 1"):
        measure_folder(tmp_path / "photos", tmp_path / "a.world", few_shot=few_shot)
