"""The lists of many users, made on the machines of Spark in blocks of users.

Each block holds its users' evidence. The arrays are mapped from a folder that all machines share,
and scored by the same code as on one machine, for the same users at once: so scores are the same to
the last bit on machines of one kind.
"""

import shutil
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from loaders.types import IdMap
from recsvc.evidence import of_users
from recsvc.recommend.batch import USERS_PER_CHUNK, BatchEvidence, UserList, recommend_all
from recsvc.snapshot.arrays import Snapshot, load, pack
from recsvc.snapshot.folders import folder_name, unpack

_USERS_PER_BLOCK = 4 * USERS_PER_CHUNK
_BLOCKS_PER_CORE = 4


class Block(NamedTuple):
    """Some users, and what is known of them."""

    evidence: BatchEvidence
    user_ids: Sequence[str]


def lists_on(session: Any, folder: Path) -> Callable[..., Iterator[UserList]]:
    """What makes lists as `recommend_all` does, on the machines of a session.

    Args:
        session: of `loaders.spark.spark_session`.
        folder: a path that all its machines share; the arrays lie there meanwhile.
    """

    def make(
        snapshot: Snapshot, evidence: BatchEvidence, user_ids: Sequence[str], k: int
    ) -> Iterator[UserList]:
        content, sha256 = pack(snapshot)
        arrays = folder.resolve() / f".{folder_name(0, sha256)}"
        unpack(content, sha256, arrays)
        try:
            wave = _USERS_PER_BLOCK * _BLOCKS_PER_CORE * session.sparkContext.defaultParallelism
            for at in range(0, len(user_ids), wave):
                yield from _wave(session, arrays, k, blocks(evidence, user_ids[at : at + wave]))
        finally:
            shutil.rmtree(arrays, ignore_errors=True)

    return make


def blocks(evidence: BatchEvidence, user_ids: Sequence[str]) -> list[Block]:
    """The users in blocks, in their order: a whole number of chunks in each but the last."""
    starts = range(0, len(user_ids), _USERS_PER_BLOCK)
    return [_block(evidence, user_ids[start : start + _USERS_PER_BLOCK]) for start in starts]


def _block(evidence: BatchEvidence, user_ids: Sequence[str]) -> Block:
    rows = np.unique(evidence.users.rows(user_ids))
    own = BatchEvidence(
        IdMap([evidence.users[row] for row in rows.tolist()]),
        of_users(evidence.by_kind, rows),
        evidence.seen[rows],
        evidence.newcomers,
        evidence.seen_newcomers[rows],
    )
    return Block(own, user_ids)


def _wave(session: Any, arrays: Path, k: int, some: Sequence[Block]) -> Iterator[UserList]:
    """As many blocks as are in hand at once."""
    made = session.sparkContext.parallelize(some, len(some)).map(partial(_lists, arrays, k))
    for of_block in made.collect():
        yield from of_block


def _lists(arrays: Path, k: int, block: Block) -> list[UserList]:
    return list(recommend_all(_mapped(arrays), block.evidence, block.user_ids, k))


@cache
def _mapped(arrays: Path) -> Snapshot:
    """The arrays of a folder; a process of Spark makes the lists of many blocks."""
    return load(arrays)
