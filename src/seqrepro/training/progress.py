"""Showing how far a training is: a bar on a terminal, otherwise one JSON line an epoch on standard error."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

Line = dict[str, Any]
Show = Callable[[Line], None]


@contextmanager
def display(epochs: int) -> Iterator[Show]:
    """Yield a function that shows the line of a finished epoch; `epochs` is the budget."""
    if sys.stderr.isatty():
        with _bar(epochs) as show:
            yield show
    else:
        yield _print_line


def as_json_line(line: Line) -> str:
    """One line of JSON, in the order of the keys given."""
    return json.dumps(line, allow_nan=False) + "\n"


def _print_line(line: Line) -> None:
    sys.stderr.write(as_json_line(line))
    sys.stderr.flush()


@contextmanager
def _bar(epochs: int) -> Iterator[Show]:
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True)) as bar:
        task = bar.add_task("training", total=epochs)

        def show(line: Line) -> None:
            words = f"epoch {line['epoch']}  ndcg@10 {line['validation_ndcg@10']:.4f}"
            bar.update(task, completed=line["epoch"], description=words)

        yield show
