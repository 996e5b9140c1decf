"""`seqrepro select`: choose the best trial of each searched model, by the validation split alone."""

from seqrepro.commands.arguments import add_suite, parser, suite_of
from seqrepro.config.faults import nearest
from seqrepro.config.load import load_parameters
from seqrepro.config.parameters import Parameters
from seqrepro.config.selection import selection_path
from seqrepro.data.registry import load_registry
from seqrepro.errors import InputError
from seqrepro.files import Json, write_json
from seqrepro.ledger.select import select


def main(words: list[str]) -> int:
    """Write registry/selected/<experiment>.json of one experiment, or of all of a suite that have a search."""
    arguments = parser("select", __doc__ or "")
    arguments.add_argument("experiment", nargs="?", help="a name under `experiments` (default: all with a search)")
    add_suite(arguments)
    given = arguments.parse_args(words)
    parameters, registry = load_parameters(), load_registry()
    suite = suite_of(parameters, given.suite)
    wanted = _wanted(parameters, suite, given.experiment)
    selections = {name: select(parameters, name, suite, registry) for name in wanted}
    for name, selection in selections.items():
        write_json(selection_path(name), selection)
        print("\n".join(lines(selection)))
    return 0


def lines(selection: Json) -> list[str]:
    """What was chosen, a line a dataset and model."""
    metric = selection["search"]["metric"]
    return [
        f"{selection['experiment']}, {dataset}, {model}: trial {chosen['trial']} of {len(chosen['trials'])}, "
        f"validation {metric} {chosen['trials'][chosen['trial']]['value']:.4f} "
        f"(unchanged {chosen['trials'][0]['value']:.4f}), {_words(chosen['settings'])}"
        for dataset, models in selection["choices"].items()
        for model, chosen in models.items()
    ]


def _words(settings: Json) -> str:
    return ", ".join(f"{path} {value}" for path, value in settings.items()) or "unchanged"


def _wanted(parameters: Parameters, suite: str, experiment: str | None) -> list[str]:
    searched = [name for name in parameters.suites[suite].experiments if parameters.experiments[name].search]
    if not searched:
        raise InputError(f"params.yaml: suite '{suite}' has no experiment with a search")
    if experiment is None:
        return searched
    if experiment not in searched:
        known = nearest(experiment, searched)
        raise InputError(f"params.yaml: suite '{suite}' has no experiment '{experiment}' with a search{known}")
    return [experiment]
