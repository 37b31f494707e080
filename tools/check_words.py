"""Report words that this project replaces by plainer ones.

    python tools/check_words.py [PATHS...]

Without paths it checks the README, docs, experiments, sources, recipes, tests and tools. Python files are checked in
comments, strings and names of functions and variables; other files as a whole. A line with `words: allow` passes.
Exit code 1 if a word is found.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PLACES = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "Makefile", "pyproject.toml", "docs", "experiments",
          "benchmarks", "examples", "src", "tests", "tools", "results")  # fmt: skip
SUFFIXES = {".md", ".py", ".yaml", ".yml", ".toml", ".json", ".html", ".js", ".jinja", ".j2", ""}
SKIPPED = {Path(__file__).resolve()}
ALLOW = "words: allow"

WORDS = {
    r"pictures?": "image",
    r"told": "reported, given (or delete)",
    r"alike": "similar, both",
    r"brought to": "resized to, converted to",
    r"wanted": "required, requested (or delete)",
    r"of which": "whose, with",
    r"in vain": "state the result in experiments/",
    r"by hand": "manually, explicitly",
    r"so many(?! as)": "the number of",
    r"so much": "state the amount",
    r"so[- ]manieth": "Nth",
    r"the (?:more|less|larger|longer)\b[^.;:]{1,60}\bthe (?:more|less|better)": "state the relation",
    r"whatever it is": "any",
    r"(?:goes|go|went) on where": "resumes",
    r"as it is(?! (?:a|an|the|not)\b)": "unchanged",
    r"as they are(?! (?:a|an|the|not)\b)": "unchanged",
    r"(?:what|as) the (?:model|network|models|networks) says?": "the model's output",
    r"a look at": "view, measure on",
    r"looked at": "scored, inspected",
    r"likeness(?:es)?": "similarity, cosine map",
    r"no longer": "state the current behaviour",
    r"as before": "state the behaviour",
    r"used to be": "state the current behaviour",
    r"was tried": "move to experiments/",
    r"(?:is|are) not kept": "delete, or move to experiments/",
    r"(?:nobody|no one|somebody|who(?:so)?ever)": "name the subject",
    r"mended|mend(?:s|ing)?": "fix, correct",
    r"abreast": "in parallel, at once",
    r"lies? beside": "is next to",
    r"of one's own": "your own, separate",
    r"anew": "again",
    r"besides(?=[.,;)]|$)": "also, in addition",
    r"likeliest": "most probable",
    r"quicker": "faster",
    r"what came": "what was given",
    r"made ready": "prepared",
    r"told apart": "distinguished",
}  # fmt: skip
PATTERN = re.compile("|".join(rf"(?P<w{i}>\b(?:{word})\b)" for i, word in enumerate(WORDS)), re.IGNORECASE)
REPLACEMENTS = list(WORDS.values())


def findings(path: Path) -> list[str]:
    """Return one line for each word found in a file."""
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if ALLOW in line:
            continue
        text = line.replace("_", " ") if path.suffix == ".py" else line
        for match in PATTERN.finditer(text):
            index = int(str(match.lastgroup)[1:])
            name = path.relative_to(ROOT) if path.is_relative_to(ROOT) else path
            found.append(f"{name}:{number}: {match.group()!r} -> {REPLACEMENTS[index]}")
    return found


def files(places: list[Path]) -> list[Path]:
    """Return the text files at or below these paths."""
    candidates = [file for place in places for file in ([place] if place.is_file() else sorted(place.rglob("*")))]
    return [
        file
        for file in candidates
        if file.is_file()
        and file.suffix in SUFFIXES
        and file.resolve() not in SKIPPED
        and not {"__pycache__", "node_modules"} & set(file.parts)
    ]


def main() -> None:
    places = [Path(path) for path in sys.argv[1:]] or [ROOT / place for place in PLACES]
    found = [line for file in files(places) for line in findings(file)]
    for line in found:
        print(line)
    if found:
        sys.exit(f"{len(found)} words to replace; add `{ALLOW}` to a line that needs one")


if __name__ == "__main__":
    main()
