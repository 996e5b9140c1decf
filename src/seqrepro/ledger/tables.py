"""The tables of a suite, as files: Parquet and CSV in long form for machines, Markdown and LaTeX for people."""

from collections.abc import Callable, Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pa_csv

from seqrepro.files import Json, atomic, write_parquet, write_text
from seqrepro.ledger.evidence import Row

PAPER_METRICS = ("hit_rate@10", "ndcg@10", "hit_rate@20", "ndcg@20", "mrr@10")
FACTS = ("seeds", "users", "data", "precision")  # what a row says of itself
PRINTED = {"masked": "", "sampled": ", among sampled negatives"}  # words of a heading; the others stand in the CSV
DIGITS = 4
NOT_RUN = "not run"
NO_RATIO = "no ratio"  # a mean is 0, or too few users have a gain
TEXT, WHOLE, REAL = pa.string(), pa.int64(), pa.float64()

METRICS = pa.schema(
    [
        *((name, TEXT) for name in ("dataset", "data_class", "model", "title", "metric", "masking")),
        *((name, WHOLE) for name in ("seeds", "users")),
        *((name, REAL) for name in ("mean", "low", "high", "optimistic", "sd_seeds")),
        ("interval_covers", TEXT),
        ("targets_in_history", WHOLE),
        *((name, TEXT) for name in ("missing_seeds", "split", "protocol", "precision", "folder")),
    ]
)
RUNS = pa.schema(
    [
        *((name, TEXT) for name in ("dataset", "data_class", "model", "title")),
        ("seed", WHOLE),
        ("state", TEXT),
        *((name, WHOLE) for name in ("n_users", "n_items", "parameters", "best_epoch", "epochs")),
        *((name, TEXT) for name in ("stopped", "precision", "ranks_sha256", "folder")),
    ]
)
COMPARISONS = pa.schema(
    [
        *((name, TEXT) for name in ("dataset", "data_class", "model", "title", "baseline", "metric")),
        *((name, WHOLE) for name in ("seeds", "baseline_seeds", "users")),
        *((name, REAL) for name in ("difference", "low", "high", "p", "p_holm")),
        *((name, REAL) for name in ("relative", "relative_low", "relative_high")),
        *((name, TEXT) for name in ("verdict", "note", "protocol", "folder", "baseline_folder")),
    ]
)
PUBLISHED = pa.schema(
    [
        *((name, TEXT) for name in ("dataset", "data_class", "model", "title", "published_as", "metric", "masking")),
        ("seeds", WHOLE),
        *((name, REAL) for name in ("ours", "low", "high", "published", "difference")),
        *((name, REAL) for name in ("relative_difference", "relative_low", "relative_high")),
        *((name, TEXT) for name in ("within_5_percent", "comparable", "why_not", "variant_ours", "variant_theirs")),
        *((name, TEXT) for name in ("protocol_ours", "protocol_theirs", "paper", "table", "reported_by", "source")),
        *((name, TEXT) for name in ("source_class", "note", "folder")),
    ]
)


def complete(rows: Iterable[Row], schema: pa.Schema) -> list[Row]:
    """The rows with every column of the schema, None where a row has none."""
    return [{name: row.get(name) for name in schema.names} for row in rows]


def write_table(stem: Path, rows: Iterable[Row], schema: pa.Schema) -> list[Path]:
    """Write rows as `<stem>.parquet` and `<stem>.csv`, columns in the schema's order."""
    table = pa.Table.from_pylist(list(rows), schema=schema)
    parquet, text = _suffixed(stem, "parquet"), _suffixed(stem, "csv")
    write_parquet(parquet, table)
    with atomic(text) as partial, pa.OSFile(str(partial), "wb") as stream:
        pa_csv.write_csv(table, stream)
    return [parquet, text]


def write_texts(stem: Path, **texts: str) -> list[Path]:
    """Write one text under several suffixes, e.g. `md="..."`."""
    for suffix, text in texts.items():
        write_text(_suffixed(stem, suffix), text)
    return [_suffixed(stem, suffix) for suffix in texts]


def number(value: float | None, digits: int = DIGITS, sign: bool = False) -> str:
    """A number as it is printed; nothing for None."""
    return "" if value is None else f"{value:{'+' if sign else ''}.{digits}f}"


def interval(row: Row) -> str:
    """`[low, high]` of a row."""
    return f"[{number(row['low'])}, {number(row['high'])}]"


def ties_matter(row: Row) -> bool:
    """Whether best and worst treatment of ties differ at the printed digits."""
    return number(row["mean"]) != number(row["optimistic"])


def best_folders(rows: list[Row]) -> dict[str, str]:
    """For each metric, the folder of the configuration with the highest mean (first one wins a tie)."""
    best: dict[str, Row] = {}
    for row in rows:
        if row["mean"] is not None and (row["metric"] not in best or row["mean"] > best[row["metric"]]["mean"]):
            best[row["metric"]] = row
    return {metric: row["folder"] for metric, row in best.items()}


def by_folder(rows: list[Row]) -> dict[str, dict[str, Row]]:
    """{folder: {metric: row}}, in order of first appearance."""
    grouped: dict[str, dict[str, Row]] = {}
    for row in rows:
        grouped.setdefault(row["folder"], {})[row["metric"]] = row
    return grouped


def caption(dataset: Json, protocol: str, split: str) -> str:
    """What a table of accuracies must say about itself."""
    return (
        f"{dataset['title']} ({dataset['variant']}), {split} split. Protocol: {protocol}. "
        "Mean over users and seeds with its 95 % interval (users and seeds crossed); an interval from one seed (*) "
        "covers users only. Where ties matter, the value under best ties follows after a slash. Best value in bold. "
        "Precision is that of training; all ranks are from fp32 scores."
    )


def metrics_markdown(rows: list[Row], datasets: Json, runs: list[Json], split: str) -> str:
    """One Markdown table a dataset, protocol and set of candidates, rows models."""

    def cell(row: Row, best: bool) -> str:
        value = f"**{number(row['mean'])}**" if best else number(row["mean"])
        return f"{value}{_optimistic(row)} {interval(row)}"

    parts = []
    for name, words, shown in _shown(rows, datasets, runs):
        head = ["Model", *PAPER_METRICS, *FACTS]
        lines = _paper_rows(shown, cell)
        said = caption(datasets[name], shown[0]["protocol"], split)
        parts.append(f"## {datasets[name]['title']}{words}\n\n{said}\n")
        parts.append(markdown(head, lines))
    return "\n".join(["# Accuracy\n", *parts])


def metrics_latex(rows: list[Row], datasets: Json, runs: list[Json], split: str) -> str:
    """One LaTeX table a dataset, protocol and set of candidates (package booktabs), rows models."""

    def cell(row: Row, best: bool) -> str:
        value = rf"\textbf{{{number(row['mean'])}}}" if best else number(row["mean"])
        return rf"{value}{_optimistic(row)} {{\scriptsize {interval(row)}}}"

    parts = []
    for name, _, shown in _shown(rows, datasets, runs):
        head = " & ".join(map(_escape, ["Model", *PAPER_METRICS, *FACTS]))
        lines = [" & ".join([_escape(line[0]), *line[1:]]) + r" \\" for line in _paper_rows(shown, cell)]
        parts += [
            r"\begin{table}",
            rf"\caption{{{_escape(caption(datasets[name], shown[0]['protocol'], split))}}}",
            rf"\begin{{tabular}}{{l{'l' * len(PAPER_METRICS)}rrll}}",
            rf"\toprule{chr(10)}{head} \\{chr(10)}\midrule",
            *lines,
            rf"\bottomrule{chr(10)}\end{{tabular}}{chr(10)}\end{{table}}{chr(10)}",
        ]
    return "\n".join(parts)


def comparisons_markdown(rows: list[Row], datasets: Json, runs: list[Json]) -> str:
    """Every model against the best simple baseline, as one Markdown table a dataset and protocol."""
    head = ["Model", "metric", "difference", "95 % interval", "relative", "p (Holm)", "verdict", "note", "data"]
    parts = [
        "# Against the best simple baseline\n",
        "The baseline is the closed-form model with the best validation ndcg@10. Differences are paired by user; "
        "p values are adjusted over the models of a table (Holm). Absence of significance proves nothing. "
        "The relative gain is the ratio of the means less 1, with a 95 % interval by the bootstrap.\n",
    ]
    for name, protocol, shown in places(rows, datasets, runs):
        parts.append(f"## {datasets[name]['title']}{protocol}: against {shown[0]['baseline']}\n")
        lines = [
            [
                row["title"],
                row["metric"],
                number(row["difference"], sign=True) or NOT_RUN,
                interval(row) if row["low"] is not None else "",
                relative(row, "relative") or (NO_RATIO if row["low"] is not None else ""),
                p_value(row["p_holm"]),
                row["verdict"] or "",
                row["note"] or "",
                row["data_class"],
            ]
            for row in shown
        ]
        parts.append(markdown(head, lines))
    return "\n".join(parts)


def published_markdown(rows: list[Row], datasets: Json, runs: list[Json]) -> str:
    """Published numbers beside ours, as one Markdown table a dataset and protocol."""
    head = ["Model", "published as", "metric", "ours", "95 % interval", "published", "difference", "within 5 %"]
    parts = ["# Published numbers beside ours\n"]
    for name, protocol, shown in places(rows, datasets, runs):
        lines = [
            [
                row["title"],
                row["published_as"],
                f"{row['metric']}, {row['masking']}",
                f"{number(row['ours']) or NOT_RUN} ({row['data_class']})",
                interval(row) if row["low"] is not None else "",
                number(row["published"]),
                relative(row, "relative_difference"),
                row["within_5_percent"] or "",
                row["comparable"] + (f": {row['why_not']}" if row["why_not"] else ""),
                f"{row['reported_by']}, {row['table']} ({row['source_class']}; {row['source']})",
            ]
            for row in shown
        ]
        parts += [f"## {datasets[name]['title']}{protocol}\n", markdown([*head, "comparable", "reported by"], lines)]
    return "\n".join(parts if len(parts) > 1 else [*parts, "No published number names these models and datasets.\n"])


def p_value(value: float | None) -> str:
    """A p value as it is printed."""
    if value is None:
        return ""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def percent(value: float | None) -> str:
    """A relative difference as it is printed."""
    return "" if value is None else f"{100 * value:+.1f} %"


def relative(row: Row, name: str) -> str:
    """A relative difference with its interval; nothing for None."""
    bounds = f" [{percent(row['relative_low'])}, {percent(row['relative_high'])}]"
    return "" if row[name] is None else percent(row[name]) + bounds


def markdown(head: list[str], lines: list[list[str]]) -> str:
    """A Markdown table."""
    rows = [head, ["---"] * len(head), *lines]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |\n" for row in rows)


def places(rows: list[Row], datasets: Json, runs: list[Json]) -> list[tuple[str, str, list[Row]]]:
    """The rows of each dataset and protocol: (dataset, words, rows).

    The words name the protocol, for a heading; they are empty where the runs on the dataset have one protocol only.
    """
    found = []
    for name in datasets:
        of_protocols: dict[str, list[Json]] = {}
        for run in (run for run in runs if run["dataset"] == name):
            of_protocols.setdefault(run["protocol"], []).append(run)
        for group in of_protocols.values():
            folders = {run["folder"] for run in group}
            if own := [row for row in rows if row["folder"] in folders]:
                words = f", protocol {group[0]['protocol_name']}" if len(of_protocols) > 1 else ""
                found.append((name, words, own))
    return found


def _shown(rows: list[Row], datasets: Json, runs: list[Json]) -> list[tuple[str, str, list[Row]]]:
    """(dataset, words of the heading, rows) of each table of accuracies."""
    wanted = [row for row in rows if row["masking"] in PRINTED and row["metric"] in PAPER_METRICS]
    tables = [
        (name, words + PRINTED[masking], [row for row in own if row["masking"] == masking])
        for name, words, own in places(wanted, datasets, runs)
        for masking in PRINTED
    ]
    return [(name, words, own) for name, words, own in tables if own]


def _paper_rows(rows: list[Row], cell: Callable[[Row, bool], str]) -> list[list[str]]:
    best, lines = best_folders(rows), []
    for folder, metrics in by_folder(rows).items():
        first = next(iter(metrics.values()))
        if first["seeds"]:
            cells = [cell(metrics[metric], best[metric] == folder) for metric in PAPER_METRICS]
        else:
            cells = [NOT_RUN] * len(PAPER_METRICS)
        facts = [seeds(first), str(first["users"] or ""), first["data_class"], first["precision"]]
        lines.append([first["title"], *cells, *facts])
    return lines


def seeds(row: Row) -> str:
    """The number of seeds; `*` where the interval covers users only, and how many are missing."""
    missing = len(row["missing_seeds"].split()) if row["missing_seeds"] else 0
    star = "*" if row.get("interval_covers") == "users" else ""
    return f"{row['seeds']}{star}" + (f" ({missing} not run)" if missing and row["seeds"] else "")


def _optimistic(row: Row) -> str:
    return f" / {number(row['optimistic'])}" if ties_matter(row) else ""


def _suffixed(stem: Path, suffix: str) -> Path:
    return stem.with_name(f"{stem.name}.{suffix}")


def _escape(text: str) -> str:
    for character in "&%#_":
        text = text.replace(character, f"\\{character}")
    return text
