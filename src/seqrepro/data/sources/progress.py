"""Showing how far a download is: a bar on a terminal, otherwise a line in the log every so often."""

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LINE_EVERY_S = 10.0

Advance = Callable[[int], None]

log = logging.getLogger(__name__)


@contextmanager
def shown(name: str, have: int, total: int | None) -> Iterator[Advance]:
    """Yield a function that takes the number of bytes that came since the last call.

    Args:
        name: what is downloaded.
        have: bytes that are there already.
        total: bytes of the whole; None if unknown.
    """
    if sys.stderr.isatty():
        with _bar(name, have, total) as advance:
            yield advance
    else:
        yield _lines(name, have, total)


@contextmanager
def _bar(name: str, have: int, total: int | None) -> Iterator[Advance]:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn())
    with Progress(*columns, TransferSpeedColumn(), TimeRemainingColumn(), console=Console(stderr=True)) as bar:
        task = bar.add_task(name, completed=have, total=total)
        yield lambda count: bar.advance(task, count)


def _lines(name: str, have: int, total: int | None) -> Advance:
    done, last = have, time.monotonic()
    end = "" if total is None else f" of {total / 1e6:,.1f}"

    def advance(count: int) -> None:
        nonlocal done, last
        done += count
        if time.monotonic() - last >= LINE_EVERY_S:
            log.info("%s: %s%s MB", name, f"{done / 1e6:,.1f}", end)
            last = time.monotonic()

    return advance
