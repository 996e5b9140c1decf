"""What a suite varies, as the tables of variations read it: each model with each setting, beside the plain model."""

from typing import Any

from seqrepro.config.parameters import Parameters
from seqrepro.config.plan import Need, Run
from seqrepro.config.probes import RESULTS, Cost, Sharpness
from seqrepro.config.variants import OF_DATA, Variant

Entry = dict[str, Any]
OF = {"folder": "seeds", "plain": "plain_seeds"}  # the varied run and that with nothing varied
READ = (Sharpness, Cost)  # probes whose numbers stand in the tables of variations


def varied_entries(parameters: Parameters, runs: list[Run], datasets: dict[str, Any]) -> list[Entry]:
    """An entry a (dataset, experiment, model, setting), with all its seeds, in the order of the plan.

    Points of the Performance Law are none: they have tables of their own (law_plan).

    Args:
        parameters: the parameters.
        runs: all runs of the suite.
        datasets: descriptions, by name.
    """
    entries: dict[tuple[str, ...], Entry] = {}
    for run in runs:
        for need in run.needs:
            if need.variant is not None and not parameters.experiments[need.experiment].law:
                key = (run.dataset, need.experiment, need.model, need.variant.variation, need.variant.title)
                if key not in entries:
                    entries[key] = _entry(parameters, run, need, need.variant, runs, datasets)
                entries[key]["seeds"].append(run.seed)
                entries[key]["plain_seeds"].append(_plain(run, need, runs).seed)
    return list(entries.values())


def varied_files(entries: list[Entry]) -> list[str]:
    """What the tables of variations read: metrics of both runs, and what probes measured on the varied one."""
    metrics = [f"{entry[of]}/seed-{seed}/metrics.json" for entry in entries for of in OF for seed in entry[OF[of]]]
    probed = [
        f"{entry['folder']}/seed-{seed}/{file}"
        for entry in entries
        for seed in entry["seeds"]
        for file in entry["measurements"]
    ]
    return list(dict.fromkeys([*metrics, *probed]))


def _entry(
    parameters: Parameters, run: Run, need: Need, variant: Variant, runs: list[Run], datasets: dict[str, Any]
) -> Entry:
    group, at = _place(variant)
    measured = {name: parameters.probes[name] for name in need.probes}
    files = [f"probes/{name}/{RESULTS[one.kind]}" for name, one in measured.items() if isinstance(one, READ)]
    return {
        "dataset": run.dataset,
        "data_class": datasets[run.dataset]["class"],
        "protocol_name": parameters.experiments[need.experiment].protocol,
        "experiment": need.experiment,
        "model": need.model,
        "title": parameters.models[need.model].title,
        "variation": variant.variation,
        "of_data": OF_DATA in variant.settings,
        "setting": variant.title,
        "group": group,
        "at": at,
        "folder": run.folder,
        "plain": _plain(run, need, runs).folder,
        "measurements": files,
        "seeds": [],
        "plain_seeds": [],  # for each seed the one beside it; 0, where the plain model has no other
    }


def _plain(run: Run, need: Need, runs: list[Run]) -> Run:
    """The run of the same model of the same experiment with nothing varied; of what no seed changes, the only one."""
    for other in runs:
        if other.dataset == run.dataset and other.seed in (run.seed, 0):
            for one in other.needs:
                if one.is_plain and (one.experiment, one.model) == (need.experiment, need.model):
                    return other
    raise AssertionError(f"{need.experiment}: {need.model} has no plain run")


def _place(variant: Variant) -> tuple[str, float | None]:
    """Which curve a setting belongs to, and where on it: the words of its values, and its number if there is one."""
    words, numbers = [], []
    for path, value in variant.settings.items():
        inside = value if isinstance(value, dict) else {path.rpartition(".")[2]: value}
        for name, one in inside.items():
            is_number = isinstance(one, int | float) and not isinstance(one, bool)
            words.append(name.replace("_", " ") if is_number else str(one).replace("_", " "))
            numbers += [float(one)] if is_number else []
    return ", ".join(dict.fromkeys(words)), numbers[0] if len(numbers) == 1 else None
