"""Parts of a network, by the names and the modules of its parameters."""

from collections.abc import Callable

from torch import nn

from seqrepro.errors import InputError

PARTS: dict[str, Callable[[str, nn.Module], bool]] = {  # of a parameter's dotted name, and of the module that holds it
    "all": lambda name, owner: True,
    "embeddings": lambda name, owner: isinstance(owner, nn.Embedding),
    "items": lambda name, owner: name.startswith("items."),
    "blocks": lambda name, owner: name.startswith("blocks."),
    "norms": lambda name, owner: "Norm" in type(owner).__name__,
    "all_but_embeddings": lambda name, owner: not isinstance(owner, nn.Embedding),
}


def names_of_part(model: nn.Module, part: str) -> set[str]:
    """The names of the parameters that belong to a part, one of PARTS.

    Raises:
        InputError: none does.
    """
    owners = {name: model.get_submodule(name.rpartition(".")[0]) for name, _ in model.named_parameters()}
    found = {name for name, owner in owners.items() if PARTS[part](name, owner)}
    if not found:
        raise InputError(
            f"parts: found '{part}', of which {type(model).__name__} has none; expected a part that it has"
        )
    return found
