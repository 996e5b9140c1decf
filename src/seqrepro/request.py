"""A request: what one job is asked to do, as a JSON file that the plan writes and a step reads.

The plan keeps one file a job under `results/plan/`; Snakemake takes it as the job's input, so that a changed
parameter or a changed source file re-runs exactly the jobs that it concerns, with or without Snakemake's own records.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from seqrepro.errors import InputError
from seqrepro.files import read_json

Parameters = dict[str, Any]


@dataclass(frozen=True)
class Request:
    """What a step needs to know, and nothing else."""

    step: str  # the verb: retrieve, prepare, train, probe, refit, compare, report
    module: str  # dotted name of the step's module; it has run(request) -> list of the files written
    folder: str  # where the results go, relative to the repository; the sidecar stands there
    inputs: list[str]  # files that the step reads, relative to the repository
    parameters: Parameters  # the step's own parameters, canonical
    uses: list[str]  # modules that the step loads by name: the model, the objective, the file format
    code: str  # fingerprint of the source of `module` and `uses`

    @property
    def output(self) -> Path:
        """The output folder."""
        return Path(self.folder)

    def as_json(self) -> Parameters:
        """The request as a JSON object."""
        return asdict(self)


def read_request(path: Path, step: str) -> Request:
    """Read a request and check that it is meant for this step.

    Raises:
        InputError: no such file, unknown or missing keys, or a request for another step.
    """
    value = read_json(path)
    try:
        request = Request(**value)
    except TypeError as error:
        raise InputError(f"{path}: not a request ({error})") from None
    if request.step != step:
        raise InputError(f"{path}: this is a request for '{request.step}', not for '{step}'")
    return request
