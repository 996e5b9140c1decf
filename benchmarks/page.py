"""Makes docs/performance.md and, with page_figures.py, its figures from the results of the benchmarks.

    python benchmarks/page.py [--results benchmarks/results] [--docs docs]

The text is page.md here, with a place `$name` for each part that is made from JSON; what was not measured says so.
Aims are data (AIMS); why one was missed stands in remarks.yaml. Ratios are of processor times where there are such.
"""

import argparse
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from string import Template
from typing import Any, NamedTuple

import yaml
from page_figures import FIGURES, MEASURES, by_width, slug, sorted_kinds

from seqrepro.files import read_json, write_text

HERE = Path(__file__).parent
NOT_MEASURED = "not measured"
TITLES = {"beauty": "Beauty", "ml-1m": "MovieLens-1M", "ml-100k": "MovieLens-100K"}
COMPARED = ("beauty", "ml-1m")
HYDRA_AIM = "Causal Hydra attention, {}, share of the speed of memory, at the worst length"
HYDRA_PASSES = ("forward", "forward and backward")
PEERS = {"recbole": "RecBole", "rectools": "RecTools"}
Found = dict[str, Any]


class Aim(NamedTuple):
    """A ratio that is wanted."""

    name: str
    what: str
    wanted: float
    file: str
    read: Callable[[Found], float]
    percent: bool = False


def speed_aim(file: str, unit: str, dataset: str, peer: str, wanted: float) -> Aim:
    """How many times as fast ours shall be as a peer, by processor time."""
    what = f"{file.capitalize()} on {TITLES[dataset]}, times {PEERS[peer]}"

    def read(found: Found) -> float:
        return ratio(found["datasets"][dataset]["parts"], peer, f"{unit}_a_processor_second")

    return Aim(f"{file}-{dataset}-{peer}", what, wanted, file, read)


def lengths(found: Found) -> list[tuple[str, Found]]:
    """What was found of fused Hydra attention, the shortest length first."""
    return sorted(found["times_the_least_by_length"].items(), key=lambda item: int(item[0]))


def worst(passes: str, found: Found) -> float:
    """The least over the time of fused Hydra attention, at the length where that is smallest."""
    return min(1 / float(measured[passes]["fused"]) for _, measured in lengths(found))


AIMS = (
    speed_aim("training", "targets", "beauty", "recbole", 25),
    speed_aim("training", "targets", "beauty", "rectools", 25),
    speed_aim("training", "targets", "ml-1m", "recbole", 300),
    speed_aim("training", "targets", "ml-1m", "rectools", 5),
    speed_aim("evaluation", "users", "beauty", "recbole", 8),
    speed_aim("evaluation", "users", "ml-1m", "recbole", 8),
    Aim(
        "flops-256",
        "Arithmetic of a training step at D = 256, share of the peak",
        0.6,
        "flops",
        lambda found: float(found["by_width"]["256"]["share_of_peak"]),
        percent=True,
    ),
    *(
        Aim(f"hydra-{passes.replace(' ', '-')}", HYDRA_AIM.format(passes), 2 / 3, "hydra", partial(worst, passes), True)
        for passes in HYDRA_PASSES
    ),
)


def ratio(parts: Found, peer: str, key: str) -> float:
    """Ours over a peer's."""
    return float(parts["ours"][key] / parts[peer][key])


def table(header: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    """Rows as Markdown."""
    lines = [list(header), *([str(cell) for cell in row] for row in rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def number(value: float) -> str:
    """Three digits that matter, or a whole number."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}" if value < 1 else f"{value:.1f}"


def machine(found: Found) -> str:
    """The machine and the versions, in a line."""
    told = dict(found["machine"])
    place = f"{told.pop('cpu')}, {told.pop('cores')} cores, {told.pop('memory_gb')} GB"
    extra = "".join(f", {told.pop(key)}" for key in ("capability", "gpu") if key in told)
    return f"Measured on: {place}{extra}; " + ", ".join(f"{name} {value}" for name, value in told.items()) + "."


def aims(results: dict[str, Found | None], remarks: dict[str, str]) -> str:
    """Each aim, what was found, and why it was missed."""
    rows, notes = [], []
    for aim in AIMS:
        value = reached(aim, results[aim.file])
        show = (lambda x: f"{100 * x:.0f} %") if aim.percent else number
        verdict = NOT_MEASURED if value is None else "hit" if value >= aim.wanted else "missed"
        wanted = show(aim.wanted) if aim.percent else f"{aim.wanted:g}"
        rows.append((aim.what, wanted, NOT_MEASURED if value is None else show(value), verdict))
        if verdict == "missed":
            notes.append(f"- {aim.what}: {remarks.get(aim.name, 'no remark yet.').strip()}")
    parts = [table(("what", "aim", "found", ""), rows)]
    if notes:
        parts.append("What missed its aim, why, and what was tried:\n\n" + "\n".join(notes))
    return "\n\n".join(parts)


def reached(aim: Aim, found: Found | None) -> float | None:
    """The value of an aim, or None where it was not measured."""
    try:
        return None if found is None else aim.read(found)
    except KeyError:
        return None


def speeds(found: Found, unit: str, peers: tuple[str, ...], columns: dict[str, str]) -> str:
    """For each dataset the speeds of all parts and the ratios of ours to the peers."""
    blocks = []
    for dataset in COMPARED:
        if dataset not in found["datasets"]:
            blocks.append(f"**{TITLES[dataset]}**: {NOT_MEASURED}.")
            continue
        parts = found["datasets"][dataset]["parts"]
        header = ["", *columns.values(), f"{unit} a processor second", f"{unit} a second", "slowest and fastest turn"]
        header += ["ours is times as fast", "by the clock"]
        rows = []
        for name in [*parts, *(peer for peer in peers if peer not in parts)]:
            part = parts.get(name)
            if part is None:
                rows.append([f"`{name}`", *[""] * len(columns), NOT_MEASURED, *[""] * 4])
                continue
            low, high = part["slowest_and_fastest_turn"]
            cells = [part[f"{unit}_a_processor_second"], part[f"{unit}_a_second"]]
            by = [ratio(parts, name, f"{unit}_a_{second}") for second in ("processor_second", "second")]
            told = [f"{part[key]:,}" for key in columns]
            rows.append(
                [f"`{name}`", *told, *(f"{cell:,}" for cell in cells), f"{low:,} to {high:,}", *map(number, by)]
            )
        blocks.append(f"**{TITLES[dataset]}**\n\n{table(header, rows)}")
    repeats = f"Medians of {found['repeats']} turns each. "
    return "\n\n".join([*blocks, repeats + machine(found)])


def training(found: Found) -> str:
    """The table of throughputs."""
    columns = {"parameters": "weights", "examples_a_step": "examples a step", "steps_a_turn": "steps a turn"}
    on_cpu = "gpu" not in found["machine"]
    return speeds(
        found, "targets", ("recbole", "recbole, mended", "rectools", "rectools, as shipped") if on_cpu else (), columns
    )


def evaluation(found: Found) -> str:
    """The table of evaluations, and the metrics on which both agree."""
    agreed = ", ".join(
        f"{TITLES[name]}, {measured['users']:,} users: hit rate {measured['metrics']['hit@10']:.4f}, "
        f"NDCG {measured['metrics']['ndcg@10']:.4f}"
        for name, measured in found["datasets"].items()
    )
    return speeds(found, "users", (), {}) + f"\n\nThe metrics at 10 (after some steps of training): {agreed}."


def quality(found: Found) -> str:
    """When each side reached the quality."""
    rows = []
    for name in ("ours", "recbole"):
        side = found["sides"].get(name)
        if side is None:
            rows.append([f"`{name}`", NOT_MEASURED, "", "", "", ""])
            continue
        last, best = side["epochs"][-1], max(line[found["metric"]] for line in side["epochs"])
        state = "yes" if side["reached"] else f"no, stopped at {best:.4f}"
        hours = [f"{last[key] / 60:,.1f} min" for key in ("processor_seconds", "seconds")]
        rows.append([f"`{name}`", state, last["epoch"], f"{last['targets']:,}", *hours])
    header = (
        "",
        f"{found['metric']} of {found['quality']} reached",
        "epochs",
        "targets",
        "processor time",
        "wall time",
    )
    sides = found["sides"]
    told = [table(header, rows)]
    if len(sides) == 2 and sides["ours"]["reached"]:
        ends = [sides[name]["epochs"][-1] for name in ("ours", "recbole")]
        by = [number(ends[1][key] / ends[0][key]) for key in ("processor_seconds", "seconds")]
        least = "" if sides["recbole"]["reached"] else "more than "
        told.append(f"Ours was there {least}{by[0]} times as fast by processor time, {by[1]} by the clock.")
    return "\n\n".join([*told, figure("quality", "Validation NDCG@10 by processor time"), machine(found)])


def flops(found: Found) -> str:
    """Achieved operations a second."""
    on_gpu = "gpu" in found["machine"]
    header = ["D", "GFLOP a step", "seconds a step", "GFLOP/s", "peak", "peak of the shapes", "share of the peak"]
    rows = [
        [
            width,
            number(part["gigaflop_a_step"]),
            number(part["seconds_a_step"]),
            *(number(part[key]) for key in ("gigaflops", "peak_gigaflops", "peak_of_the_shapes_gigaflops")),
            f"{100 * part['share_of_peak']:.0f} %",
            *([f"{100 * part['share_of_copy']:.0f} %"] if on_gpu else []),
        ]
        for width, part in by_width(found)
    ]
    return table(header + ["weights' traffic, share of a copy's speed"] * on_gpu, rows) + "\n\n" + machine(found)


def flops_time(found: Found, picture: bool = True) -> str:
    """Shares of time by kind of operator."""
    widths = [width for width, _ in by_width(found)]
    kinds = sorted_kinds(found)
    rows = [[kind, *(f"{100 * found['by_width'][w]['time_by_kind'][kind]:.0f} %" for w in widths)] for kind in kinds]
    shown = [table(["", *(f"D = {width}" for width in widths)], rows)]
    return "\n\n".join(shown + [figure("time-of-a-step", "Share of a step's time by kind of operator")] * picture)


def threads(found: Found) -> str:
    """The arrangements, and which is best."""
    blocks = []
    for dataset, measured in found["datasets"].items():
        speeds = {name: part["targets_a_second"] for name, part in measured["arrangements"].items()}
        one = next(iter(speeds.values()))
        rows = [
            [name, f"{speed:,}", "{:,} to {:,}".format(*part["slowest_and_fastest_turn"]), f"{speed / one:.2f}"]
            for (name, speed), part in zip(speeds.items(), measured["arrangements"].values(), strict=True)
        ]
        best = max(speeds, key=speeds.__getitem__)
        header = ("", "targets a second", "slowest and fastest turn", "times one thread")
        blocks.append(f"**{TITLES[dataset]}**: most in all with {best}.\n\n{table(header, rows)}")
    told = "By the clock, all targets of the jobs that run together; the machine had other work too."
    return "\n\n".join([*blocks, f"{told} Medians of {found['repeats']} turns. {machine(found)}"])


def growth(found: Found, picture: bool = True) -> str:
    """The slopes."""
    rows = [
        [
            axis,
            f"{part['points'][0][axis]:,} to {part['points'][-1][axis]:,}",
            *(part["slopes"][key] for key in MEASURES),
        ]
        for axis, part in found["axes"].items()
    ]
    shown = [table(["slope against", "from, to", *MEASURES.values()], rows)]
    for key, title in MEASURES.items() if picture else ():
        shown.append(figure(f"growth-{slug(key)}", f"Growth of {title} with each size"))
    return "\n\n".join([*shown, f"Medians of {found['repeats']} turns. {machine(found)}"])


def attention(found: Found) -> str:
    """Fused against written out."""
    header = [
        "length",
        "fused",
        "written out",
        "times faster",
        "with dropout 0.5: fused",
        "written out",
        "times faster",
    ]
    rows = []
    for length, times in sorted(found["processor_milliseconds_by_length"].items(), key=lambda item: int(item[0])):
        row: list[str] = [length]
        for dropout in ("0.0", "0.5"):
            fused, written = (times[f"{name}, dropout {dropout}"] for name in ("fused", "written_out"))
            row += [f"{fused:.1f}", f"{written:.1f}", f"{written / fused:.2f}"]
        rows.append(row)
    return f"{table(header, rows)}\n\nMedians of {found['repeats']} turns. {machine(found)}"


def hydra(found: Found) -> str:
    """Times the least, by length, and what sums in 32 bits are away from the truth."""
    names = ("written out", "compiled", "in blocks", "fused")
    header = ["length", "rows", "least, ms", *(f"`{name}`" for name in names)]
    blocks = []
    for passes in HYDRA_PASSES:
        rows = []
        for length, measured in lengths(found):
            times = measured[passes]
            cells = [f"{times[name]:.2f}" if name in times else "" for name in names]
            rows.append([length, measured["rows"], f"{times['least_milliseconds']:.1f}", *cells])
        blocks.append(f"**{passes.capitalize()}**, times the least\n\n{table(header, rows)}")
    away = [[length, *(f"{measured['error'][name]:.1e}" for name in names)] for length, measured in lengths(found)]
    errors = table(["length", *(f"`{name}`" for name in names)], away)
    blocks.append(f"**Root mean square error** of the mixture, against sums and products in 64 bits\n\n{errors}")
    return "\n\n".join([*blocks, f"Medians of {found['repeats']} rounds. {machine(found)}"])


def optimizers(found: Found) -> str:
    """Each against Adam, by objective."""
    header = ("", "passes a step", "milliseconds a step", "times Adam", "least and most", "peak memory")
    blocks = []
    for objective, parts in found["by_objective"].items():
        rows = [
            [
                f"`{name}`",
                f"{part['passes_a_step']:g}",
                f"{part['processor_milliseconds_a_step']:.0f}",
                f"{part['times_adam']:.2f}",
                "{:.2f} to {:.2f}".format(*part["least_and_most_times_adam"]),
                f"{part['peak_mb']} MB",
            ]
            for name, part in parts.items()
        ]
        blocks.append(f"**{objective.capitalize()}**\n\n{table(header, rows)}")
    told = f"Medians of {found['repeats']} turns of {found['steps_a_turn']} steps each."
    return "\n\n".join([*blocks, f"{told} {machine(found)}"])


def prepare(found: Found) -> str:
    """Ours against RecBole's preparation."""
    header = ["dataset", "interactions", "ours", "RecBole", "times faster", "its table", "peak memory, ours", "RecBole"]
    rows = []
    for name, measured in found["datasets"].items():
        ours, theirs, filtered = measured["parts"].values()
        cells = [f"{ours['seconds']:.2f} s", f"{theirs['seconds']:.2f} s", measured["times_faster"]]
        memory = [f"{part['peak_mb']:,} MB" for part in (ours, theirs)]
        rows.append([TITLES[name], f"{measured['n_interactions']:,}", *cells, f"{filtered['seconds']:.2f} s", *memory])
    repeats = next(iter(found["datasets"].values()))["repeats"]
    return f"{table(header, rows)}\n\nMedians of {repeats} turns. {machine(found)}"


def prepare_large(found: Found) -> str:
    """Time and memory of the parts."""
    rows = [[f"`{name}`", part["seconds"], f"{part['peak_gb']} GB"] for name, part in found["parts"].items()]
    counts = "{n_users:,} users, {n_items:,} items, {n_interactions:,} interactions; the file has {csv_mb} MB.".format(
        **found
    )
    return f"{table(['', 'seconds', 'peak memory'], rows)}\n\n{counts} {machine(found)}"


def intervals(found: Found) -> str:
    """Time and memory of the steps, and the two bootstraps."""
    steps = [[step[key] for key in ("step", "processor_seconds", "seconds", "peak_gb")] for step in found["steps"]]
    both = found["bootstraps"]["parts"]
    columns = ("replicates_a_processor_second", "replicates_a_second", "standard_error")
    speeds = [[name, *(number(part[key]) for key in columns)] for name, part in both.items()]
    told = "{users:,} users, {runs} runs, {files_mb} MB of files, {distinct_rows:,} distinct rows.".format(**found)
    resampled = found["replicates"] / both["resampled users"]["replicates_a_processor_second"]
    parts = (
        table(["", "processor seconds", "seconds", "peak memory, GB"], steps),
        told,
        table(["replicates of", "a processor second", "a second", "standard error of the logarithm"], speeds),
        f"Over distinct rows it is {found['bootstraps']['times_faster']} times as fast. Resampling users for all "
        f"{found['replicates']:,} replicates would take {number(resampled)} processor seconds; measured were "
        f"{found['replicates_of_users']} replicates. Medians of {found['repeats']} turns. {machine(found)}",
    )
    return "\n\n".join(parts)


GPU_PARTS: dict[str, tuple[str, Callable[[Found], str]]] = {
    "training": ("Training", training),
    "evaluation": ("Evaluation", evaluation),
    "flops": ("Arithmetic", lambda found: flops(found) + "\n\n" + flops_time(found, picture=False)),
    "growth": ("Growth", partial(growth, picture=False)),
}


def gpu(results: dict[str, Found | None]) -> str:
    """The same on a GPU, ours alone."""
    blocks = []
    for name, (title, show) in GPU_PARTS.items():
        found = results[f"{name}-cuda"]
        blocks.append(f"**{title}**: " + (f"{NOT_MEASURED}." if found is None else f"ours alone.\n\n{show(found)}"))
    return "\n\n".join(blocks)


LOCAL = (
    *(training, optimizers, quality, evaluation, flops, threads),
    *(growth, attention, hydra, prepare, prepare_large, intervals),
)
CHAPTERS: dict[str, tuple[str, Callable[[Found], str]]] = {  # place in the text: file of results, what shows it
    **{show.__name__: (show.__name__, show) for show in LOCAL},
    "flops_time": ("flops", flops_time),
}


def figure(name: str, alt: str) -> str:
    """A figure in the page."""
    return f"![{alt}](performance/{name}.svg)\n\n[Its numbers](performance/{name}.csv)."


def read(results: Path) -> dict[str, Found | None]:
    """What there is of each file."""
    names = {file for file, _ in CHAPTERS.values()} | {f"{name}-cuda" for name in GPU_PARTS}
    paths = {name: results / f"{name}.json" for name in names}
    return {name: read_json(path) if path.is_file() else None for name, path in paths.items()}


def render(results: dict[str, Found | None], remarks: dict[str, str]) -> str:
    """The page."""
    places = {"aims": aims(results, remarks), "gpu": gpu(results)}
    for place, (file, show) in CHAPTERS.items():
        found = results[file]
        places[place] = f"{NOT_MEASURED.capitalize()}." if found is None else show(found)
    return Template((HERE / "page.md").read_text()).substitute(places)


def write(results: Path, docs: Path, remarks: Path = HERE / "remarks.yaml") -> Path:
    """The page and its figures; its path."""
    found = read(results)
    page = docs / "performance.md"
    write_text(page, render(found, yaml.safe_load(remarks.read_text()) or {}))
    for name, make in FIGURES.items():
        if (measured := found[name]) is not None:
            make(measured, docs / "performance")
    return page


def main() -> None:
    """Write the page and its figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=HERE / "results")
    parser.add_argument("--docs", type=Path, default=HERE.parent / "docs")
    given = parser.parse_args()
    print(write(given.results, given.docs))


if __name__ == "__main__":
    main()
