from pathlib import Path

import numpy as np
import pytest
import torch

from likewise.errors import ModelError, WeightsError
from likewise.models.blocks.dataset_memory import DatasetMemory
from likewise.weights.memories import Snapshot, read_memories, view_memories
from support.scene_runs import write_run


@pytest.fixture
def memory() -> DatasetMemory:
    """Three filled classes, sky and sea being similar, and an empty one."""
    memory = DatasetMemory(("sky", "sea", "road", "ghost"), 3)
    memory.vectors[:, 0] = torch.tensor([[1.0, 0, 0], [1.0, 0.1, 0], [0, 0, 1.0], [0, 0, 0]])
    memory.seen[:3] = True
    return memory


def test_a_view_has_filled_classes_and_similarity(memory: DatasetMemory) -> None:
    view = view_memories([Snapshot(memory)])
    assert view.classes == ("sky", "sea", "road", "ghost")
    assert view.filled.tolist() == [True, True, True, False]
    assert view.similarity[0, 1] == pytest.approx(0.995, abs=1e-3)
    assert np.isnan(view.similarity[3]).all()
    assert view.drift is None


def test_drift_is_the_cosine_with_the_last_memory(memory: DatasetMemory) -> None:
    earlier = DatasetMemory(memory.classes, 3)
    earlier.vectors[:, 0] = torch.tensor([[0, 1.0, 0], [2.0, 0.2, 0], [0, 0, 0], [0, 0, 0]])
    earlier.seen[:2] = True
    view = view_memories([Snapshot(earlier, 10), Snapshot(memory, 20)])
    assert view.drift is not None
    np.testing.assert_allclose(view.drift[:2], [[0, 1], [1, 1]], atol=1e-6)
    assert np.isnan(view.drift[2, 0])
    assert view.drift[2, 1] == pytest.approx(1)
    assert np.isnan(view.drift[3]).all()
    assert view.steps == (10, 20)


def test_snapshots_are_read_in_order_and_a_run_without_them_yields_its_memory(
    memory: DatasetMemory, tmp_path: Path
) -> None:
    run = write_run(tmp_path / "run")
    (only,) = read_memories(run)
    assert only.step is None
    assert tuple(only.memory.classes) == ("sky", "left arm", "right arm", "road")
    (run / "memory").mkdir()
    for step in (20, 3):
        memory.save(run / f"memory/step-{step:07d}.safetensors")
    assert [snapshot.step for snapshot in read_memories(run)] == [3, 20]
    assert [snapshot.step for snapshot in read_memories(run / "memory/step-0000003.safetensors")] == [None]


def test_paths_without_a_memory_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="FCN"):
        read_memories(write_run(tmp_path / "fcn", "fcn"))
    with pytest.raises(WeightsError, match="nothing"):
        read_memories(tmp_path / "nothing")
    with pytest.raises(ValueError, match=r"weights\.safetensors"):
        read_memories(tmp_path / "fcn/weights.safetensors")
