"""Committed selections: `registry/selected/<experiment>.json`, which trial of each model was chosen on each dataset.

The file repeats the search and each trial's settings and configuration, so that a selection from another search, or
from other data or models, is seen when a plan is made.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from seqrepro.config.search import Search
from seqrepro.errors import InputError
from seqrepro.files import Json, read_json

SELECTED = Path("registry/selected")


def selection_path(experiment: str) -> Path:
    """Where an experiment's selection stands."""
    return SELECTED / f"{experiment}.json"


def read_selections(experiments: Iterable[str]) -> dict[str, Json]:
    """The selections that are there, by experiment. Raises InputError for a file that is no JSON object."""
    paths = {name: selection_path(name) for name in experiments}
    return {name: read_json(path) for name, path in paths.items() if path.is_file()}


def chosen_trial(
    selection: Json, experiment: str, place: tuple[str, str], search: Search, planned: Sequence[tuple[Any, str]]
) -> int | None:
    """The number of the chosen trial of a model on a dataset, or None if none was chosen yet.

    Args:
        selection: the content of the file.
        experiment: whose selection it is.
        place: dataset and model.
        search: as it stands in params.yaml.
        planned: settings and configuration hash of each trial, as they stand in params.yaml.

    Raises:
        InputError: the selection is of another search or of other trials, or is not a selection.
    """
    path, (dataset, model) = selection_path(experiment), place
    try:
        of_model = selection["choices"].get(dataset, {}).get(model)
        same_search = selection["search"] == search.of_trials()
        if of_model is None and same_search:
            return None
        listed = [(trial["settings"], trial["config_sha256"]) for trial in of_model["trials"]] if of_model else []
        number = of_model["trial"] if of_model else 0
    except (AttributeError, KeyError, TypeError):
        raise InputError(f"{path}: choices.{dataset}.{model}: not a selection as `seqrepro select` writes it") from None
    if not same_search or listed != list(planned):
        what = "of other trials than params.yaml now asks for" if same_search else "of another search"
        raise InputError(
            f"{path}: {dataset}, {model}: {what}; select again, or remove the file if trials must run first"
        )
    if number not in range(len(listed)) or of_model["settings"] != listed[number][0]:
        raise InputError(f"{path}: {dataset}, {model}: trial {number!r} with these settings is not in its list")
    return int(number)
