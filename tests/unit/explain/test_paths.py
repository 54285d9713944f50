"""Which paths are shown, and in which order, where several are equally strong."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from loaders.catalogue import catalogue
from loaders.gateway import Neo4jAddress
from loaders.types import IdMap
from recsvc.answer import NodeRef, Path
from recsvc.blend.blend import Blend, Term
from recsvc.explain.paths import EQUALLY_STRONG, find_paths, strength_steps
from recsvc.graph.rows import FoundPath, found_path
from recsvc.graph.store import Store
from recsvc.snapshot.arrays import Snapshot
from tests.exact_scores import exact_scores

CATEGORIES = IdMap(["known", "rare", "twin"])
IN_CATEGORY = sp.csr_matrix(np.array([[1, 1, 1], [1, 0, 0], [1, 0, 0]], bool))
ITEMS = IdMap(["i", "j", "k"])
EVIDENCE = [NodeRef("item", f"e{position}") for position in range(6)]
STRENGTH = st.one_of(
    st.floats(1e-9, 1e3), st.sampled_from([1.0, 1.0 - EQUALLY_STRONG / 4, 0.5, 0.98])
)

Links = Mapping[str, Sequence[tuple[str, float]]]
"""By evidence: the categories it shares with the item, and how strongly."""


class FakeStore:
    """Answers `paths` from a table, and records the evidence it is asked about."""

    address = Neo4jAddress("bolt://localhost", "neo4j", "")

    def __init__(self, links: Links, *, backwards: bool = False) -> None:
        self.links, self.backwards = links, backwards
        self.asked: list[str] = []

    def has_paths(self, metapath: str) -> bool:
        return f"explain/{metapath}" in catalogue()

    async def paths(
        self,
        metapath: str,
        pairs: Sequence[tuple[str, str]],
        user_id: str | None,
        kinds: Sequence[str],
        *,
        limit: int,
    ) -> list[FoundPath]:
        self.asked += [evidence_id for evidence_id, _ in pairs]
        found = [
            made_path(evidence_id, category, item_id, strength)
            for evidence_id, item_id in sorted(pairs)
            for category, strength in self.links.get(evidence_id, ())
        ]
        return found[::-1] if self.backwards else found


def made_path(evidence_id: str, category: str, item_id: str, strength: float) -> FoundPath:
    return FoundPath(
        evidence_id, item_id, strength,
        [("user", "asker", None), ("item", evidence_id, None),
         ("category", category, None), ("item", item_id, None)],
        [("INTERACTED", 0, 1), ("IN_CATEGORY", 1, 2), ("IN_CATEGORY", 3, 2)],
    )  # fmt: skip


def made_snapshot() -> Snapshot:
    return Snapshot(
        {}, ITEMS, CATEGORIES, IdMap([]), np.zeros(0, np.int64),
        np.ones(3, np.int64), ("",) * 3, np.ones(3, bool), IN_CATEGORY,
        Blend((), (), np.zeros(3, np.float32), 1.0),
    )  # fmt: skip


async def at_once(work: Callable[..., Any], *arguments: Any) -> Any:
    return work(*arguments)


def shown(store: FakeStore, values: Sequence[float]) -> tuple[Path, ...]:
    """The paths to one item; evidence j adds `values[j]`, and e_j · λ · n is 1."""
    column = np.array(values, np.float64)[:, None]
    term = Term("item_category_item", np.arange(len(values)), np.ones(len(values)), column)
    exact = exact_scores(np.array([0]), (term,), np.zeros(1))
    found = find_paths(cast(Store, store), made_snapshot(), "asker", EVIDENCE, exact, at_once)
    return asyncio.run(found)[0][0]


def over(paths: Sequence[Path]) -> list[tuple[str | None, str | None]]:
    """What each path starts at, and the category it leads over."""
    return [(path.nodes[1].id, path.nodes[2].id) for path in paths]


@given(STRENGTH, STRENGTH)
def test_a_step_holds_what_is_equally_strong_and_nothing_else(a: float, b: float) -> None:
    weak, strong = sorted((a, b))
    below, above = strength_steps(np.array([-weak, strong])).tolist()
    assert below <= above
    if below == above:
        assert weak >= (1 - EQUALLY_STRONG) * strong
    elif weak == strong:
        pytest.fail("equal strengths are on two steps")


def test_of_equally_strong_evidence_the_latest_is_shown() -> None:
    store = FakeStore({})
    shown(store, [0.5, 0.999, 0.2, 1.001, 1.0, 1.002])
    assert store.asked == ["e1"]


def test_clearly_stronger_evidence_goes_before_the_latest() -> None:
    store = FakeStore({})
    shown(store, [1.0, 1.0, 1.02, -1.5])
    assert store.asked == ["e3"]


@given(st.lists(STRENGTH, min_size=1, max_size=6))
def test_no_evidence_is_shown_in_place_of_clearly_stronger_one(values: list[float]) -> None:
    store = FakeStore({})
    shown(store, values)
    (chosen,) = store.asked
    assert values[int(chosen[1:])] >= (1 - EQUALLY_STRONG) * max(values)


def test_what_adds_nothing_has_no_path() -> None:
    store = FakeStore({"e0": [("rare", 1.0)]})
    assert shown(store, [0.0, 0.0]) == ()
    assert store.asked == []


def test_of_one_kind_and_evidence_the_stronger_path_comes_first() -> None:
    store = FakeStore({"e0": [("rare", 0.999), ("twin", 1.001), ("known", 0.998)]})
    assert over(shown(store, [2.0])) == [("e0", "twin"), ("e0", "rare"), ("e0", "known")]


LINKS = st.dictionaries(
    st.sampled_from(["e0", "e1"]),
    st.lists(
        st.tuples(st.sampled_from(["rare", "twin", "known", "gone"]), STRENGTH),
        max_size=4, unique_by=lambda link: link[0],
    ),
)  # fmt: skip


@given(LINKS)
def test_paths_come_in_one_order_in_which_no_clearly_weaker_one_goes_first(links: Links) -> None:
    paths = shown(FakeStore(links), [1.0, 1.0])
    assert paths == shown(FakeStore(links, backwards=True), [1.0, 1.0])
    assert len(paths) == len(links.get("e0", ()))
    strengths = [path.contribution for path in paths]
    for place, strength in enumerate(strengths):
        assert strength >= (1 - EQUALLY_STRONG) * max(strengths[place:])


def test_a_node_that_a_path_meets_twice_is_there_once_and_steps_keep_their_direction() -> None:
    start = [["user", "u", "Una"], ["item", "e", None]]
    path = [["item", "e", None], ["user", "u", "Una"], ["item", "i", "An item"]]
    found = found_path(
        "e", "i", 0.5, [(start, [["INTERACTED", True]]),
                        (path, [["INTERACTED", False], ["INTERACTED", True]])],
    )  # fmt: skip
    assert found.nodes == [("user", "u", "Una"), ("item", "e", None), ("item", "i", "An item")]
    assert found.steps == [("INTERACTED", 0, 1), ("INTERACTED", 0, 1), ("INTERACTED", 0, 2)]


def test_nodes_without_an_id_of_ours_stay_apart() -> None:
    path = [["item", "e", None], ["item", None, None], ["item", None, None], ["item", "i", None]]
    found = found_path("e", "i", 1.0, [(path, [["A", True], ["B", False], ["C", True]])])
    assert len(found.nodes) == 4
    assert found.steps == [("A", 0, 1), ("B", 2, 1), ("C", 2, 3)]


class CrowdedStore(FakeStore):
    """Each of its paths leads over some person."""

    async def paths(self, metapath: str, pairs: Any, *_: Any, **__: Any) -> list[FoundPath]:
        return [
            FoundPath(
                evidence_id, item_id, 1.0,
                [("item", evidence_id, None), ("user", person, person), ("item", item_id, None)],
                [("INTERACTED", 1, 0), ("INTERACTED", 1, 2)],
            )
            for evidence_id, item_id in pairs
            for person in ("asker", "e1", "stranger")
        ]  # fmt: skip


def test_a_stranger_stays_anonymous_though_an_item_of_the_evidence_has_the_same_id() -> None:
    people = [path.nodes[1] for path in shown(CrowdedStore({}), [1.0])]
    assert [(person.id, person.title) for person in people if person.id] == [("asker", "asker")]
    assert len(people) == 3
