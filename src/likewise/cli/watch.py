"""`likewise watch`: segment the images that appear in a folder."""

import signal
import threading
from pathlib import Path
from typing import Annotated

import typer

from likewise.cli import options
from likewise.cli.console import print_line, print_report
from likewise.weights import DEFAULT_MODEL


def watch(
    inbox: Annotated[Path, typer.Argument(metavar="INBOX", help="The folder where images arrive.")],
    like: options.Like,
    out: options.Out,
    *,
    unlike: options.Unlike = None,
    format: options.Formats = None,
    seconds: Annotated[float, typer.Option("--every", metavar="SECONDS", help="Time between two checks.")] = 2.0,
    model: options.Model = DEFAULT_MODEL,
    network: options.SegmenterOptions,
    memory: options.Memory = None,
    presence: options.PresenceOptions,
) -> None:
    """Segment images as they arrive in a folder, until stopped by Ctrl+C or SIGTERM.

    [dim]likewise watch inbox/ --like cat.concept -o masks/[/dim]
    """
    from likewise.jobs.learn import learn_concept
    from likewise.jobs.watch import watch_folder

    few_shot = options.open_few_shot(model, network, presence)
    concept = learn_concept(few_shot, like, unlike=unlike or ())
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    print_line(f"watching {inbox}; Ctrl+C stops after the images in work")
    watch_folder(
        inbox,
        concept,
        out,
        few_shot=few_shot,
        formats=format or ["mask"],
        seconds=seconds,
        stop=stop,
        memory=memory,
        notify=lambda report: print_report(report, "segmented", out),
    )
    print_line("stopped")
