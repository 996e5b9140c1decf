"""The entropy measures of a dataset, as `describe` writes them: the data factors of the Performance Law.

Entropies are in nats, or in bits where the name says so. A value that does not exist (no user is long enough, there is
no whole chunk) is None, as JSON has no NaN.

Sequences are jagged: the items of row u are values[offsets[u]:offsets[u + 1]], oldest first.
Shapes: U users, N items of all users.
"""

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from seqrepro.data.approximate_entropy import (
    Float64,
    Int64,
    at_order,
    authors_mean,
    concatenated,
    phi,
    repeated_items,
    token_weighted,
    user_mean,
    without_repeats,
)
from seqrepro.data.compression import (
    CHUNK,
    chunk_mean,
    dictionary_entropy,
    kontoyiannis_entropy,
    shannon_bits,
    zlib_ratio,
)
from seqrepro.errors import InputError
from seqrepro.files import Json


def last_items(values: Int64, offsets: Int64, window: int | None) -> tuple[Int64, Int64]:
    """The last `window` items of each user (None: all), as values and offsets.

    Raises:
        InputError: a window below 1.
    """
    if window is None:
        return values, offsets
    if window < 1:
        raise InputError(f"window: found {window}, expected at least 1 item")
    lengths = np.diff(offsets)
    kept = np.minimum(lengths, window)
    after = np.repeat(offsets[1:], lengths) - np.arange(len(values))
    return values[after <= window], np.concatenate([[0], np.cumsum(kept)])


def measures(values: Int64, offsets: Int64, *, orders: Sequence[int], lempel_ziv_tokens: int | None) -> Json:
    """All measures of these sequences.

    Args:
        values: [N] item ids, 0 or more.
        offsets: [U+1] row borders.
        orders: the m of ApEn(m).
        lempel_ziv_tokens: the Lempel-Ziv entropies read whole users, from the first on, with at most so many items
            together, and at least one user; None reads all. `cut` says whether some were left out.

    Raises:
        InputError: offsets that do not span the items, a negative order, an id that does not fit into 4 bytes.
    """
    if not len(offsets) or offsets[0] != 0 or offsets[-1] != len(values) or (np.diff(offsets) < 0).any():
        raise InputError(f"offsets: expected borders that rise from 0 to the number of items, {len(values)}")
    again = repeated_items(values, offsets)
    return {
        "users": len(offsets) - 1,
        "tokens": len(values),
        "repeats": _repeats(again, len(values)),
        "approximate_entropy": _approximate_entropy(values, offsets, orders, again),
        "shannon_bits": _chunked(values, shannon_bits) | {"pooled": _number(shannon_bits(values))},
        "zlib_ratio": _chunked(values, zlib_ratio) | {"pooled": _number(zlib_ratio(values))},
        "lempel_ziv": _lempel_ziv(values, offsets, lempel_ziv_tokens),
    }


def _repeats(again: Int64, items: int) -> Json:
    """How many users have an item that comes again, and the share of the items that their user had before."""
    return {"users": int(np.count_nonzero(again)), "share": float(again.sum() / items) if items else None}


def _approximate_entropy(values: Int64, offsets: Int64, orders: Sequence[int], again: Int64) -> Json:
    longest = max(orders, default=0) + 1
    by_user = phi(values, offsets, longest)
    pooled = phi(values, offsets, longest, pooled=True)
    concat = phi(values, concatenated(offsets), longest)
    lengths = np.diff(offsets)
    return {
        str(order): _of_users(at_order(by_user, order), lengths, again)
        | {"without_repeats": _signed_and_absolute(user_mean, without_repeats(lengths, order))}
        | {"pooled": _signed_and_absolute(float, at_order(pooled, order)[0])}
        | {"concat": _signed_and_absolute(float, at_order(concat, order)[0])}
        for order in orders
    }


def _of_users(entropies: Float64, lengths: Int64, again: Int64) -> Json:
    defined = ~np.isnan(entropies)
    return {
        "undefined_users": int(np.count_nonzero(~defined)),
        "users_without_repeats": int(np.count_nonzero(defined & (again == 0))),
        "authors": _number(authors_mean(entropies)),
        "user_mean": _signed_and_absolute(user_mean, entropies),
        "token_weighted": _signed_and_absolute(lambda values: token_weighted(values, lengths), entropies),
        "by_repeats": list(_by_repeats(entropies, lengths, again)),
    }


def _by_repeats(entropies: Float64, lengths: Int64, again: Int64) -> Iterator[Json]:
    """The users who fill the window, as ApEn compares at equal length only, by their share of repeats in tenths."""
    full = ~np.isnan(entropies) & (lengths == lengths.max(initial=0))
    tenths = -(-10 * again[full] // lengths[full])
    for tenth in np.unique(tenths):
        found = entropies[full][tenths == tenth]
        deviation = float(found.std(ddof=1)) if len(found) > 1 else None
        yield {"up_to": int(tenth) / 10, "users": len(found), "mean": float(found.mean()), "sd": deviation}


def _signed_and_absolute(mean: Callable[[Float64], float], entropies: Float64) -> Json:
    return {"signed": _number(mean(entropies)), "absolute": _number(mean(np.abs(entropies)))}


def _chunked(values: Int64, measure: Callable[[Int64], float]) -> Json:
    return {"chunk_items": CHUNK, "chunks": len(values) // CHUNK, "chunk_mean": _number(chunk_mean(values, measure))}


def _lempel_ziv(values: Int64, offsets: Int64, max_tokens: int | None) -> Json:
    users = _first_users(offsets, max_tokens)
    read = values[: offsets[users]]
    return {
        "users": users,
        "tokens": len(read),
        "cut": len(read) < len(values),
        "authors": _with_reciprocal(dictionary_entropy(read)),
        "kontoyiannis": _with_reciprocal(kontoyiannis_entropy(read)),
    }


def _first_users(offsets: Int64, max_tokens: int | None) -> int:
    users = len(offsets) - 1
    if max_tokens is None:
        return users
    return min(users, max(1, int(np.searchsorted(offsets, max_tokens, side="right")) - 1))


def _with_reciprocal(entropy: float) -> Json:
    return {"entropy": _number(entropy), "reciprocal": _number(1 / entropy if entropy else math.inf)}


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
