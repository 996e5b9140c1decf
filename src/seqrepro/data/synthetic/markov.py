r"""Generated interactions whose law is known: an order-1 Markov chain over the items.

    P_i ~ Dirichlet(a, ..., a) for each item i           the transition row of item i; small a = few likely successors
    s_1 ~ pi with pi P = pi,  s_{t+1} ~ P[s_t]           the items of a user
    m = 3 + G,  G geometric on 0, 1, ... with mean (mean_length - 3)      the length, independent of the items
    t_1 uniform over a year,  t_{j+1} = t_j + g_j, g_j geometric on 1, 2, ... with mean one day, in seconds

As the chain starts in its stationary law pi, every target has the law pi whatever its position and the length, and
the best predictor that there is, P[last item], has an expected negative log-likelihood of exactly the entropy rate
H = -sum_i pi_i sum_j P_ij ln P_ij nats. P depends on (items, concentration, seed) alone, not on the number of users.

Shapes: V items, U users, N interactions. Each purpose has its own random stream, a child of the seed.
"""

import numpy as np
from numpy.random import Generator

from seqrepro.data.interactions import Int64, Interactions
from seqrepro.data.synthetic.law import Seen
from seqrepro.data.synthetic.streams import (
    Float64,
    assemble,
    day_gaps,
    geometric_lengths,
    starts_of,
    streams,
    timestamps,
)
from seqrepro.errors import InputError

STREAMS = ("transitions", "lengths", "items", "times")


def markov_transitions(items: int, concentration: float, seed: int) -> Float64:
    """The true transition matrix P [V, V]; row i - 1 is the law of the item after item i."""
    transitions: Float64 = streams(seed, *STREAMS)["transitions"].dirichlet(np.full(items, concentration), size=items)
    return transitions


def stationary(transitions: Float64) -> Float64:
    """The law pi [V] with pi P = pi and sum 1, from (I - P^T + J) pi = 1 with J all ones (J pi = 1 as pi sums to 1).

    Raises:
        InputError: the chain falls apart into parts that do not reach each other, so that pi is not unique.
    """
    size = len(transitions)
    try:
        solution = np.linalg.solve(np.eye(size) - transitions.T + 1.0, np.ones(size))
    except np.linalg.LinAlgError:
        raise InputError(
            f"generator: the chain over {size} items falls apart; expected a larger concentration"
        ) from None
    positive: Float64 = np.maximum(solution, 0.0)
    return positive / float(positive.sum())


def entropy_rate(transitions: Float64) -> float:
    """Nats an item of the stationary chain: the lowest expected negative log-likelihood of the next item."""
    logs = np.log(transitions, out=np.zeros_like(transitions), where=transitions > 0)
    return float(-(stationary(transitions) @ (transitions * logs).sum(axis=1)))


def next_item(seen: Seen, items: int, concentration: float, seed: int, **_: object) -> Float64:
    """The law [B, V] of the item after each history: the transitions of its last item."""
    transitions = markov_transitions(items, concentration, seed)
    return np.vstack([stationary(transitions), transitions])[seen.last(1)[:, 0]]


def generate(users: int, items: int, mean_length: float, concentration: float, seed: int) -> Interactions:
    """Generate the interactions of U users over V items, user by user, oldest first."""
    purpose = streams(seed, *STREAMS)
    lengths = geometric_lengths(users, mean_length, purpose["lengths"])
    values = _walk(markov_transitions(items, concentration, seed), lengths, purpose["items"])
    times = timestamps(lengths, day_gaps(lengths, purpose["times"]), purpose["times"])
    return assemble(lengths, values, times, items)


def _walk(transitions: Float64, lengths: Int64, stream: Generator) -> Int64:
    """The items [N] from 0, all users one step at a time, by inverting the cumulative law of each row."""
    size = len(transitions)
    ladder = (np.cumsum(transitions, axis=1) + np.arange(size)[:, None]).ravel()  # row i climbs from i to i + 1
    starts = starts_of(lengths)
    values = np.empty(int(lengths.sum()), dtype=np.int64)
    values[starts] = stream.choice(size, size=len(lengths), p=stationary(transitions))
    for step in range(1, int(lengths.max())):
        active = starts[lengths > step]
        last = values[active + step - 1]
        draws = np.searchsorted(ladder, last + stream.random(len(active)), side="right") - last * size
        values[active + step] = np.clip(draws, 0, size - 1)
    return values
