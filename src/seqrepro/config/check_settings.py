"""What one class of `params.yaml` cannot see: settings and search spaces that do not fit the models they are for."""

from collections.abc import Iterator
from itertools import chain

from seqrepro.config.faults import Location
from seqrepro.config.overrides import Settings, Setup, UnfitSetting, override, setup_of
from seqrepro.config.parameters import Experiment, Parameters
from seqrepro.config.search import Grid, LogUniform, Search, Space
from seqrepro.config.trials import trials_of

Fault = tuple[Location, str]


def setting_faults(parameters: Parameters) -> list[Fault]:
    """All faults of settings; of searches, only where the settings by dataset are in order."""
    faults = list(_dataset_faults(parameters))
    if not faults:
        for name, search in parameters.searches.items():
            faults += _space_faults(parameters, name, search)
        for name, experiment in parameters.experiments.items():
            faults += _experiment_faults(parameters, name, experiment)
            faults += _selection_faults(parameters, name, experiment)
            faults += _variation_faults(parameters, name, experiment)
            faults += _law_faults(parameters, name, experiment)
    return faults


def _dataset_faults(parameters: Parameters) -> Iterator[Fault]:
    for name, model in parameters.models.items():
        for dataset, settings in model.datasets.items():
            yield from _unfit(setup_of(parameters, name), settings, ("models", name, "datasets", dataset))


def _space_faults(parameters: Parameters, name: str, search: Search) -> list[Fault]:
    """Paths and values that a model refuses; of models without any, spaces of the wrong size."""
    faults: list[Fault] = []
    for model, spaces in search.spaces.items():
        place, setup = ("searches", name, "spaces", model), setup_of(parameters, model)
        found = [fault for path, space in spaces.items() for fault in _value_faults(search, setup, path, space, place)]
        faults += found or _size_faults(parameters, name, search, model)
    return faults + list(_follow_faults(parameters, name, search))


def _follow_faults(parameters: Parameters, name: str, search: Search) -> Iterator[Fault]:
    for follower, leader in search.follow.items():
        place: Location = ("searches", name, "follow", follower)
        if leader not in search.spaces or follower in search.spaces:
            yield place, f"found {leader}, expected a model with a space to be followed by one without"
        else:
            first = {path: space[0] for path, space in search.spaces[leader].items() if isinstance(space, list)}
            yield from _unfit(setup_of(parameters, follower), first, place)


def _value_faults(search: Search, setup: Setup, path: str, space: Space, place: Location) -> Iterator[Fault]:
    if isinstance(space, LogUniform) and isinstance(search.sampling, Grid):
        yield (*place, path), "found log_uniform in a grid, expected a list of values"
        return
    for value in space.log_uniform if isinstance(space, LogUniform) else space:
        found = list(_unfit(setup, {path: value}, place))
        if found and found[0][0] != place:  # what fits only together with other settings is seen when they are drawn
            yield found[0]
            return


def _size_faults(parameters: Parameters, name: str, search: Search, model: str) -> list[Fault]:
    for dataset in (None, *parameters.models[model].datasets):
        try:
            trials_of(name, search, model, setup_of(parameters, model, dataset))
        except UnfitSetting as fault:
            where = f" on {dataset}" if dataset else ""
            return [(("searches", name, "spaces", model), f"{fault.what}{where}")]
    return []


def _experiment_faults(parameters: Parameters, name: str, experiment: Experiment) -> Iterator[Fault]:
    if experiment.search is None:
        return
    search = parameters.searches[experiment.search]
    of_suites = [(suite, scale) for suite, s in parameters.suites.items() if (scale := s.experiments.get(name))]
    models = dict.fromkeys([*experiment.models, *(model for _, scale in of_suites for model in scale.models or [])])
    for model in models:
        if model not in search.spaces:
            yield ("experiments", name, "search"), f"search '{experiment.search}' has no space of model '{model}'"
    for suite, scale in of_suites:
        if search.seed in scale.seeds:
            place: Location = ("suites", suite, "experiments", name, "seeds")
            yield place, f"found {search.seed}, the seed of the trials of search '{experiment.search}'; expected others"


def _selection_faults(parameters: Parameters, name: str, experiment: Experiment) -> Iterator[Fault]:
    if experiment.selected_by is None:
        return
    place: Location = ("experiments", name, "selected_by")
    other = parameters.experiments[experiment.selected_by]
    if experiment.search or other.search is None:
        yield place, "expected an experiment with a search, in place of a search of its own"
    elif other.protocol != experiment.protocol:
        yield place, f"found protocol {other.protocol} there, expected {experiment.protocol} as here"


def _variation_faults(parameters: Parameters, name: str, experiment: Experiment) -> Iterator[Fault]:
    """Values that a model of the experiment refuses; of several, the first."""
    for variation in experiment.variations:
        for model in experiment.models:
            for path, values in parameters.variations[variation].items():
                place: Location = ("variations", variation)
                found = (_unfit(setup_of(parameters, model), {path: value}, place) for value in values)
                yield from ((where, f"{what} (model {model} of experiment {name})") for where, what in chain(*found))


def _law_faults(parameters: Parameters, name: str, experiment: Experiment) -> Iterator[Fault]:
    if experiment.law and not experiment.variations:
        yield ("experiments", name, "law"), "found no variations, expected the grid of the law's points"
    for suite, one in parameters.suites.items():
        if experiment.law and name in one.experiments and one.refit is None:
            yield ("suites", suite, "experiments", name), "found points of a law, expected `refit` in this suite"


def _unfit(setup: Setup, settings: Settings, place: Location) -> Iterator[Fault]:
    try:
        override(setup, settings)
    except UnfitSetting as fault:
        yield (*place, fault.path) if fault.path else place, fault.what
