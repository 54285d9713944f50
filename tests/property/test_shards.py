"""Shards that hold the items together give what one machine gives, to the last bit."""

from dataclasses import dataclass, replace
from itertools import pairwise
from unittest import mock

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from loaders.types import IdMap
from recsvc.blend import item_range
from recsvc.blend.blend import LEAST_WEIGHT, Blend
from recsvc.blend.item_range import ItemRange
from recsvc.blend.shard_messages import Message
from recsvc.blend.shards import Shards, item_ranges
from recsvc.errors import ShardAwayError
from recsvc.evidence import EVIDENCE_KINDS, Evidence, EvidenceKind, EvidenceNode
from recsvc.graph.rows import LiveItem
from recsvc.outcomes.fatigue import Shown
from recsvc.recommend.query import Asker, RecommendationQuery
from recsvc.recommend.ranked_list import Listing
from recsvc.signals import ContentSignal, EmbeddingSignal, RowSignal, Signal
from recsvc.signals.embedding import ITEMS_IN_A_BLOCK
from recsvc.snapshot.arrays import Snapshot
from tests.property.made_blends import IDS, WEIGHT

N_ITEMS = 5 * ITEMS_IN_A_BLOCK + 77
KNOWN: list[tuple[EvidenceKind, str]] = [
    (kind, each) for kind in EVIDENCE_KINDS for each in IDS[kind]
]
ITEMS = IdMap([f"i{n:05}" for n in range(N_ITEMS)])
Ranges = list[tuple[int, int]]


class LocalShard:
    """A shard in this process, which is asked in bytes."""

    def __init__(self, blend: Blend, begin: int, end: int) -> None:
        self.items = ItemRange.of(blend, begin, end)
        self.away = False
        self.operations: list[str] = []

    def ask(self, version: str, operation: str, question: Message) -> Message:
        if self.away:
            raise ShardAwayError("it is away")
        self.operations.append(operation)
        asked = Message.unpacked(question.packed())
        return Message.unpacked(self.items.answer(operation, asked).packed())


def divided(blend: Blend, ranges: Ranges) -> tuple[Blend, list[LocalShard]]:
    shards = [LocalShard(blend, *each) for each in ranges]
    return replace(blend, shards=Shards(shards, "v", ranges), bounds=None), shards


@st.composite
def ranges_of_items(draw: st.DrawFn) -> Ranges:
    """Some ranges of whole blocks, uneven, and some of them empty."""
    blocks = -(-N_ITEMS // ITEMS_IN_A_BLOCK)
    cuts = sorted(draw(st.lists(st.integers(0, blocks), max_size=8)))
    ends = [0, *(min(N_ITEMS, cut * ITEMS_IN_A_BLOCK) for cut in cuts), N_ITEMS]
    return list(pairwise(ends))


def made_blend(seed: int, widths: list[int], weights: list[float]) -> Blend:
    """Vectors of several widths, with many ties across ranges, and rows of each kind."""
    rng = np.random.default_rng(seed)
    signals: list[Signal] = []
    for number, width in enumerate(widths):
        source = rng.normal(size=(len(IDS["item"]), width)).astype(np.float32)
        target = rng.normal(size=(N_ITEMS, width)).astype(np.float32)
        target[::7] = target[3]
        target[5::11] = 0.0
        if number == 1:
            share = rng.random(N_ITEMS).astype(np.float32)
            signals.append(ContentSignal("content", IDS["item"], source, target, share=share))
        else:
            signals.append(EmbeddingSignal(f"e{number}", IDS["item"], source, target))
    for kind in EVIDENCE_KINDS:
        rows = rng.random((len(IDS[kind]), N_ITEMS)).astype(np.float32)
        rows[rows < 0.9] = 0.0
        rows[rows < 0.97] *= 0.5
        half_life = 1.5 if kind == "item" else None
        rows_of = sp.csr_matrix(rows)
        signals.append(RowSignal(f"{kind}_path", kind, IDS[kind], rows_of, half_life=half_life))
    prior = np.round(rng.random(N_ITEMS), 1).astype(np.float32)
    return Blend(tuple(signals), tuple(weights), prior, 0.01)


@dataclass(frozen=True)
class Case:
    """What a blend, a user and a list are made from; the arrays are made in the test."""

    seed: int
    widths: list[int]
    weights: list[float]
    nodes: tuple[EvidenceNode, ...]
    ranges: Ranges
    query: RecommendationQuery
    shown: bool

    def blend(self) -> Blend:
        return made_blend(self.seed, self.widths, self.weights)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    widths = draw(st.lists(st.integers(1, 70), min_size=1, max_size=3))
    weight = st.sampled_from([0.0, LEAST_WEIGHT, 0.5, 1.0])
    chosen = draw(st.lists(st.sampled_from(KNOWN), unique=True, max_size=6))
    nodes = tuple(
        EvidenceNode(kind, i, draw(WEIGHT), since=n if kind == "item" else None)
        for n, (kind, i) in enumerate(chosen)
    )
    query = RecommendationQuery(
        k=draw(st.sampled_from([1, 10, 300])),
        explain=draw(st.sampled_from(["summary", "full"])),
        diversity=draw(st.sampled_from([0.0, 0.0, 0.7])),
        exclude=("i00003", "i00500"),
        without=(("item", chosen[0][1]),) if chosen and draw(st.booleans()) else (),
    )
    return Case(
        draw(st.integers(0, 2**32 - 1)), widths,
        draw(st.lists(weight, min_size=len(widths) + 3, max_size=len(widths) + 3)),
        nodes, draw(ranges_of_items()), query, draw(st.booleans()),
    )  # fmt: skip


def listing_of(blend: Blend, case: Case) -> Listing:
    available = np.arange(N_ITEMS) % 5 > 0
    snapshot = Snapshot(
        {}, ITEMS, IDS["category"], IDS["user"], np.zeros(4, np.int64),
        np.ones(N_ITEMS, np.int64), ("",) * N_ITEMS, available,
        sp.csr_matrix(np.zeros((N_ITEMS, 3), bool)), blend,
    )  # fmt: skip
    shown = {f"i{n:05}": Shown(3, 0.1 * n / N_ITEMS) for n in range(1, N_ITEMS, 200)}
    asker = Asker("u", Evidence(case.nodes), shown=shown if case.shown else {})
    listing = Listing(snapshot, asker, case.query)
    while True:
        rows = listing.assume()
        live = [LiveItem(None, bool(available[row])) for row in rows.tolist()]
        if listing.settle(rows, live):
            return listing


def told(listing: Listing) -> list[object]:
    """Everything that an answer is made of."""
    exact = listing.exact()
    removals = listing.removals(exact) if listing.query.explain == "full" else ()
    one = [0, 300, N_ITEMS - 1, *exact.items[:1].tolist()]
    scored, some = listing.scored, np.arange(N_ITEMS) % 3 > 0
    gone = [rows.take(np.arange(len(rows))[:1]) for _, _, rows in scored.spoken]
    factors = np.array([0.7 * factor for _, factor, _ in scored.spoken])
    return [
        [scored.ends(items).tolist() for items in (some, some & ~some)],
        [scored.most_without(items, 0.3, factors, gone) for items in (some, some & ~some)],
        exact.items.tolist(), exact.scores.tolist(), removals,
        [(t.signal, t.values.tolist()) for t in exact.terms],
        [listing.place(row) for row in one],
        [listing.before(listing.score_of(row)).tolist() for row in one],
        listing.place_of_newcomer("new", ["before", "other"]),
    ]  # fmt: skip


@settings(max_examples=12)
@given(cases())
def test_lists_explanations_and_places_are_those_of_one_machine(case: Case) -> None:
    blend = case.blend()
    sharded, shards = divided(blend, case.ranges)
    assert told(listing_of(sharded, case)) == told(listing_of(blend, case))
    asked = [shard for shard in shards if shard.items.end > shard.items.begin]
    assert all("ranked" in shard.operations for shard in asked)


@settings(max_examples=8)
@given(cases(), st.integers(0, 2**32 - 1), st.sampled_from([1, 10, 500]))
def test_bounds_on_shards_find_the_best_in_the_same_order(
    case: Case, seed: int, count: int
) -> None:
    blend, evidence = case.blend(), Evidence(case.nodes)
    allowed = np.random.default_rng(seed).random(N_ITEMS) < 0.9
    bounded = blend.with_bounds(1)
    numbers = sum(
        signal.item_vectors.size
        for signal, weight in zip(blend.signals, blend.weights, strict=True)
        if signal.item_vectors is not None and weight > LEAST_WEIGHT
    )
    with mock.patch.object(item_range, "LEAST_BOUNDED", numbers):  # of all, not of one range
        sharded, _ = divided(blend, case.ranges)
    rows, scores = sharded.score(evidence).ranked(allowed, count)
    expected = bounded.score(evidence).ranked(allowed, count)
    assert (rows.tolist(), scores.tolist()) == (expected[0].tolist(), expected[1].tolist())


def planted(explain: str) -> Case:
    nodes = tuple(EvidenceNode("item", each, 1.0, since=0) for each in list(IDS["item"])[:4])
    query = RecommendationQuery(explain=explain)  # pyright: ignore[reportArgumentType]
    ranges = item_ranges(N_ITEMS, 3)
    return Case(7, [8, 5], [1.0, 0.5, 0.5, 0.1, 0.1], nodes, ranges, query, False)


def test_no_pass_over_all_items_is_made_by_who_asks() -> None:
    """Not one signal makes all its scores: those with vectors would read them all."""
    case = planted("full")
    sharded, _ = divided(case.blend(), case.ranges)
    listing = listing_of(sharded, case)
    told(listing)
    assert not {"raw", "scores", "near"} & vars(listing.scored).keys()


def test_a_list_without_a_shard_is_that_of_the_other_items_and_says_so() -> None:
    case = planted("summary")
    sharded, shards = divided(case.blend(), case.ranges)
    shards[1].away = True
    listing = listing_of(sharded, case)
    begin, end = case.ranges[1]
    others = [f"i{row:05}" for row in range(begin, end)]
    without = replace(case, query=replace(case.query, exclude=tuple(others)))
    expected = listing_of(case.blend(), without).exact()
    assert listing.exact().items.tolist() == expected.items.tolist()
    assert listing.exact().scores.tolist() == expected.scores.tolist()
    assert listing.lacks_shards
    assert listing.score_of(begin) == pytest.approx(listing.exact_of(begin).scores[0])


def test_a_shard_that_is_away_is_asked_once_for_a_list_and_again_for_the_next() -> None:
    case = planted("full")
    sharded, shards = divided(case.blend(), case.ranges)
    shards[1].away = True
    listing = listing_of(sharded, case)
    shards[1].away = False
    told(listing)
    assert not shards[1].operations
    assert not listing_of(sharded, case).lacks_shards
    assert shards[1].operations


def test_a_shard_makes_the_scores_of_a_user_once() -> None:
    case = planted("full")
    sharded, shards = divided(case.blend(), case.ranges)
    scored, every = sharded.score(Evidence(case.nodes)), np.ones(N_ITEMS, bool)
    scored.ranked(every, 5)
    scored.ends(every)
    sharded.score(Evidence(case.nodes)).ends(every)
    sharded.score(Evidence(case.nodes[:2])).ends(every)  # somebody else
    kept = shards[1].items._user.cache_info()
    assert (kept.hits, kept.misses) == (2, 2)


def test_a_list_without_any_shard_is_empty() -> None:
    case = replace(planted("full"), shown=True)
    sharded, shards = divided(case.blend(), case.ranges)
    for shard in shards:
        shard.away = True
    listing = listing_of(sharded, case)
    assert not len(listing.exact().items)
    assert listing.lacks_shards
    assert listing.place(3) == 1


def test_ranges_are_whole_blocks_and_even() -> None:
    ranges = item_ranges(N_ITEMS, 3)
    assert [begin for begin, _ in ranges] == [0, 256, 512]
    assert [end for _, end in ranges] == [256, 512, N_ITEMS]
    assert item_ranges(10, 2) == [(0, 0), (0, 10)]
    assert item_ranges(0, 2) == [(0, 0), (0, 0)]


@pytest.mark.parametrize(
    "body",
    [b"", b"\xff\xff\xff\xff", b"\x02\x00\x00\x00[]", b'\x02\x00\x00\x00{}',
     Message({"a": 1}, {"x": np.ones(3)}).packed()[:-1],
     Message({"a": 1}, {"x": np.ones(3)}).packed() + b"1"],
)  # fmt: skip
def test_a_damaged_message_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match="bytes are no message"):
        Message.unpacked(body)


@pytest.mark.parametrize("operation", ["scores", "__init__", "ends"])
def test_what_is_no_question_is_refused(operation: str) -> None:
    items = ItemRange.of(planted("none").blend(), 0, 256)
    with pytest.raises(ValueError, match="cannot be asked like that"):
        items.answer(operation, Message({"signals": ["gone"]}, {"factors": np.ones(2)}))
