"""How much the variants of a split differ on a dataset: counts for its description, no part of any training."""

from collections.abc import Iterator
from pathlib import Path

from torch import Tensor

from seqrepro.data.sequences import Sequences
from seqrepro.data.splits import (
    SPLITS,
    Parameters,
    Split,
    by_time,
    global_temporal,
    leave_one_out,
    read_source_order,
    temporal_cutoffs,
)
from seqrepro.errors import InputError
from seqrepro.files import Json


def compare_splits(interactions: Path, exact: Sequences, temporal: Parameters) -> list[Json]:
    """The rows of `split_rows` of a prepared dataset, from its interactions.parquet and its sequences."""
    return list(split_rows(exact, read_source_order(interactions, exact.n_items), temporal))


def split_rows(exact: Sequences, source: Sequences, temporal: Parameters) -> Iterator[Json]:
    """How many users get another target under another split, or under leave-one-out in another order.

    Args:
        exact: the prepared sequences, in exact order.
        source: the same interactions in the order of the source's rows.
        temporal: validation_share, test_share and target of the global temporal split.

    Yields:
        For each variant: `compared_with_leave_one_out`, its name; `users`, those with at least 3 interactions, the only
        ones that are counted; `validation_targets_differ` and `test_targets_differ`, of how many of them the held-out
        item is another one or is missing; `note`. A split that needs timestamps and has none gets the note alone.
    """
    reference = leave_one_out(exact)
    yield _row("source_order", reference, leave_one_out(source))
    if source.timestamps is None or exact.timestamps is None:
        for name in ("leave_one_out_recbole", "global_temporal"):
            yield {"compared_with_leave_one_out": name, "note": "no timestamps"}
        return
    yield _row("leave_one_out_recbole", reference, leave_one_out(by_time(source, source.timestamps.float())))
    try:
        split = global_temporal(exact, **temporal)
    except InputError as error:
        yield {"compared_with_leave_one_out": "global_temporal", "note": str(error)}
        return
    yield _row("global_temporal", reference, split) | _temporal_counts(split, exact.timestamps, temporal)


def _row(name: str, reference: Split, other: Split) -> Json:
    users = reference.histories["test"].users
    size = 1 + max(int(rows.users.max()) if len(rows) else 0 for rows in (reference.train, other.train))
    return {
        "compared_with_leave_one_out": name,
        "users": len(users),
        **{f"{part}_targets_differ": _different(reference, other, part, size) for part in SPLITS},
        "note": None,
    }


def _different(reference: Split, other: Split, part: str, size: int) -> int:
    users = reference.histories[part].users
    return int((_by_user(reference, part, size)[users] != _by_user(other, part, size)[users]).sum())


def _by_user(split: Split, part: str, size: int) -> Tensor:
    """The target of each user id, 0 where there is none."""
    targets = split.targets[part].new_zeros(size)
    targets[split.histories[part].users] = split.targets[part]
    return targets


def _temporal_counts(split: Split, timestamps: Tensor, temporal: Parameters) -> Json:
    cutoffs = temporal_cutoffs(timestamps, temporal["validation_share"], temporal["test_share"])
    counts = {part: len(split.targets[part]) for part in SPLITS}
    known = [int((timestamps < moment).sum()) for moment in cutoffs]
    return {
        **{f"{part}_targets": count for part, count in counts.items()},
        "interactions": {
            "train": known[0],
            "validation": known[1] - known[0],
            "test": len(timestamps) - known[1],
        },
        "from": dict(zip(SPLITS, cutoffs, strict=True)),
        "note": f"{counts['validation']:,} users with a validation target, {counts['test']:,} with a test target",
    }
