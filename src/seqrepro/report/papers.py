"""A paper's files in the registry: its claims, what others published, and where we differ."""

from dataclasses import dataclass
from pathlib import Path

from seqrepro.errors import InputError
from seqrepro.files import Json
from seqrepro.ledger.claims import read_claims
from seqrepro.ledger.published import Published, read_published
from seqrepro.report.claims import show, title_of
from seqrepro.report.gates import show_gate

SAME = ("dataset", "variant", "table", "reported_by", "source", "source_class", "protocol")
MOST_COLUMNS = 8


@dataclass(frozen=True)
class PublishedTable:
    """Numbers that one source reports of one dataset, as a table with a row a model (or a metric, if they are many)."""

    told: dict[str, str]  # what all of them share: the columns SAME
    head: list[str]
    lines: list[list[str]]
    notes: list[str]
    numbers: int


@dataclass(frozen=True)
class Deviations:
    """The text of `deviations.md`: paragraphs and one table."""

    paragraphs: list[str]
    head: list[str]
    lines: list[list[str]]


@dataclass(frozen=True)
class Paper:
    """All that its page says of a paper, but for our results."""

    name: str
    title: str
    full_title: str
    reference: str
    files: dict[str, str]
    gates: list[Json]  # the judged ones
    claims: list[Json]  # the judged ones
    unjudged: list[str]  # ids of those that no verdict names
    published: dict[str, list[PublishedTable]]  # by dataset
    deviations: Deviations | None


def read_paper(files: dict[str, str], judged: dict[str, Json], gates: dict[str, Json], wanted: Json) -> Paper:
    """Read a paper's files, and join its gates and claims with their verdicts.

    Args:
        files: `name`, the path of its `claims` and, where they exist, of `published` and `deviations`.
        judged: the claims of `verdicts.json`, by id.
        gates: its gates there, by id.
        wanted: the parameters of the report.

    Raises:
        InputError: a file is not what it must be.
    """
    claims = read_claims(Path(files["claims"]))
    published = read_published([Path(files["published"])] if "published" in files else [])
    return Paper(
        name=files["name"],
        title=title_of(files["name"]),
        full_title=claims.title,
        reference=claims.reference,
        files={key: path for key, path in files.items() if key != "name"},
        gates=[show_gate(gates[gate.id], gate, wanted) for gate in claims.gates if gate.id in gates],
        claims=[show(judged[claim.id], claim, wanted) for claim in claims.claims if claim.id in judged],
        unjudged=[claim.id for claim in claims.claims if claim.id not in judged],
        published=_by_dataset(published),
        deviations=read_deviations(Path(files["deviations"])) if "deviations" in files else None,
    )


def read_deviations(path: Path) -> Deviations:
    """The paragraphs and the table of a Markdown file; its heading is left out.

    Raises:
        InputError: no such file, no table, or a row with another number of cells than the head.
    """
    try:
        blocks = [block.strip() for block in path.read_text(encoding="utf-8").split("\n\n")]
    except OSError:
        raise InputError(f"{path}: no such file") from None
    table = next((block.splitlines() for block in blocks if block.startswith("|")), None)
    if table is None:
        raise InputError(f"{path}: no table, expected one whose lines begin with '|'")
    head, _, *lines = ([cell.strip() for cell in line.strip().strip("|").split(" | ")] for line in table)
    for line in lines:
        if len(line) != len(head):
            raise InputError(f"{path}: row '{line[0]}' has {len(line)} cells, expected {len(head)}")
    paragraphs = [" ".join(block.split()) for block in blocks if block and block[0] not in "#|"]
    return Deviations(paragraphs, head, lines)


def _by_dataset(published: list[Published]) -> dict[str, list[PublishedTable]]:
    groups: dict[tuple[str, ...], list[Published]] = {}
    for one in published:
        groups.setdefault(tuple(one.row[key] for key in SAME), []).append(one)
    found: dict[str, list[PublishedTable]] = {}
    for key, group in sorted(groups.items(), key=lambda item: item[0][0]):
        found.setdefault(key[0], []).append(_table(dict(zip(SAME, key, strict=True)), group))
    return found


def _table(told: dict[str, str], group: list[Published]) -> PublishedTable:
    values = {(one.row["model"], one.metric): one.row["value"] for one in group}
    models = list(dict.fromkeys(model for model, _ in values))
    measures = list(dict.fromkeys(measure for _, measure in values))
    if len(measures) <= max(MOST_COLUMNS, len(models)):
        lines = [[model, *(values.get((model, measure), "") for measure in measures)] for model in models]
        head = ["model", *measures]
    else:
        lines = [[measure, *(values.get((model, measure), "") for model in models)] for measure in measures]
        head = ["measure", *models]
    return PublishedTable(told, head, lines, _notes(group), len(group))


def _notes(group: list[Published]) -> list[str]:
    """Each different note once, with the numbers that it is about, unless it is about all."""
    about: dict[str, list[str]] = {}
    for one in group:
        if one.row["note"]:
            about.setdefault(one.row["note"], []).append(f"{one.row['model']}, {one.metric}")
    return [note if len(own) == len(group) else f"{'; '.join(own)}: {note}" for note, own in about.items()]
