"""Traps: the same weights ranked as other code ranks, to see how much of a published number that explains.

S3-Rec's evaluation, and that of the code built on it, gives the items of the history score 0 in place of taking them
out, and ranks over the whole table, in which padding has a row. Here each is done alone, and both together:

- `seen items score 0`: an item of the history is a candidate with score 0, the target too if it is one.
- `padding is a candidate`: one more candidate with score 0, which a row that is never trained has or is close to.

`measurements.parquet` (measure, at, value): each metric as it is (`ndcg@10`) and under each trap
(`ndcg@10, seen items score 0`), ties against the target.

Shapes: B rows, V items.
"""

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor
from torch.nn import functional as F

from seqrepro.data.sequences import Sequences
from seqrepro.evaluation.metrics import all_means
from seqrepro.evaluation.ranking import Scorer, rank_all
from seqrepro.models.interfaces import restore
from seqrepro.probes.measurements import write_measurements
from seqrepro.request import Request
from seqrepro.training import machine
from seqrepro.training.inputs import read_split

SEEN, PADDING = "seen items score 0", "padding is a candidate"


@dataclass(frozen=True)
class Trapped:
    """A model whose scores of seen items are 0, if asked; column V+1 is padding, whose score is 0, if asked."""

    model: Scorer
    seen: bool
    padding: bool

    def score(self, histories: Sequences) -> Tensor:
        """Scores [B, V+1], or [B, V+2] with a column for padding."""
        scores = self.model.score(histories).clone()
        if self.seen:
            scores[histories.rows, histories.values] = 0
        return F.pad(scores, (0, 1)) if self.padding else scores


def run(request: Request) -> list[Path]:
    """Rank the test split of a run under each trap.

    Parameters of the request: dataset, seed, config (of the run). Inputs: sequences.parquet, statistics.json,
    model.safetensors.

    Raises:
        CheckFailed: a score is NaN.
    """
    config = request.parameters["config"]
    machine.prepare(config["training"] | {"device": "cpu"})
    histories, targets, _ = read_split(request).evaluation("test")
    model = restore(config, histories.n_items, Path(request.inputs[2]))
    found = measure(model, histories, targets)
    return [write_measurements(request, ((name, None, value) for name, value in found.items()))]


def measure(model: Scorer, histories: Sequences, targets: Tensor) -> dict[str, float]:
    """All metrics of the targets [U], as they are and under each trap, by name."""
    n_items = histories.n_items
    plain = rank_all(model, histories, targets, likelihood=False)
    ranks = {"": plain.masked_worst}
    for name, seen, padding in ((SEEN, True, False), (PADDING, False, True), (f"{SEEN}, {PADDING}", True, True)):
        found = rank_all(Trapped(model, seen, padding), histories, targets, likelihood=False)
        ranks[f", {name}"] = found.unmasked_worst if seen else found.masked_worst
    return {metric + name: value for name, own in ranks.items() for metric, value in all_means(own, n_items).items()}
