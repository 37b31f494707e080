from pathlib import Path

import pytest
import torch

from likewise.errors import ModelError, WeightsError
from likewise.models.blocks.dataset_memory import DatasetMemory
from likewise.weights.memories import describe_memories, read_memories
from support.scene_runs import write_run


@pytest.fixture
def memory() -> DatasetMemory:
    """Three filled classes, sky and sea being similar, and an empty one."""
    memory = DatasetMemory(("sky", "sea", "road", "ghost"), 3)
    memory.vectors[:, 0] = torch.tensor([[1.0, 0, 0], [1.0, 0.1, 0], [0, 0, 1.0], [0, 0, 0]])
    memory.seen[:3] = True
    return memory


def test_lines_name_empty_classes_and_nearest_neighbours(memory: DatasetMemory) -> None:
    summary, sky, sea, road = describe_memories([memory])
    assert summary == "3 of 4 classes filled; empty: ghost"
    assert (sky, sea) == ("sky: nearest is sea (0.995)", "sea: nearest is sky (0.995)")
    assert road.startswith("road: nearest is ")


def test_movement_is_the_cosine_of_the_last_memory_with_the_first_snapshot_of_the_class(memory: DatasetMemory) -> None:
    earlier = DatasetMemory(memory.classes, 3)
    earlier.vectors[:, 0] = torch.tensor([[0, 1.0, 0], [2.0, 0.2, 0], [0, 0, 0], [0, 0, 0]])
    earlier.seen[:2] = True
    _, sky, sea, road = describe_memories([earlier, memory])
    assert sky.endswith("first snapshot 0.000")
    assert sea.endswith("first snapshot 1.000")
    assert "snapshot" not in road


def test_a_memory_of_one_class_has_no_neighbour() -> None:
    memory = DatasetMemory(("all",), 2)
    memory.fill(torch.ones(1, 1, 2))
    assert describe_memories([memory]) == ["1 of 1 classes filled"]


def test_snapshots_are_read_in_order_and_a_run_without_them_yields_its_memory(
    memory: DatasetMemory, tmp_path: Path
) -> None:
    run = write_run(tmp_path / "run")
    (only,) = read_memories(run)
    assert tuple(only.classes) == ("sky", "left arm", "right arm", "road")
    (run / "memory").mkdir()
    for step in (20, 3):
        memory.vectors[0, 0, 0] = step
        memory.save(run / f"memory/step-{step:07d}.safetensors")
    assert [snapshot.vectors[0, 0, 0] for snapshot in read_memories(run)] == [3, 20]
    assert [snapshot.vectors[0, 0, 0] for snapshot in read_memories(run / "memory/step-0000003.safetensors")] == [3]


def test_paths_without_a_memory_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="FCN"):
        read_memories(write_run(tmp_path / "fcn", "fcn"))
    with pytest.raises(WeightsError, match="nothing"):
        read_memories(tmp_path / "nothing")
    with pytest.raises(ValueError, match=r"weights\.safetensors"):
        read_memories(tmp_path / "fcn/weights.safetensors")
