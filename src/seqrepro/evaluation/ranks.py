"""The rank file of a run: one row a (split, user, position), from which every accuracy metric is computed.

A target is named by its position in the user's whole sequence, not by its item: committed results of restricted data
must not tell who chose what.

The columns of SAMPLED are there only in runs whose protocol has saved negatives.
"""

from typing import Any

import pyarrow as pa
import torch
from torch import Tensor

from seqrepro.data.sequences import Sequences
from seqrepro.evaluation.metrics import all_means
from seqrepro.evaluation.ranking import Ranks

SCHEMA = pa.schema(
    [
        ("split", pa.string()),
        ("user", pa.int64()),
        ("position", pa.int32()),
        ("target_in_history", pa.bool_()),
        ("rank_masked_best", pa.int32()),
        ("rank_masked_worst", pa.int32()),
        ("rank_unmasked_best", pa.int32()),
        ("rank_unmasked_worst", pa.int32()),
        ("nll", pa.float32()),
    ]
)
SAMPLED = pa.schema([("rank_sampled_best", pa.int32()), ("rank_sampled_worst", pa.int32())])
MASKINGS = ("masked", "unmasked")
TIES = {"pessimistic": "worst", "optimistic": "best"}


def rank_table(split: str, histories: Sequences, ranks: Ranks) -> pa.Table:
    """The rows of one split, in the order of the histories, whose next item is the target.

    `position` counts from 0, so it is the length of the history; `nll` is null for a model without a likelihood.
    """
    columns = [
        pa.array([split] * len(histories), pa.string()),
        histories.users.cpu().numpy(),
        histories.lengths.cpu().numpy(),
        ranks.target_in_history.numpy(),
        *(getattr(ranks, f"{masking}_{bound}").numpy() for masking in MASKINGS for bound in ("best", "worst")),
        pa.nulls(len(histories)) if ranks.nll is None else ranks.nll.numpy(),
    ]
    arrays = [pa.array(column).cast(field.type) for column, field in zip(columns, SCHEMA, strict=True)]
    table = pa.Table.from_arrays(arrays, schema=SCHEMA)
    for field, ranked in zip(SAMPLED, (ranks.sampled_best, ranks.sampled_worst), strict=True):
        if ranked is not None:
            table = table.append_column(field, pa.array(ranked.numpy()).cast(field.type))
    return table


def rankings(table: pa.Table) -> tuple[str, ...]:
    """The candidate sets of a rank table: 'masked', 'unmasked', and 'sampled' where negatives are used."""
    return (*MASKINGS, "sampled") if set(SAMPLED.names) <= set(table.column_names) else MASKINGS


def ranks_of(table: pa.Table, masking: str = "masked", ties: str = "pessimistic") -> Tensor:
    """The ranks [U] of a rank table among one set of candidates (see `rankings`) and one treatment of ties."""
    return torch.tensor(table[f"rank_{masking}_{TIES[ties]}"].to_numpy(), dtype=torch.int64)


def summarise(table: pa.Table, n_items: int) -> dict[str, Any]:
    """All metrics of one split's rows: {masked|unmasked[|sampled]: {pessimistic|optimistic: {metric: value}}}."""
    return {
        masking: {ties: all_means(ranks_of(table, masking, ties), n_items) for ties in TIES}
        for masking in rankings(table)
    }
