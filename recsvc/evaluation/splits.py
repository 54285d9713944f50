"""Which interactions are held out."""

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from typing import Literal

import numpy as np
import scipy.sparse as sp
from jaxtyping import Bool, Float64, Int64, UInt64
from numpy.typing import NDArray

from loaders.types import HeteroGraph, Interactions

HoldOut = Literal["random", "latest"]
"""Which of a user's items are held out: some at random, or the latest."""

MANY = 5
"""Items from which on a share of them is held out."""


def hold_out(
    interactions: Interactions | sp.csr_matrix,
    fraction: float = 0.2,
    *,
    minimum: int = MANY,
    seed: int,
    times: sp.csr_matrix | None = None,
) -> Bool[NDArray[np.bool_], " edges"]:
    """Hold out a random part of each user's items, or the latest.

    A user with n different items loses round(n · fraction) of them (half to even), and always
    keeps at least one. All interactions of a user with an item go the same way, whatever their
    event, so that nothing held out can be read off what is left.

    Args:
        interactions: relationships, or a matrix [users, items] whose stored entries they are.
        fraction: share to hold out, above 0 and below 1.
        minimum: users with fewer different items keep them all.
        seed: decides which.
        times: when each user did something with each item, stored where that is known, [users,
            items]. With it the latest are held out.

    Returns:
        True where held out; one entry per relationship, or per stored entry of the matrix.

    Raises:
        ValueError: the fraction is not between 0 and 1.
    """
    if not 0.0 < fraction < 1.0:
        raise ValueError(f"fraction is {fraction}, expected above 0 and below 1")
    users, items = _pairs(interactions)
    if not len(users):
        return np.zeros(0, np.bool_)
    width = int(items.max()) + 1
    pairs, edge_pair = np.unique(users * width + items, return_inverse=True)
    user, place = pairs // width, np.random.default_rng(seed).random(len(pairs))
    if times is not None:
        place = _latest_first(times, user, pairs % width, place)
    return _held_out_pairs(user, place, fraction, minimum)[edge_pair]


def id_numbers(ids: Iterable[str]) -> Int64[NDArray[np.int64], " ids"]:
    """A number for each id, the same in every process: the first 8 bytes of its BLAKE2b."""
    digests = [hashlib.blake2b(text_id.encode(), digest_size=8).digest() for text_id in ids]
    return np.frombuffer(b"".join(digests), "<i8").astype(np.int64)


def row_numbers(
    matrix: sp.csr_matrix, columns: Int64[NDArray[np.int64], " columns"]
) -> Int64[NDArray[np.int64], " rows"]:
    """A number for the set of stored columns of each row: the same set has the same one.

    Args:
        matrix: whose stored entries count, whatever their values.
        columns: a number for each column, see `id_numbers`.
    """
    mixed = _mixed(columns.view(np.uint64), np.zeros(1, np.uint64))[matrix.indices]
    before = np.concatenate([np.zeros(1, np.uint64), np.cumsum(mixed)])
    return (before[matrix.indptr[1:]] - before[matrix.indptr[:-1]]).view(np.int64)


def hold_out_again(
    matrix: sp.csr_matrix,
    users: Int64[NDArray[np.int64], " users"],
    items: Int64[NDArray[np.int64], " items"],
    fraction: float,
    *,
    most_users: int,
    minimum: int = MANY,
    seed: int,
    times: sp.csr_matrix | None = None,
) -> Bool[NDArray[np.bool_], " edges"]:
    """Hold out as `hold_out` does, of some users, and mostly the same when the graph has grown.

    A hash of the user and the seed chooses the users, and one of the user, the item and the seed
    their items: the lowest are taken. So another user or item takes the place of at most one.
    Users with fewer than `minimum` items are chosen apart, as many again. Each user who is chosen
    loses one item at least and keeps one.

    Args:
        matrix: whose stored entries are the interactions, [users, items].
        users: see `id_numbers`.
        items: the same.
        fraction: share of a user's items to hold out, above 0 and below 1.
        most_users: users of whom something is held out, at most, of those with `minimum` items
            and of those with 2 or more but fewer.
        minimum: from how many items on a user has many.
        seed: decides which.
        times: see `hold_out`. With it the items of a user are taken by their times, and what is new
            takes the place of what was held out.

    Returns:
        True where held out; one entry per stored entry.
    """
    user_hash = _mixed(users.view(np.uint64), np.array([seed % 2**64], np.uint64))
    count = np.diff(matrix.indptr).astype(np.int64)
    chosen = np.zeros(len(users), np.bool_)
    for few in (False, True):
        of_these = np.flatnonzero((count >= 2) & ((count < minimum) == few))
        chosen[of_these[np.argsort(user_hash[of_these], kind="stable")[:most_users]]] = True
    owner = np.repeat(np.arange(len(users)), count)
    mask = chosen[owner]
    place = _mixed(items.view(np.uint64)[matrix.indices[mask]], user_hash[owner[mask]])
    if times is not None:
        place = _latest_first(times, owner[mask], matrix.indices[mask].astype(np.int64), place)
    wanted = np.maximum(1, _wanted(count[chosen], fraction))
    mask[mask] = _first_of_each(owner[mask], place, wanted)
    return mask


def hold_out_half(
    matrix: sp.csr_matrix,
    able: Bool[NDArray[np.bool_], " edges"],
    users: Int64[NDArray[np.int64], " users"],
    items: Int64[NDArray[np.int64], " items"],
    *,
    most_users: int,
    seed: int,
) -> Bool[NDArray[np.bool_], " edges"]:
    """Hold out each of some interactions with a chance of one half; a user keeps one at least.

    Args:
        matrix: whose stored entries are the interactions, [users, items].
        able: those that may be held out.
        users: see `id_numbers`.
        items: the same.
        most_users: users of whom something is held out, at most.
        seed: decides which.

    Returns:
        True where held out; one entry per stored entry.
    """
    owner, item = _pairs(matrix)
    user_hash = _mixed(users.view(np.uint64), np.array([seed % 2**64], np.uint64))
    place = _mixed(items.view(np.uint64)[item], user_hash[owner])
    mask = able & (place % np.uint64(2) == 0)
    held = np.bincount(owner[mask], minlength=len(users))
    candidates = np.flatnonzero((held > 0) & (held < np.diff(matrix.indptr)))
    chosen = np.zeros(len(users), np.bool_)
    chosen[candidates[np.argsort(user_hash[candidates], kind="stable")[:most_users]]] = True
    return mask & chosen[owner]


def entries(matrix: sp.csr_matrix, mask: Bool[NDArray[np.bool_], " edges"]) -> sp.csr_matrix:
    """A matrix of the same shape with only the stored entries where `mask` is true."""
    count = np.concatenate([[0], np.cumsum(mask)])
    return sp.csr_matrix(
        (matrix.data[mask], matrix.indices[mask], count[matrix.indptr]), shape=matrix.shape
    )


def without_pairs(graph: HeteroGraph, pairs: sp.csr_matrix) -> HeteroGraph:
    """A graph without all that was done of some pairs, whatever the event.

    Args:
        graph: nodes and relationships.
        pairs: stored where a pair is to go, [users, items].
    """
    did, width = graph.interactions, len(graph.items)
    owner = np.repeat(np.arange(pairs.shape[0], dtype=np.int64), np.diff(pairs.indptr))
    gone = np.isin(did.user_index * width + did.item_index, owner * width + pairs.indices)
    return replace(graph, interactions=did.take(~gone))


def _pairs(
    interactions: Interactions | sp.csr_matrix,
) -> tuple[Int64[NDArray[np.int64], " edges"], Int64[NDArray[np.int64], " edges"]]:
    if isinstance(interactions, Interactions):
        return interactions.user_index, interactions.item_index
    users = np.repeat(np.arange(interactions.shape[0]), np.diff(interactions.indptr))
    return users, interactions.indices.astype(np.int64)


def _held_out_pairs(
    user: Int64[NDArray[np.int64], " pairs"],
    place: Float64[NDArray[np.float64], " pairs"] | UInt64[NDArray[np.uint64], " pairs"],
    fraction: float,
    minimum: int,
) -> Bool[NDArray[np.bool_], " pairs"]:
    """Of different pairs that are sorted by user, those of each user that come first."""
    count = np.unique(user, return_counts=True)[1]
    return _first_of_each(user, place, np.where(count < minimum, 0, _wanted(count, fraction)))


def _first_of_each(
    user: Int64[NDArray[np.int64], " pairs"],
    place: Float64[NDArray[np.float64], " pairs"] | UInt64[NDArray[np.uint64], " pairs"],
    wanted: Int64[NDArray[np.int64], " users"],
) -> Bool[NDArray[np.bool_], " pairs"]:
    """So many of the pairs of each user who has any, which are sorted by user."""
    order = np.lexsort((place, user))
    _, begin, count = np.unique(user, return_index=True, return_counts=True)
    rank = np.arange(len(user)) - np.repeat(begin, count)
    mask = np.zeros(len(user), np.bool_)
    mask[order] = rank < np.repeat(wanted, count)
    return mask


def _latest_first(
    times: sp.csr_matrix,
    user: Int64[NDArray[np.int64], " pairs"],
    item: Int64[NDArray[np.int64], " pairs"],
    place: Float64[NDArray[np.float64], " pairs"] | UInt64[NDArray[np.uint64], " pairs"],
) -> Float64[NDArray[np.float64], " pairs"]:
    """A number for each pair, the latest 0. Pairs of one time, or of none, are by `place`."""
    # Scipy gives a matrix where there are no pairs.
    at = np.asarray(times[user, item], np.float64).ravel() if len(user) else np.zeros(0)
    order = np.lexsort((place, -at))
    number = np.empty(len(at))
    number[order] = np.arange(len(at))
    return number


def _wanted(
    count: Int64[NDArray[np.int64], " users"], fraction: float
) -> Int64[NDArray[np.int64], " users"]:
    """How many of so many items are held out."""
    return np.minimum(np.rint(count * fraction).astype(np.int64), count - 1)


def _mixed(
    numbers: UInt64[NDArray[np.uint64], " n"], key: UInt64[NDArray[np.uint64], " m"]
) -> UInt64[NDArray[np.uint64], " n"]:
    """A hash of each number under its key, or under the only one.

    One step of SplitMix64 from the one XOR the other (Steele, Lea & Flood 2014, "Fast splittable
    pseudorandom number generators", Fig. 17).
    """
    mixed = (numbers ^ key) + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
