"""Carry out a request: check its inputs, run its step, and leave a sidecar."""

from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

from seqrepro.errors import InputError
from seqrepro.provenance import sidecar
from seqrepro.request import Request, read_request

SHOW_WHAT_IS_THERE = ("refit", "compare", "judge", "report")  # runs that are not done are shown as not run


def execute(step: str, path: Path) -> list[Path]:
    """Run the step that a request file asks for.

    Args:
        step: the verb that was called; the request must be for it.
        path: the request file.

    Returns:
        The files written, the sidecar last.

    Raises:
        InputError: the request or one of its inputs is not there.
    """
    request = read_request(path, step)
    for name in request.inputs:
        if not Path(name).is_file() and step not in SHOW_WHAT_IS_THERE:
            raise InputError(f"{name}: no such file; '{step}' needs it (the step before has not run)")
    started, before = datetime.now(UTC), _earlier_record(request)
    sidecar.path_of(request).unlink(missing_ok=True)
    outputs: list[Path] = import_module(request.module).run(request)
    return [*outputs, sidecar.write_sidecar(request, outputs, started, before)]


def _earlier_record(request: Request) -> sidecar.Record | None:
    try:
        return sidecar.read_sidecar(request)
    except InputError:  # damaged, and replaced soon
        return None
