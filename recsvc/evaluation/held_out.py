"""What is to be found of a test table, and what of it is not, counted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from loaders.errors import TableError
from loaders.types import HeteroGraph, IdMap
from recsvc.event_kinds import EventSettings
from recsvc.evidence import evidence_matrix, newest_time, seen_matrix


@dataclass(frozen=True, slots=True)
class TestCounts:
    """Pairs of a user and an item of a test table. What is left out comes after `unknown_items`.

    Attributes:
        to_find: what recommendations are compared with.
        unknown_items: of these, those whose item the training tables lack: they count as missed.
        unknown_users: their user is not in the training tables.
        in_train: the user has to do with the item in train already, so it is never recommended.
        against: what the user did speaks against the item.
        without_weight: what the user did counts nothing: its kind has no weight, or its value is 0.
    """

    __test__ = False  # for pytest

    to_find: int
    unknown_items: int
    unknown_users: int
    in_train: int
    against: int
    without_weight: int

    def left_out(self) -> list[str]:
        """How many pairs are not to be found, and why, as people read it."""
        reasons = (
            (self.unknown_users, "of users who are not in the training table"),
            (self.in_train, "that are in the training table too"),
            (self.against, "that speak against the item"),
            (self.without_weight, "that count nothing"),
        )
        return [f"{number:,} {reason}" for number, reason in reasons if number]


def held_out_pairs(
    train: HeteroGraph, test: HeteroGraph, events: Mapping[str, EventSettings]
) -> tuple[sp.csr_matrix, TestCounts]:
    """The pairs of the test table that are to be found, in the rows of the training tables.

    Args:
        train: the training tables.
        test: the test table.
        events: settings by kind of event.

    Returns:
        1 for each pair, float32 [users, items and more]: after the items of train come those that
        only the test table names, which no ranking holds. And how many pairs there are.

    Raises:
        TableError: no pair is to be found.
    """
    columns = _appended(train.items, test.items)
    width = len(columns)
    row, column = seen_matrix(test).nonzero()
    weights = evidence_matrix(test, events, now=newest_time(test), dislikes=True)
    # Without any pair scipy gives a matrix in place of an array.
    says = np.asarray(weights[row, column]).ravel() if len(row) else np.zeros(0)
    user = train.users.rows(list(test.users))[row]
    pair = user * width + np.array([columns[item_id] for item_id in test.items], np.int64)[column]
    seen_user, seen_item = seen_matrix(train).nonzero()
    unknown = user < 0
    in_train = ~unknown & np.isin(pair, seen_user.astype(np.int64) * width + seen_item)
    left = ~unknown & ~in_train
    answers = pair[left & (says > 0)]
    counts = TestCounts(
        to_find=len(answers),
        unknown_items=int((answers % width >= len(train.items)).sum()),
        unknown_users=int(unknown.sum()),
        in_train=int(in_train.sum()),
        against=int((left & (says < 0)).sum()),
        without_weight=int((left & (says == 0)).sum()),
    )
    if not len(answers):
        raise TableError(_nothing(counts))
    ones = np.ones(len(answers), np.float32)
    shape = (len(train.users), width)
    return sp.csr_matrix((ones, (answers // width, answers % width)), shape=shape), counts


def _appended(items: IdMap, more: Sequence[str]) -> dict[str, int]:
    """Columns of the known items, and after them of the others."""
    columns = {item_id: column for column, item_id in enumerate(items)}
    for item_id in more:
        columns.setdefault(item_id, len(columns))
    return columns


def _nothing(counts: TestCounts) -> str:
    said = ", ".join(counts.left_out()) or "it has none"
    return (
        f"no pair of the test table is to be found: {said}: expected pairs of users of the "
        "training table with items that they do not have there"
    )
