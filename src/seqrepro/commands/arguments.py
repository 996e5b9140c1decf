"""What the verbs' command lines share."""

import argparse
from typing import NoReturn, TypeVar

from seqrepro.config.faults import nearest
from seqrepro.config.load import load_parameters
from seqrepro.config.parameters import Parameters
from seqrepro.config.requests import SuitePlan, plan_requests
from seqrepro.data.registry import load_registry
from seqrepro.errors import InputError

T = TypeVar("T")


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        """Raise InputError in place of printing the usage."""
        raise InputError(f"{message}; see `{self.prog} --help`")


def parser(verb: str, description: str) -> Parser:
    """A parser for one verb."""
    return Parser(prog=f"seqrepro {verb}", description=description)


def claim_of(known: dict[str, T], name: str, verb: str) -> T:
    """What belongs to a claim, by its name `PAPER/CLAIM`. Raises InputError for an unknown one."""
    if name not in known:
        raise InputError(f"{verb}: no claim '{name}'{nearest(name, list(known))}")
    return known[name]


def add_suite(target: argparse.ArgumentParser) -> None:
    """Add `--suite`."""
    target.add_argument("--suite", help="a name under `suites` in params.yaml (default: its `suite`)")


def load_plan(suite: str | None) -> tuple[Parameters, SuitePlan]:
    """The parameters and the plan of a suite. Raises InputError for an unknown suite."""
    parameters = load_parameters()
    return parameters, plan_requests(parameters, suite_of(parameters, suite), load_registry())


def suite_of(parameters: Parameters, suite: str | None) -> str:
    """The suite that is meant. Raises InputError for an unknown one."""
    name = suite or parameters.suite
    if name not in parameters.suites:
        raise InputError(f"unknown suite '{name}'{nearest(name, list(parameters.suites))}")
    return name
