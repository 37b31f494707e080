"""What all commands have in common."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from likewise.errors import ImageError, LikewiseError, requires_extra
from likewise.jobs import demo, pipeline
from support.fakes import save_flat

PROGRAM = Path(sys.executable).parent / "likewise"


def test_help_names_the_commands_and_does_not_import_torch():
    shown = subprocess.run([PROGRAM, "--help"], capture_output=True, text=True, check=True).stdout
    for command in ("segment", "learn", "demo", "models", "backbones"):
        assert command in shown
    program = "import sys, likewise, likewise.cli; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_the_program_runs_as_a_module():
    words = [sys.executable, "-m", "likewise", "--help"]
    assert "cosegment" in subprocess.run(words, capture_output=True, text=True, check=True).stdout


def test_an_interrupted_command_that_cannot_resume_does_not_promise_it(likewise, photos, monkeypatch):
    monkeypatch.setattr(demo, "motorcycle", interrupt)
    code, _, errors = likewise("demo", "-o", "out")
    assert code == 130
    assert errors.strip() == "interrupted"


def test_an_interrupted_command_that_resumes_says_so(likewise, photos, monkeypatch):
    save_flat(photos / "a.jpg", size=(64, 48))
    monkeypatch.setattr(pipeline, "plan_jobs", interrupt)
    code, _, errors = likewise("saliency", photos, "-o", "out", "--device", "cpu")
    assert code == 130
    assert "resume" in errors


def interrupt(*_, **__):
    raise KeyboardInterrupt


def test_an_unknown_command_is_named(likewise):
    code, _, errors = likewise("segmnt")
    assert code == 2
    assert "segmnt" in errors


def test_an_error_on_the_command_line_is_a_sentence_and_none_follows_the_help_of_a_group(likewise):
    code, _, errors = likewise("segment", "photos", "--side", "x")
    assert code == 2
    assert errors.endswith("integer. See likewise segment -h.\n")
    assert likewise("jobs")[2] == ""


def test_a_mistyped_server_is_named_with_the_one_that_was_meant(likewise):
    code, _, err = likewise("serve", "lable-studio")
    assert code == 2
    assert "'lable-studio'" in err
    assert "'label-studio'" in err


def test_a_likewise_error_is_one_line_and_any_other_error_a_traceback(likewise, photos, monkeypatch):
    def fail(error):
        def motorcycle():
            raise error

        monkeypatch.setattr(demo, "motorcycle", motorcycle)
        return likewise("demo", "-o", "out")

    assert fail(ImageError("x.jpg: damaged")) == (2, "", "likewise: x.jpg: damaged\n")
    with pytest.raises(ValueError, match="a bug"):
        fail(ValueError("a bug"))


@pytest.mark.parametrize(
    ("words", "module", "extra"),
    [
        (("train", "panet-voc-small"), "lightning_fabric", "train"),
        (("recipes",), "likewise.train.recipes.load", "train"),
        (("evaluate", "score", "run"), "likewise.evaluate.loops", "evaluate"),
    ],
)
def test_a_command_without_its_optional_dependency_names_the_extra(likewise, photos, monkeypatch, words, module, extra):
    class Missing:
        def find_spec(self, name, *_):
            if name == module:
                raise ModuleNotFoundError("No module named 'absent'", name="absent")

    for name in [name for name in sys.modules if name.startswith(module)]:
        monkeypatch.delitem(sys.modules, name)
    package, _, attribute = module.rpartition(".")
    if package in sys.modules:
        monkeypatch.delattr(sys.modules[package], attribute, raising=False)
    monkeypatch.setattr(sys, "meta_path", [Missing(), *sys.meta_path])
    code, _, errors = likewise(*words)
    assert code == 2
    assert "absent" in errors
    assert f"likewise[{extra}]" in errors


def test_a_missing_module_of_our_own_is_not_an_extra():
    with pytest.raises(ModuleNotFoundError) as caught, requires_extra("train", "training"):
        import likewise.absent  # noqa: F401
    assert not isinstance(caught.value, LikewiseError)


def test_an_option_without_its_value_is_named_and_the_next_option_is_not_its_value(likewise, photos):
    code, _, err = likewise("segment", "photos", "--like", "-o", "out")
    assert code == 2
    assert "--like" in err
    assert "--out" not in err


def test_a_shell_completes_commands():
    environment = {**os.environ, "_LIKEWISE_COMPLETE": "complete_bash", "COMP_WORDS": "likewise seg", "COMP_CWORD": "1"}
    shown = subprocess.run([PROGRAM], env=environment, capture_output=True, text=True, check=False).stdout
    assert shown.split() == ["segment"]


@pytest.mark.parametrize("words", [("-h",), ("segment", "-h"), ("evaluate", "scenes", "-h"), ("--version",)])
def test_help_and_version_have_short_forms(likewise, words):
    code, out, err = likewise(*words)
    assert (code, err) == (0, "")
    assert "likewise" in out


def test_help_of_training_shows_the_layout_of_the_data(likewise):
    shown = " ".join(likewise("train", "-h")[1].split())
    for part in ("street/images/", "street/labels/", "255", "data.classes=[sky,road]", "pets/cat/1.png"):
        assert part in shown
