"""Last.fm in Neo4j, and beside it in memory, where the analysts' answers are counted again."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy.sparse.linalg import svds

from loaders.catalogue import Query, catalogue
from loaders.datasets.lastfm import LastfmTables
from loaders.gateway import Neo4jGateway, Row
from loaders.ingest import ingest
from loaders.tables import CATEGORIES, FOLLOWS, INTERACTIONS, ITEM_CATEGORIES, ITEMS
from loaders.types import EmbeddingTable, IdMap
from loaders.writeback import activate, begin_version, mark_ready, write_similar, write_vectors
from recsvc.analyst.questions import values
from recsvc.settings import load_settings
from recsvc.signals.neighbours import nearest_items
from tests.prepared_graph import DELETE_ALL

USER, OTHER, ITEM, OTHER_ITEM = "2", "275", "289", "701"
"""Those of the examples."""
DIMENSIONS, NEIGHBOURS, KNOWN = 16, 5, 5


@dataclass(frozen=True)
class Lastfm:
    """Last.fm in Neo4j and in memory.

    Attributes:
        did: user, item, weight.
        tagged: item, category, weight.
        follows: follower, followee.
        title: of each item.
        vectors: of the slots a and b, by item and by user.
        near: of each model: item, rank, other, score.
    """

    gateway: Neo4jGateway
    did: pl.DataFrame
    tagged: pl.DataFrame
    follows: pl.DataFrame
    title: Mapping[str, str]
    category: Mapping[str, str]
    vectors: Mapping[str, tuple[dict[str, Any], dict[str, Any]]]
    near: Mapping[str, pl.DataFrame]

    def ask(self, name: str, **parameters: Any) -> list[Row]:
        """The answer to a question, with the examples' values but for some."""
        return self.gateway.run(catalogue()[f"analyst/{name}"], **given(name, parameters))

    def ask_planted(self, name: str, planted: str, **parameters: Any) -> list[Row]:
        """The same in a graph that has some more."""
        write = Query("tests/planted", "", "write", {}, {}, planted)  # pyright: ignore[reportArgumentType]

        def work(transaction: Any) -> list[Row]:
            transaction.run(write)
            return transaction.run(catalogue()[f"analyst/{name}"], **given(name, parameters))

        return self.gateway.run_rolled_back(work)

    @cached_property
    def people(self) -> dict[str, int]:
        """How many have each item, 0 too."""
        counts = dict.fromkeys(self.title, 0)
        return counts | dict(self.did.group_by("item").len().iter_rows())

    @cached_property
    def items(self) -> dict[str, set[str]]:
        """What each user has."""
        return {u: set(i) for u, i in self.did.group_by("user").agg("item").iter_rows()}

    @cached_property
    def tags(self) -> dict[str, set[str]]:
        """The categories of each item."""
        return {i: set(c) for i, c in self.tagged.group_by("item").agg("category").iter_rows()}


def given(name: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    declared = catalogue()[f"analyst/{name}"].params
    assert parameters.keys() <= declared.keys()
    known = values(load_settings().events)
    return {key: parameters.get(key, known[key]) for key in declared}


def load_lastfm(gateway: Neo4jGateway, rejects: Path) -> Lastfm:
    """Last.fm alone in the graph, with versions of made vectors."""
    tables = LastfmTables()
    gateway.run(DELETE_ALL)
    ingest(gateway, tables, rejects=rejects)

    def frame(spec: Any) -> pl.DataFrame:
        return pl.concat(tables.batches(spec, lambda *_: pytest.fail("a row was rejected")))

    did = frame(INTERACTIONS).select(user="user_id", item="item_id", weight="value")
    title = dict(frame(ITEMS).select("item_id", "title").iter_rows())
    vectors = _vectors(did, title)
    near = _write_vectors(gateway, vectors)
    return Lastfm(
        gateway,
        did,
        frame(ITEM_CATEGORIES).select("weight", item="item_id", category="category_id"),
        frame(FOLLOWS).select(follower="follower_id", followee="followee_id"),
        title,
        dict(frame(CATEGORIES).select("category_id", "name").iter_rows()),
        vectors,
        near,
    )


def _vectors(
    did: pl.DataFrame, title: Mapping[str, str]
) -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    """Singular vectors of the listens; in slot b turned around, and a little off.

    Of items that `KNOWN` people or more have.
    """
    users, items = sorted(did["user"].unique()), sorted(title)
    matrix = np.zeros((len(users), len(items)), np.float32)
    rows, columns = np.searchsorted(users, did["user"]), np.searchsorted(items, did["item"])
    matrix[rows, columns] = np.log1p(did["weight"].to_numpy())
    known = np.flatnonzero((matrix > 0).sum(0) >= KNOWN).tolist()
    rng = np.random.default_rng(3)
    left, value, right = svds(matrix, k=DIMENSIONS, v0=rng.normal(size=len(users)))
    a = (left * value).astype(np.float32), right.T.astype(np.float32)
    turn = np.linalg.qr(rng.normal(size=(DIMENSIONS, DIMENSIONS)))[0]
    b = [(x + 0.2 * x.std() * rng.normal(size=x.shape)) @ turn for x in a]
    return {
        slot: (
            dict(zip(users, u.astype(np.float32), strict=True)),
            {items[n]: w[n].astype(np.float32) for n in known},
        )
        for slot, (u, w) in (("a", a), ("b", b))
    }


def _write_vectors(gateway: Neo4jGateway, vectors: Mapping[str, Any]) -> dict[str, pl.DataFrame]:
    """Two versions of lightgcn, in slots a and b, one of node2vec, and the lists of the newest."""
    near: dict[str, pl.DataFrame] = {}
    for model, newest in (("lightgcn", False), ("lightgcn", True), ("node2vec", True)):
        version = begin_version(gateway, model, run=f"{model} {newest}", seed=0, options={})
        assert version.slot == ("b" if model == "lightgcn" and newest else "a")
        users, items = vectors[version.slot]
        if model == "lightgcn":
            for label, table in (("User", users), ("Item", items)):
                array = np.stack(list(table.values()))
                write_vectors(gateway, version, EmbeddingTable(label, IdMap(list(table)), array))
        mark_ready(gateway, [(version, {"metrics": {"ndcg@20": 0.1}})])
        activate(gateway, [version])
        if newest:
            found = nearest_items(np.stack(list(items.values())), NEIGHBOURS)
            write_similar(gateway, version, IdMap(list(items)), *found)
            near[model] = _listed(list(items), *found)
    gateway.run(catalogue()["ingest/await_indexes"])
    return near


def _listed(items: list[str], neighbours: Any, scores: Any) -> pl.DataFrame:
    rows = [
        (item, rank, items[other], float(score))
        for item, others, cosines in zip(items, neighbours, scores, strict=True)
        for rank, (other, score) in enumerate(zip(others, cosines, strict=True), start=1)
    ]
    return pl.DataFrame(rows, schema=["item", "rank", "other", "score"], orient="row")


def best(scores: Mapping[Any, float], limit: int = 20) -> list[tuple[Any, float]]:
    """The highest first; ties by id."""
    return sorted(scores.items(), key=lambda pair: (-round(pair[1], 9), pair[0]))[:limit]


def pairs(rows: list[Row], key: str, value: str) -> list[tuple[Any, Any]]:
    return [(row[key], pytest.approx(row[value], rel=1e-6)) for row in rows]


def ids(path: Any) -> list[str]:
    return [n.get("user_id") or n.get("item_id") or n.get("category_id") for n in path.nodes]


def cosines(vectors: Mapping[str, Any], to: str) -> dict[str, float]:
    own = vectors[to] / np.linalg.norm(vectors[to])
    return {i: float(v @ own / np.linalg.norm(v)) for i, v in vectors.items() if i != to}


def near(rows: list[Row], key: str, expected: Mapping[str, float]) -> None:
    """The index is approximate and keeps vectors quantized."""
    found = {row[key]: row["cosine"] for row in rows}
    assert len(rows) == len(expected)
    assert len(found.keys() & expected.keys()) >= 0.8 * len(expected)
    for each in found.keys() & expected.keys():
        assert found[each] == pytest.approx(expected[each], abs=0.02)
    assert list(found.values()) == sorted(found.values(), reverse=True)
