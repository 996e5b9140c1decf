"""What a paper's page shows of its gates: printed numbers beside ours, before the claims that rest on them."""

from seqrepro.files import Json
from seqrepro.ledger.claims import Gate
from seqrepro.report.claims import runs_of


def show_gate(judged: Json, gate: Gate, wanted: Json) -> Json:
    """A judged gate with the run behind each of its numbers.

    Args:
        judged: an entry of `verdicts.json`.
        gate: the same gate in the registry.
        wanted: the parameters of the report.
    """
    return judged | {"datasets": [_with_runs(one, gate.protocol, wanted) for one in judged["datasets"]]}


def _with_runs(told: Json, protocol: str, wanted: Json) -> Json:
    values = [
        value | {"run": next(iter(runs_of([value["model"]], told["dataset"], protocol, wanted)), None)}
        for value in told["values"]
    ]
    return told | {"values": values}
