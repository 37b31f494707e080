"""Commands whose options stand in a dataclass, and help in a narrow terminal."""

from dataclasses import dataclass, field
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from likewise.cli import options
from likewise.cli.commands import register


@dataclass(frozen=True)
class Networks(options.NetworkOptions):
    engine: str = field(default="auto", init=False)
    side: Annotated[int, typer.Option("--side", help="As [bold]segment[/bold] has it. \\[the model's]")] = 320


@pytest.fixture
def run():
    """Runs a command with these words; returns what its group of options holds, or what it prints."""
    found: list[Networks] = []

    def shrink(out: options.Out, *, network: Networks, force: options.Force = False) -> None:
        found.append(network)

    app = typer.Typer(rich_markup_mode="rich")
    register(app, shrink)

    def invoke(*words: str) -> tuple[list[Networks], str]:
        return found, CliRunner().invoke(app, words).output

    return invoke


def test_a_group_has_the_values_of_its_options_and_the_rest_their_defaults(run):
    assert run("-o", "out", "--side", "96", "--force")[0] == [Networks(side=96)]


def test_an_option_of_a_group_that_takes_none_is_refused(run):
    assert "No such option: --engine" in run("-o", "out", "--engine", "onnx")[1]


def test_help_of_a_narrow_terminal_has_whole_names_and_no_markup(run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    shown = run("--help")[1]
    assert "  --side <int>" in shown
    assert "As segment has it. [the model's] [default: 320]" in " ".join(shown.split())
    assert "╭" not in shown
    monkeypatch.setenv("COLUMNS", "80")
    assert "╭" in run("--help")[1]
