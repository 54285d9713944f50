"""Blocks of users, each with its own evidence and arrays from a folder, give the same lists."""

from pathlib import Path

import numpy as np
import pytest

from recsvc.recommend import spark_lists
from recsvc.recommend.batch import UserList, batch_evidence, recommend_all
from recsvc.snapshot.arrays import pack
from recsvc.snapshot.folders import unpack
from tests.unit.recommend.test_batch import EVENTS, GRAPH, SNAPSHOT, USERS

NEWCOMERS = ("new1", "new2")


def exact(lists: list[UserList]) -> list[tuple[object, ...]]:
    return [(of.user_id, of.items.tolist(), of.scores.tobytes(), of.newcomers) for of in lists]


@pytest.mark.parametrize("order", ["as they are", "drawn"])
def test_lists_of_blocks_are_the_lists_of_one_machine_to_the_last_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, order: str
) -> None:
    monkeypatch.setattr(spark_lists, "_USERS_PER_BLOCK", spark_lists.USERS_PER_CHUNK)
    users = USERS if order == "as they are" else np.random.default_rng(5).permutation(USERS)
    user_ids = [str(user) for user in users]
    content, sha256 = pack(SNAPSHOT)
    unpack(content, sha256, tmp_path / "arrays")
    evidence = batch_evidence(GRAPH, SNAPSHOT, EVENTS, newcomers=NEWCOMERS)
    blocks = spark_lists.blocks(evidence, user_ids)
    assert [len(block.user_ids) for block in blocks] == [256, 44]
    assert all(len(block.evidence.users) == len(block.user_ids) for block in blocks)
    lists = [one for block in blocks for one in spark_lists._lists(tmp_path / "arrays", 30, block)]
    expected = list(recommend_all(SNAPSHOT, evidence, user_ids, 30))
    assert any(one.newcomers for one in expected)
    assert exact(lists) == exact(expected)
