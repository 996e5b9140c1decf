"""The trials of a search: which settings of a model are tried.

Trial 0 is the model as it stands in `params.yaml`. The others lay settings over it, each a configuration that was not
there before. A draw depends on the search's name and draw seed, the model, the path and the draw's number, and on
nothing else: not on other models, not on the order of keys, not on a library's generator. So with more trials the first
ones stay as they are.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, product
from typing import Any

from seqrepro.config.overrides import Setup, UnfitSetting, override
from seqrepro.config.search import Grid, LogUniform, Search, Space
from seqrepro.files import canonical_json, sha256_text

PATIENCE = 1000  # draws in a row that give nothing new


@dataclass(frozen=True)
class Trial:
    """One point of a space."""

    number: int
    settings: dict[str, Any]  # path -> value; empty for the unchanged model
    setup: Setup  # with these settings


def trials_of(name: str, search: Search, model: str, setup: Setup) -> list[Trial]:
    """All trials of one model of a search.

    Args:
        name: the search's name.
        search: its parameters.
        model: the model's name.
        setup: the model unchanged, as it runs on the dataset.

    Raises:
        UnfitSetting: the space has not as many different configurations as the search has trials, or one that the
            model refuses.
    """
    found: dict[str, Trial] = {}
    repeated = 0
    for settings in _candidates(name, search, model):
        changed = override(setup, settings)
        trial = Trial(len(found), settings, changed)
        repeated = repeated + 1 if found.setdefault(canonical_json(changed.canonical()), trial) is not trial else 0
        if repeated == PATIENCE or (len(found) == search.trials and not isinstance(search.sampling, Grid)):
            break
    if len(found) != search.trials:
        what = f"{len(found)} different configurations, the unchanged one included"
        raise UnfitSetting(None, f"found {what}, expected as many as trials: {search.trials}")
    return list(found.values())


def _candidates(name: str, search: Search, model: str) -> Iterator[dict[str, Any]]:
    """The settings to try, in order: none, then the grid, or draws without end."""
    spaces = dict(sorted(search.spaces[model].items()))
    yield {}
    if isinstance(search.sampling, Grid):
        lists = [space for space in spaces.values() if isinstance(space, list)]
        yield from (dict(zip(spaces, values, strict=True)) for values in product(*lists))
        return
    for number in count():
        words = [search.sampling.seed, name, model, number]
        yield {path: _value(space, _share([*words, path])) for path, space in spaces.items()}


def _value(space: Space, share: float) -> Any:
    return space.at(share) if isinstance(space, LogUniform) else space[int(share * len(space))]


def _share(words: list[Any]) -> float:
    """A number in [0, 1) that words determine and that looks random."""
    return int(sha256_text(canonical_json(words))[:13], 16) / 16**13
