"""The jobs of runs: their negatives, their training, what it saw in numbers, and what probes measure on them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from seqrepro.config.dataset_plan import PLAN
from seqrepro.config.measures import Measures
from seqrepro.config.parameters import Parameters
from seqrepro.config.plan import Run
from seqrepro.config.probes import OTHERS, RECKONS, TRAINS
from seqrepro.errors import InputError
from seqrepro.files import canonical_json, sha256_text
from seqrepro.provenance.fingerprint import fingerprint
from seqrepro.request import Request


def request_for(step: str, module: str, folder: str, inputs: list[str], parameters: Any, *uses: str) -> Request:
    """A request with the fingerprint of its code; `uses` are modules that the step loads by name."""
    return Request(step, module, folder, inputs, parameters, list(uses), fingerprint((module, *uses)))


def candidate_request(run: Run) -> tuple[Path, Request]:
    """The drawing of the negatives that a run ranks among, by the file that the request stands in."""
    folder, wanted = Path(_negatives(run)).parent, {"dataset": run.dataset, "config": _evaluation(run)}
    path = PLAN / f"candidates/{run.dataset}/{folder.name}.json"
    return path, request_for("candidates", "seqrepro.data.candidates", folder.as_posix(), _prepared(run), wanted)


def measure_request(run: Run, measures: Measures) -> tuple[Path, Request]:
    """The measures of what the training of a run sees: one job for all runs that see the same.

    The same are the dataset, the split, the recipe's `data` and `last`, the longest history that the model sees, and,
    where something is drawn, the seed.
    """
    training = {key: run.config["training"][key] for key in ("data", "last") if key in run.config["training"]}
    config = {key: run.config[key] for key in ("dataset", "split", "temporal") if key in run.config}
    seed, windows = run.seed if "data" in training else 0, [run.config["model"].get("max_length")]
    seen = {"config": config | {"training": training}, "seed": seed, "windows": windows}
    name = sha256_text(canonical_json(seen))[:8]
    asked = {"orders": measures.orders, "lempel_ziv_tokens": measures.lempel_ziv_tokens}
    wanted = {"dataset": run.dataset, **seen, **asked}
    folder, path = f"results/datasets/{run.dataset}/measured/{name}", PLAN / f"measure/{run.dataset}/{name}.json"
    return path, request_for("measure", "seqrepro.data.measure", folder, _prepared(run), wanted)


def train_request(run: Run) -> tuple[Path, Request]:
    """The training of a run."""
    modules = [*_model_modules(run), *_training_modules(run)]
    folder = f"{run.folder}/seed-{run.seed}"
    wanted = {"dataset": run.dataset, "seed": run.seed, "config": run.config}
    path = PLAN / f"train/{run.dataset}/{run.name}/seed-{run.seed}.json"
    return path, request_for("train", "seqrepro.training.train", folder, [*_data(run), *_items(run)], wanted, *modules)


def _training_modules(run: Run) -> list[str]:
    """The modules of the objective, the optimizers and the first stage, where there are any."""
    training, modules = run.config["training"], []
    if run.is_trained:
        modules.append(f"seqrepro.training.objectives.{training['objective']['name']}")
        modules += _optimizers(training["optimizer"])
    if "pretraining" in training:
        modules.append(f"seqrepro.training.pretraining.{training['pretraining']['name']}")
    return modules


def _optimizers(parameters: dict[str, Any] | None) -> list[str]:
    """The module of an optimizer, and that of the one that it is built around."""
    if parameters is None:
        return []
    return [f"seqrepro.training.optimizers.{parameters['name']}", *_optimizers(parameters.get("base"))]


def probe_requests(parameters: Parameters, run: Run, runs: list[Run]) -> Iterator[tuple[Path, Request]]:
    """What probes measure on a run; `runs` are all of the suite, one of which a probe may look at too.

    Raises:
        InputError: a probe looks at a run that the suite does not have.
    """
    for name in run.probes:
        probe = parameters.probes[name].canonical()
        kind = probe.pop("kind")
        probe.pop("models", None)  # which models are measured is no part of a measurement
        folder = f"{run.folder}/seed-{run.seed}"
        data, negatives = _data(run)[:2], _data(run)[2:]
        inputs = [*data, f"{folder}/model.safetensors", f"{folder}/ranks.parquet", *negatives]
        modules = _model_modules(run)
        if kind in TRAINS:
            inputs, modules = [*inputs, *_items(run)], [*modules, *_training_modules(run)]
        inputs += _finished(folder, kind)[1:]
        for field in OTHERS:
            if other := other_run(run, field, probe.pop(field, None), runs):
                weights = f"{other.folder}/seed-{other.seed}/model.safetensors"
                probe[field] = {"config": other.config, "weights": weights} if field == "against" else weights
                inputs += _finished(f"{other.folder}/seed-{other.seed}", kind)
                modules += [*_model_modules(other), *_training_modules(other)] if field == "against" else []
        wanted = {"dataset": run.dataset, "seed": run.seed, "config": run.config, **probe}
        path = PLAN / f"probe/{name}/{run.dataset}/{run.name}/seed-{run.seed}.json"
        uses, place = dict.fromkeys(modules), f"{folder}/probes/{name}"
        yield path, request_for("probe", f"seqrepro.probes.{kind}", place, inputs, wanted, *uses)


def other_run(run: Run, field: str, model: str | None, runs: list[Run]) -> Run | None:
    """The run of a model that differs from a run in nothing but model and training; None if it is a run of it itself.

    Args:
        run: what is measured.
        field: the field of the probe that names the other model.
        model: its name; None: there is no other.
        runs: all of the suite.

    Raises:
        InputError: the suite has no such run.
    """
    if model is None or model in (need.model for need in run.needs):
        return None
    for other in runs:
        same = (other.dataset, other.seed, _evaluation(other)) == (run.dataset, run.seed, _evaluation(run))
        if same and model in (need.model for need in other.needs if need.is_plain):
            return other
    raise InputError(f"probes: {field} '{model}': no run of it on {run.dataset} with seed {run.seed}; expected one")


def _finished(folder: str, kind: str) -> list[str]:
    """What a probe of this kind reads of a run: its weights, and which epoch they are of where times are reckoned."""
    return [f"{folder}/{name}" for name in ("model.safetensors", *(["metrics.json"] if kind in RECKONS else []))]


def _data(run: Run) -> list[str]:
    """What a training reads, and every probe of it: the data, its statistics and, if there are any, the negatives."""
    return [*_prepared(run), *([_negatives(run)] if "candidates" in run.config else [])]


def _items(run: Run) -> list[str]:
    """The items with their attributes, where a recipe learns from them."""
    return [f"data/prepared/{run.dataset}/items.parquet"] if "pretraining" in run.config["training"] else []


def _prepared(run: Run) -> list[str]:
    return [f"data/prepared/{run.dataset}/{name}" for name in (run.protocol.source, "statistics.json")]


def _negatives(run: Run) -> str:
    """One file for all runs with the same dataset, split and candidates."""
    return f"data/candidates/{run.dataset}/{sha256_text(canonical_json(_evaluation(run)))[:8]}/negatives.parquet"


def _evaluation(run: Run) -> dict[str, Any]:
    """The part of a configuration that says what is held out and ranked."""
    return {key: value for key, value in run.config.items() if key not in ("model", "training")}


def _model_modules(run: Run) -> list[str]:
    """The module of the model, and those of its attention and of the law of its data, if it names or knows them."""
    model = run.config["model"]
    laws = [f"seqrepro.data.synthetic.{model['generator']['kind']}"] if "generator" in model else []
    method = model.get("attention", {}).get("name", "none")
    attention = [f"seqrepro.models.attention.{method}"] if method != "none" else []
    return [f"seqrepro.models.{model['family']}", *attention, *laws]
