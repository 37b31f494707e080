from pathlib import Path

import numpy as np
import pytest

from likewise.errors import ImageError
from likewise.io.masks import read_mask


@pytest.fixture
def blob() -> np.ndarray:
    mask = np.zeros((16, 24), dtype=bool)
    mask[3:9, 5:20] = True
    return mask


def test_arrays_in_files_and_functions_are_read(tmp_path: Path, blob: np.ndarray) -> None:
    np.save(tmp_path / "mask.npy", blob)
    np.savez(tmp_path / "mask.npz", other=np.zeros(3), mask=blob)
    for source in (tmp_path / "mask.npy", str(tmp_path / "mask.npz"), lambda: blob):
        np.testing.assert_array_equal(read_mask(source), blob)
    np.save(tmp_path / "objects.npy", np.array([{"masks": blob}]), allow_pickle=True)
    np.savez(tmp_path / "two.npz", a=blob, b=blob)
    for name, message in (("objects", "cannot be read"), ("two", "a, b"), ("absent", "no such file")):
        path = next(tmp_path.glob(f"{name}.*"), tmp_path / f"{name}.npy")
        with pytest.raises(ImageError, match=rf"{name}\.np[yz]: .*{message}"):
            read_mask(path)
