r"""How compressible one long sequence of items is: Lempel-Ziv entropies, Shannon entropy, and zlib.

    S_real = n ln n / sum_i Lambda_i   nats,   Lambda_i = 1 + (items from i on that are known already)

S_real is the "Real Entropy" of P-Law (Lemma 3.1; NeurIPS 2025). Two readings of "known already" are here:

- `dictionary_entropy`, what the authors' code does: known is a phrase in a dictionary, and each start i adds one
  phrase to it, the shortest from i that is not in it yet. It is not the published estimator.
- `kontoyiannis_entropy`, the estimator of Kontoyiannis et al. 1998 as Song et al. 2010 use it: known is what occurs
  somewhere in the items before i.

Where all items from i to the end are known, Lambda_i is their number plus 1 in both (n - i + 1 for i from 0). Both
run in a time about linear in n, also for repetitive sequences, and need some hundred bytes an item.

Shape: n items.
"""

import math
import zlib
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from seqrepro.errors import InputError

Int64 = npt.NDArray[np.int64]

CHUNK = 10_000  # items; what the authors' code cuts the concatenated sequences into


def dictionary_entropy(values: Int64) -> float:
    """S_real of the authors' dictionary variant, nats; NaN without items.

    The dictionary is a trie, a node a phrase. `shorter` leads from a phrase to the phrase without its first item,
    which is always there: so Lambda_{i+1} >= Lambda_i - 1, and no item is looked at twice.
    """
    items: list[int] = values.tolist()
    children: list[dict[int, int]] = [{}]
    shorter = [0]
    node = known = total = pending = 0
    for start in range(len(items)):
        while start + known < len(items):
            item = items[start + known]
            child = children[node].setdefault(item, len(children))
            if pending:
                shorter[pending], pending = child, 0
            if child == len(children):
                children.append({})
                shorter.append(0)
                pending = child if known else 0
                break
            node, known = child, known + 1
        total += known + 1
        node, known = shorter[node], max(known - 1, 0)
    return _entropy(len(items), total)


def kontoyiannis_entropy(values: Int64) -> float:
    """S_real of the Kontoyiannis / Song-2010 estimator, nats; NaN without items.

    A suffix automaton of the items before i knows all their sub-sequences.
    """
    items: list[int] = values.tolist()
    past = SuffixAutomaton()
    state = known = total = 0
    for start, item in enumerate(items):
        while start + known < len(items) and items[start + known] in past.following[state]:
            state, known = past.following[state][items[start + known]], known + 1
        total += known + 1
        past.append(item)
        known = max(known - 1, 0)
        while state and past.lengths[past.links[state]] >= known:
            state = past.links[state]
    return _entropy(len(items), total)


class SuffixAutomaton:
    """The smallest automaton that accepts the sub-sequences of what was appended (Blumer et al. 1985).

    A state stands for the sub-sequences that end at the same places, the longest of which has `lengths[state]` items;
    `links[state]` is the state of the longest suffix that ends at more places. State 0 is the empty one.
    """

    def __init__(self) -> None:
        self.following: list[dict[int, int]] = [{}]
        self.links = [-1]
        self.lengths = [0]
        self._last = 0

    def append(self, item: int) -> None:
        """Add an item at the end; takes constant time on average."""
        state, self._last = self._last, self._state({}, 0, self.lengths[self._last] + 1)
        while state >= 0 and item not in self.following[state]:
            self.following[state][item] = self._last
            state = self.links[state]
        if state >= 0:
            self.links[self._last] = self._suffix(state, item)

    def _suffix(self, state: int, item: int) -> int:
        """The state of exactly the longest sub-sequence of `state` followed by the item; split off if need be."""
        target = self.following[state][item]
        if self.lengths[target] == self.lengths[state] + 1:
            return target
        copy = self._state(dict(self.following[target]), self.links[target], self.lengths[state] + 1)
        self.links[target] = copy
        while state >= 0 and self.following[state].get(item) == target:
            self.following[state][item] = copy
            state = self.links[state]
        return copy

    def _state(self, following: dict[int, int], link: int, length: int) -> int:
        self.following.append(following)
        self.links.append(link)
        self.lengths.append(length)
        return len(self.lengths) - 1


def _entropy(n: int, total: int) -> float:
    return n * math.log(n) / total if n else float("nan")


def shannon_bits(values: Int64) -> float:
    """Shannon entropy of the items [n], bits; NaN without items."""
    if not len(values):
        return float("nan")
    shares = np.unique(values, return_counts=True)[1] / len(values)
    return float(-(shares * np.log2(shares)).sum())  # a product of vectors would add up as the number of threads has it


def zlib_ratio(values: Int64) -> float:
    """Bytes after zlib at its default level for a byte before, the item ids [n] as 4-byte big-endian numbers.

    NaN without items. 32 times the ratio are bits an item.

    Raises:
        InputError: an id that does not fit into 4 bytes.
    """
    if not len(values):
        return float("nan")
    if values.min() < 0 or values.max() >= 2**32:
        raise InputError(f"items: found ids {values.min()} to {values.max()}, expected numbers of 4 bytes")
    content = values.astype(">u4").tobytes()
    return len(zlib.compress(content)) / len(content)


def chunk_mean(values: Int64, measure: Callable[[Int64], float], chunk: int = CHUNK) -> float:
    """Mean of a measure over the whole chunks of the items [n], without the rest; NaN if n < `chunk`."""
    chunks = values[: len(values) // chunk * chunk].reshape(-1, chunk)
    return float(np.mean([measure(row) for row in chunks])) if len(chunks) else float("nan")
