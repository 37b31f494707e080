"""`from likewise import ...`."""

import subprocess
import sys

import pytest

import likewise
from likewise import errors


def test_every_public_name_is_importable_from_the_package():
    for name in likewise.__all__:
        assert getattr(likewise, name) is not None
    assert set(dir(likewise)) == set(likewise.__all__)


def test_every_error_is_public():
    children = {
        name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, ValueError)
    }
    assert children <= set(likewise.__all__)


def test_an_unknown_name_lists_the_public_ones():
    with pytest.raises(AttributeError, match="FewShots"):
        likewise.FewShots  # noqa: B018


@pytest.mark.slow
def test_importing_the_package_does_not_import_torch():
    program = "import sys, likewise; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
