"""What the benchmarks share: arguments, raw data, turns taken by the parts that are compared, and the result's file."""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / name) for name in ("src", "tests/oracles") if str(ROOT / name) not in sys.path]

from seqrepro.files import write_json  # noqa: E402


def arguments(about: str | None, repeats: int | None = None, device: bool = True, **more: Any) -> argparse.Namespace:
    """The command line: --repeats, --device, --out, and more options with their defaults.

    A default that is a list takes any number of values of its kind; False is a switch. RecBole reads the command line
    too, so it is emptied.
    """
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    if repeats is not None:
        parser.add_argument("--repeats", type=int, default=repeats)
    if device:
        parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    for name, default in more.items():
        kind: dict[str, Any] = {"type": type(default), "default": default}
        if isinstance(default, list):
            kind |= {"type": type(default[0]), "nargs": "+"}
        parser.add_argument(f"--{name.replace('_', '-')}", **({"action": "store_true"} if default is False else kind))
    parser.add_argument("--out", type=Path, help="a JSON file; without it the result is only printed")
    given = parser.parse_args()
    given.out = given.out.resolve() if given.out else None
    sys.argv = sys.argv[:1]
    if device and given.device == "cuda" and not torch.cuda.is_available():
        raise SystemExit("--device cuda: torch finds no GPU")
    return given


def finish(given: argparse.Namespace, result: dict[str, Any]) -> None:
    """Print the result, and write it if asked to."""
    print(json.dumps(result, indent=2))
    write_result(given, result)


def write_result(given: argparse.Namespace, result: dict[str, Any]) -> None:
    """Write the result, or what there is of it so far, if asked to."""
    if given.out:
        write_json(given.out, result)


@contextmanager
def workplace() -> Iterator[Path]:
    """A folder of its own to work in; RecBole leaves logs behind."""
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            yield Path(folder)
        finally:
            os.chdir(ROOT)


def mirror() -> Path:
    """Where the raw data lie."""
    if "SEQREPRO_MIRROR" not in os.environ:
        raise SystemExit("SEQREPRO_MIRROR is not set; expected a folder with the datasets")
    return Path(os.environ["SEQREPRO_MIRROR"]).resolve()


class Turn(NamedTuple):
    """What a part did when it had its turn."""

    work: int  # of whatever is counted: targets, users
    seconds: float
    processor: float  # seconds


def take_turn(part: Callable[[], int], device: str = "cpu") -> Turn:
    """One turn of a part, which returns how much work it did."""
    _wait(device)
    started, processor = time.perf_counter(), time.process_time()
    work = part()
    _wait(device)
    return Turn(work, time.perf_counter() - started, time.process_time() - processor)


def take_turns(parts: dict[str, Callable[[], int]], repeats: int, device: str = "cpu") -> dict[str, list[Turn]]:
    """So many turns of each part, one after another and around again."""
    turns: dict[str, list[Turn]] = {name: [] for name in parts}
    for _ in range(repeats):
        for name, part in parts.items():
            turn = take_turn(part, device)
            turns[name].append(turn)
            print(f"{name}: {turn.work:,} in {turn.seconds:.2f} s, {turn.processor:.2f} s of processor", flush=True)
    return turns


def summary(turns: list[Turn], unit: str) -> dict[str, Any]:
    """Medians over the turns of a part, in units a second and a processor second."""
    speeds = [turn.work / turn.seconds for turn in turns]
    return {
        f"{unit}_a_second": round(statistics.median(speeds)),
        "slowest_and_fastest_turn": [round(min(speeds)), round(max(speeds))],
        f"{unit}_a_processor_second": round(statistics.median(turn.work / turn.processor for turn in turns)),
        "seconds_in_all": round(sum(turn.seconds for turn in turns), 1),
    }


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()
