r"""Approximate Entropy (ApEn) of item sequences: of all users at once, by sorting, and directly from its definition.

    C_i^k   = share of the k-grams of a sequence that match the one at i, itself included
    Phi_k   = mean_i ln C_i^k,   over the L_k = n - k + 1 k-grams of a sequence of n items;   Phi_0 = 0
    ApEn(m) = Phi_m - Phi_{m+1}, in nats (Pincus 1991)

Items are symbols: two k-grams match when they are equal. Then Phi_k = sum_g (c_g / L_k) ln (c_g / L_k), minus the
plug-in entropy of the k-grams g with counts c_g, and ApEn(m) = H_{m+1} - H_m; ApEn(0) is the Shannon entropy. With
item ids as numbers (Performance Law, arXiv 2412.00430, computes so) this is what every tolerance 0 <= r < 1 gives.

The signed value can be negative: L_{m+1} is one less than L_m. A sequence without a repeated item has, for m >= 1,
ApEn(m) = -ln((n - m + 1) / (n - m)), which says something about its length and nothing about its items. A sequence
of n < m + 1 items has no ApEn(m): NaN. The circular variant (NIST SP 800-22) lets k-grams run from the end on to the
start: L_k = n, and ApEn is never negative.

Sequences are jagged: the items of row u are values[offsets[u]:offsets[u + 1]], oldest first.
Shapes: U users, N items of all users, K the longest gram, G groups (U users, or 1 where the users are pooled).
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from seqrepro.errors import InputError

Int64 = npt.NDArray[np.int64]
Float64 = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

SMALL_ID = 2**31  # two numbers below it can be put into one int64
AUTHORS_FLOOR = 1e-10  # the authors' code puts this in the place of a share of 0


def approximate_entropy(
    values: Int64, offsets: Int64, order: int, tolerance: float = 0.0, circular: bool = False
) -> Float64:
    """Signed ApEn(order) of each user, [U] nats; NaN where it is not defined.

    Args:
        values: [N] item ids.
        offsets: [U+1] row borders.
        order: m, the number of items that the next one is compared given; 0 gives the Shannon entropy.
        tolerance: r; any value in [0, 1) means equality of ids.
        circular: let the grams of a user run from the end on to the start.

    Raises:
        InputError: a negative order; a tolerance outside [0, 1), as ids that are near each other mean nothing.
    """
    if not 0 <= tolerance < 1:
        raise InputError(f"tolerance: found {tolerance}, expected 0 <= r < 1: item ids are names, not numbers")
    return at_order(phi(values, offsets, order + 1, circular=circular), order)


def at_order(phis: Float64, order: int) -> Float64:
    """Signed ApEn(order) [G] from the rows Phi_0 .. Phi_K of `phi`, with order < K."""
    if order < 0:
        raise InputError(f"order: found {order}, expected 0 or more")
    difference: Float64 = phis[order] - phis[order + 1]
    return difference


def phi(values: Int64, offsets: Int64, longest: int, pooled: bool = False, circular: bool = False) -> Float64:
    """Phi_0 .. Phi_K for K = `longest`, [K+1, G]; NaN where a group has no k-gram.

    With `pooled`, the k-grams of all users are counted together (G = 1); no gram crosses from a user to the next.
    """
    rows = _rows(offsets)
    groups = np.zeros_like(rows) if pooled else rows
    size = 1 if pooled else len(offsets) - 1
    phis = np.zeros((longest + 1, size))
    for k, counts in enumerate(gram_counts(values, offsets, longest, groups, circular), start=1):
        grams = counts > 0
        owners = groups[grams]
        totals = np.bincount(owners, minlength=size)
        sums = np.bincount(owners, np.log(counts[grams] / totals[owners]), minlength=size)
        phis[k] = np.divide(sums, totals, out=np.full(size, np.nan), where=totals > 0)
    return phis


def concatenated(offsets: Int64) -> Int64:
    """The row borders [2] of one long sequence, the users one behind the other."""
    return offsets[[0, -1]]


def gram_counts(values: Int64, offsets: Int64, longest: int, groups: Int64, circular: bool = False) -> Iterator[Int64]:
    """For k = 1 .. `longest`: how often the k-gram that starts at each item occurs in the item's group, [N].

    A gram's code is the rank of (code of its first k - 1 items, its last item), found by one sort. A gram that
    occurs once needs no further sorting: neither does a longer one that starts with it.

    Args:
        values: [N] item ids.
        offsets: [U+1] row borders, which no gram crosses.
        longest: K.
        groups: [N] the group of each item, 0 or more; rows may share a group.
        circular: let grams run from the end of their row on to its start.

    Yields:
        [N] counts; 0 where the row ends before the gram does.
    """
    symbols = _small(values)
    base = int(symbols.max(initial=0)) + 1
    room = np.full(len(values), longest) if circular else _room(offsets)
    starts, lengths = (np.repeat(part, np.diff(offsets)) for part in (offsets[:-1], np.diff(offsets)))
    active, codes = np.arange(len(values)), groups
    for k in range(longest):
        fits = room[active] > k
        active, codes = active[fits], codes[fits]
        last = starts[active] + (active - starts[active] + k) % lengths[active]
        _, codes, sizes = np.unique(codes * base + symbols[last], return_inverse=True, return_counts=True)
        counts = (room > k).astype(np.int64)
        counts[active] = sizes[codes]
        yield counts
        repeated = counts[active] > 1
        active, codes = active[repeated], codes[repeated]


def repeated_items(values: Int64, offsets: Int64) -> Int64:
    """How many items of each user stand behind the same item of the same user, [U]."""
    symbols, rows = _small(values), _rows(offsets)
    base = int(symbols.max(initial=0)) + 1
    different = np.unique(rows * base + symbols) // base
    return np.diff(offsets) - np.bincount(different, minlength=len(offsets) - 1)


def without_repeats(lengths: Int64, order: int) -> Float64:
    """Signed ApEn(order) [U] of users of these lengths [U] none of whose items comes twice: a function of length alone.

    Phi_k = -ln L_k for k >= 1, so that ApEn(m) = -ln((n - m + 1) / (n - m)) for m >= 1, and ApEn(0) = ln n.
    """
    grams = [np.where(lengths >= order + k, lengths - order - k + 1, np.nan) for k in (0, 1)]
    entropies: Float64 = np.log(grams[1]) - (np.log(grams[0]) if order else 0.0)
    return entropies


def user_mean(entropies: Float64) -> float:
    """Mean of the users' values [U] over the users that have one; NaN if none has."""
    return token_weighted(entropies, np.ones(len(entropies), dtype=np.int64))


def token_weighted(entropies: Float64, lengths: Int64) -> float:
    """Mean of the users' values [U] weighted by their numbers of items [U], over the users that have a value."""
    defined = ~np.isnan(entropies)
    return float(np.average(entropies[defined], weights=lengths[defined])) if defined.any() else float("nan")


def authors_mean(entropies: Float64) -> float:
    """The authors' number for a dataset: the mean over all users [U] of |ApEn|, with 0 where it is not defined."""
    return float(np.nan_to_num(np.abs(entropies)).mean()) if len(entropies) else float("nan")


def approximate_entropy_direct(series: npt.ArrayLike, order: int, tolerance: float, authors: bool = False) -> float:
    """ApEn(order) of one series of n numbers, straight from the definition, in O(n^2) time: a reference.

    Two k-grams match when no item differs by more than `tolerance` (Pincus 1991).

    Args:
        series: [n] numbers.
        order: m.
        tolerance: r, in the unit of the series.
        authors: follow the authors' code: the absolute value, Phi_k = 0 where there is no k-gram, and a share of 0,
            which only a negative tolerance gives, replaced by 1e-10. With r = -1 nothing matches and the result is 0,
            except for n = m, where Phi_m = ln 1e-10 meets a missing Phi_{m+1}.

    Raises:
        InputError: a negative order, or a negative tolerance without `authors`.
    """
    if order < 0 or (tolerance < 0 and not authors):
        raise InputError(f"order, tolerance: found {order}, {tolerance}, expected both 0 or more")
    numbers = np.asarray(series, dtype=np.float64)
    floor, missing = (AUTHORS_FLOOR, 0.0) if authors else (0.0, float("nan"))
    signed = _phi_direct(numbers, order, tolerance, floor, missing) - _phi_direct(
        numbers, order + 1, tolerance, floor, missing
    )
    return abs(signed) if authors else signed


def _phi_direct(numbers: Float64, k: int, tolerance: float, floor: float, missing: float) -> float:
    if k == 0:
        return 0.0
    if len(numbers) < k:
        return missing
    grams = np.lib.stride_tricks.sliding_window_view(numbers, k)
    shares = [(np.abs(grams - gram).max(axis=1) <= tolerance).mean() for gram in grams]
    return float(np.log(np.maximum(shares, floor)).mean())


def _rows(offsets: Int64) -> Int64:
    """The row of each item, [N]."""
    return np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))


def _room(offsets: Int64) -> Int64:
    """The number of items from each item to the end of its row, itself included, [N]."""
    return np.repeat(offsets[1:], np.diff(offsets)) - np.arange(offsets[-1])


def _small(values: Int64) -> Int64:
    """The same symbols [N] as numbers from 0 to below `SMALL_ID`; ids that are so already stay."""
    if values.min(initial=0) >= 0 and values.max(initial=0) < SMALL_ID:
        return values
    return np.unique(values, return_inverse=True)[1]
