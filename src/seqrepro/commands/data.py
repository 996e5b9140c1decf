"""`seqrepro data`: `list` the datasets of the registry, or `verify` those that are at hand.

To verify is to read a dataset from its files (in data/raw, or else in the mirror), check their checksums, compare the
counts with the registry's, and compare its sequences with those of its references, user by user. Nothing is downloaded
and nothing is written.
"""

import logging
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from seqrepro.commands.arguments import Parser, parser
from seqrepro.config.dataset_plan import entry_of
from seqrepro.config.load import PARAMETERS, load_parameters
from seqrepro.data.library import Library, NotAtHand
from seqrepro.data.registry import Agreement, Counts, Entry, Reference, load_registry
from seqrepro.data.source_kinds import MIRROR_VARIABLE
from seqrepro.errors import CheckFailed, InputError, SeqReproError

COLOURS = {"OK": "32", "FAILED": "31", "not at hand": "33"}


@dataclass(frozen=True)
class Verdict:
    """What came out for one dataset."""

    status: str
    text: str


def main(words: list[str]) -> int:
    """Print a line a dataset.

    Raises:
        CheckFailed: a dataset that is at hand is not what the registry says.
    """
    arguments = parser("data", __doc__ or "")
    verbs = arguments.add_subparsers(dest="action", metavar="list | verify", parser_class=Parser)
    verbs.add_parser("list", help="what the registry holds")
    verify = verbs.add_parser("verify", help="check the datasets that are at hand")
    verify.add_argument("entries", nargs="*", metavar="ENTRY", help="keys of registry/datasets.yaml (default: all)")
    verify.add_argument("--mirror", help=f"a folder or URL with copies (default: {MIRROR_VARIABLE}, or params.yaml)")
    given = arguments.parse_args(words)
    if given.action is None:
        raise InputError("found no action, expected list or verify; see `seqrepro data --help`")
    registry = load_registry()
    if given.action == "list":
        print("\n".join(listing(registry)))
        return 0
    entries = [entry_of(name, registry) for name in given.entries] or list(registry.values())
    failed = verify_all(entries, registry, given.mirror or _mirror())
    if failed:
        raise CheckFailed(f"{len(failed)} of {len(entries)} datasets failed: {', '.join(failed)}")
    return 0


def _mirror() -> str | None:
    return os.environ.get(MIRROR_VARIABLE) or (load_parameters().mirror if PARAMETERS.is_file() else None)


def listing(registry: dict[str, Entry]) -> list[str]:
    """A line an entry: name, class, counts, order, unit of time, title."""
    rows = [("entry", "class", "users / items / interactions", "order", "time", "title")]
    for name, entry in registry.items():
        raw = entry.expected.get("raw")
        counts = _counts(raw) if raw else "not known"
        rows.append((name, entry.provenance, counts, entry.order_source, entry.time_unit or "-", entry.title))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def verify_all(entries: list[Entry], registry: dict[str, Entry], mirror: str | None) -> list[str]:
    """Verify and print each entry; the names of those that failed."""
    logging.getLogger("seqrepro").setLevel(logging.ERROR)
    failed = []
    width = max(len(entry.name) for entry in entries)
    with tempfile.TemporaryDirectory(prefix="seqrepro-") as folder:
        library = Library(registry, mirror, Path(folder))
        for entry in entries:
            verdict = verify_one(entry, library)
            print(f"{_coloured(verdict.status)} {entry.name:{width}}  {verdict.text}", flush=True)
            if verdict.status == "FAILED":
                failed.append(entry.name)
    return failed


def verify_one(entry: Entry, library: Library) -> Verdict:
    """Files, counts and references of one entry."""
    try:
        counts, problems = _check_counts(entry, library)
    except NotAtHand as absent:
        return Verdict("not at hand", f"{entry.provenance}; {absent}")
    except SeqReproError as error:
        return Verdict("FAILED", str(error))
    told = [f"{entry.provenance}; {counts}"]
    for reference in entry.references:
        text, agrees = _check_reference(entry, reference, library)
        (told if agrees else problems).append(text)
    return Verdict("FAILED", "; ".join(problems)) if problems else Verdict("OK", "; ".join(told))


def _check_counts(entry: Entry, library: Library) -> tuple[str, list[str]]:
    """The counts in words, and those that are not as expected."""
    names = list(entry.expected) or ["raw"]
    found = {name: library.counts(entry.name, _filter(name)) for name in names}
    problems = [
        f"{name}: found {_counts(found[name])}, expected {_counts(expected)}"
        for name, expected in entry.expected.items()
        if found[name] != expected
    ]
    first, *others = found.values()
    if others and all(other == first for other in others):
        return f"{_counts(first)}, its own {' and '.join(map(_title, names[1:]))}", problems
    return ", ".join(f"{_title(name)} {_counts(counts)}".lstrip() for name, counts in found.items()), problems


def _filter(name: str) -> dict[str, int]:
    return {} if name == "raw" else {"k_core": int(name.removesuffix("_core"))}


def _title(name: str) -> str:
    return "" if name == "raw" else name.replace("_", "-")


def _check_reference(entry: Entry, reference: Reference, library: Library) -> tuple[str, bool]:
    try:
        found = library.compare(entry.name, reference)
    except NotAtHand:
        return f"{reference.entry} is not at hand, not compared", True
    except SeqReproError as error:
        return str(error), False
    by = f" by {reference.order_source}" if reference.order_source else ""
    if reference.expected is None or found == reference.expected:
        return described(found, f"{reference.entry}{by}"), True
    return f"{reference.entry}{by}: found {_told(found)}, expected {_told(reference.expected)}", False


def described(found: Agreement, name: str) -> str:
    """How many users agree with those of the reference of this name, in words."""
    if found.equal == found.users and not found.other:
        return f"equal to {name}"
    parts = [f"{found.equal:,} of {found.users:,} users equal"]
    parts += [f"{found.ties:,} differ only in ties"] * bool(found.ties)
    parts += [f"{found.other:,} differ otherwise"] * bool(found.other)
    return f"against {name}: {', '.join(parts)}, {found.test_targets:,} other test targets"


def _told(found: Agreement) -> str:
    return ", ".join(f"{name} {value:,}" for name, value in found.canonical().items())


def _counts(counts: Counts) -> str:
    return f"{counts.users:,} / {counts.items:,} / {counts.interactions:,}"


def _coloured(status: str) -> str:
    text = f"{status:11}"
    plain = not sys.stdout.isatty() or "NO_COLOR" in os.environ
    return text if plain else f"\x1b[{COLOURS[status]}m{text}\x1b[0m"
