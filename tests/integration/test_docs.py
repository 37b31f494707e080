"""The documentation agrees with the repository: generated pages, named files and wording."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data

import likewise
from likewise import Example, FewShot

ROOT = Path(__file__).parents[2]
PROSE = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "docs", "experiments", "results")
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
RECIPES = sorted((ROOT / "src/likewise/train/recipes").glob("*.yaml"))
NOTES = sorted((ROOT / "experiments").glob("*/notes.md"))
FILE = re.compile(
    r"\b(?:experiments|benchmarks|tools|examples|results|docs|src)/[\w./-]+\.(?:py|md|json|jpg|png|cff)\b"
)


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, check=False)


def test_the_results_page_is_what_the_result_files_give() -> None:
    checked = run("tools/make_results.py", "--check")
    assert checked.returncode == 0, checked.stderr


def test_the_results_page_has_at_most_200_lines() -> None:
    assert len((ROOT / "docs/results.md").read_text(encoding="utf-8").splitlines()) <= 200


@pytest.mark.parametrize("notes", NOTES, ids=lambda notes: notes.parent.name)
def test_notes_of_an_experiment_are_short_and_have_a_result(notes: Path) -> None:
    assert len(notes.read_text(encoding="utf-8").splitlines()) <= 120
    assert (notes.parent / "result.json").is_file()


@pytest.mark.parametrize("page", [*PAGES, *RECIPES], ids=lambda page: page.name)
def test_a_page_or_recipe_names_files_that_exist(page: Path) -> None:
    named = set(FILE.findall(page.read_text(encoding="utf-8")))
    assert {name for name in named if not (ROOT / name).exists()} == set()


def test_prose_has_no_word_that_the_project_replaces() -> None:
    checked = run("tools/check_words.py", *PROSE)
    assert checked.returncode == 0, checked.stdout


def test_the_word_check_reports_a_word_and_its_line(tmp_path: Path) -> None:
    text = tmp_path / "page.md"
    text.write_text("One line.\nA picture of a cat.\nA picture. <!-- words: allow -->\n", encoding="utf-8")
    checked = run("tools/check_words.py", str(text))
    assert checked.returncode == 1
    assert [line for line in checked.stdout.splitlines() if line] == [f"{text}:2: 'picture' -> image"]  # words: allow


def test_the_python_code_of_the_readme_and_the_quick_start_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    cat = Image.fromarray(data.chelsea())
    mask = np.zeros((cat.height, cat.width), np.uint8)
    mask[20:290, 60:400] = 255
    Image.fromarray(mask).save("cat.png")
    for name in ("cat", "another", "1", "2", "3"):
        cat.save(f"{name}.jpg")
    FewShot().learn(Example("cat.jpg", mask="cat.png", class_name="dog")).save("dog.concept")
    for page in ("README.md", "docs/index.md"):
        names: dict[str, object] = {}
        for code in re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL):
            exec(code, names)
    assert Path("another.mask.png").is_file()
    assert Path("cat.concept").is_file()


def test_the_api_page_has_every_public_name() -> None:
    named = re.findall(r"^::: likewise\.(\w+)$", (ROOT / "docs/api.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(named) == sorted(set(likewise.__all__) - {"__version__"})
