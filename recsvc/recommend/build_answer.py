"""From a list and the reasons for it to the answer that shows both. Reads nothing."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from recsvc.answer import (
    Answer,
    Counterfactual,
    Explanation,
    RankedItem,
    ScenarioUsed,
    Source,
)
from recsvc.blend.blend import BASE
from recsvc.blend.fairness import FAIRNESS
from recsvc.explain.contributions import DIVERSITY, ExactScores, contributions
from recsvc.explain.counterfactual import Removal
from recsvc.explain.paths import DrawnPaths
from recsvc.explain.sentence import filled
from recsvc.outcomes.fatigue import FATIGUE
from recsvc.phrases import TextSettings
from recsvc.recommend.newcomers import Newcomer
from recsvc.recommend.ranked_list import Listing
from recsvc.recommend.ruled_list import RULE, RuledListing
from recsvc.recommend.tried_out import TRIED_OUT
from recsvc.scenarios.placing import PROMOTES

_LISTED = {"summary": 5, "full": 50}

Removals = Mapping[int, Removal | None]
"""By row of an item, without which evidence it would not be in the list."""


@dataclass(frozen=True, slots=True)
class Reasons:
    """Why items are listed, besides the parts of their scores.

    Attributes:
        degraded: what could not be read.
        said: a sentence for each item; none where no explanation is wanted.
        paths: see `DrawnPaths`.
        removals: see `Removals`.
    """

    degraded: tuple[str, ...]
    said: Sequence[str] = ()
    paths: DrawnPaths = field(default_factory=dict[int, Any])
    removals: Removals = field(default_factory=dict[int, Any])

    def without_availability(self) -> "Reasons":
        """The same where nobody told which items exist: what would replace one may not."""
        return replace(self, degraded=(*self.degraded, "availability"), removals={})

    def without_shards(self) -> "Reasons":
        """The same where a shard did not answer: one of its items may replace another."""
        return replace(self, degraded=(*self.degraded, "shards"), removals={})


def answer_of(
    listing: Listing,
    exact: ExactScores,
    reasons: Reasons,
    request_id: str,
    started: float,
    *,
    first_rank: int = 1,
) -> Answer:
    """The answer that shows some items.

    Args:
        listing: the list they are, or would be, in.
        exact: the items, their scores taken apart.
        reasons: the rest of why.
        request_id: of the request.
        started: `time.perf_counter` when it came.
        first_rank: rank of the first item.
    """
    snapshot, scores = listing.snapshot, exact.scores
    if listing.lacks_shards:
        reasons = reasons.without_shards()
    items = tuple(
        RankedItem(
            item_id=snapshot.items[row],
            title=listing.title(row),
            rank=first_rank + column,
            score=float(scores[column]),
            signals=exact.signals(column),
            explanation=_explanation(listing, exact, column, reasons),
        )
        for column, row in enumerate(exact.items.tolist())
    )
    return Answer(
        request_id=request_id,
        user_id=listing.asker.user_id,
        k=listing.query.k,
        versions=dict(snapshot.versions),
        degraded=reasons.degraded,
        took_ms=round((time.perf_counter() - started) * 1000, 3),
        items=items,
        source=_source(listing),
        scenario=_scenario(listing),
        variant=None if reasons.degraded else listing.query.variant,
    )


def _scenario(listing: Listing) -> ScenarioUsed | None:
    if not isinstance(listing, RuledListing):
        return None
    return ScenarioUsed(listing.plan.name, listing.plan.revision, listing.notes())


def _source(listing: Listing) -> Source | None:
    source = listing.asker.source
    if source is None:
        return None
    until = listing.plan.until if isinstance(listing, RuledListing) else None
    return replace(source, anybody=source.anybody or listing.by_anybody, until=until)


def with_newcomers(answer: Answer, listing: Listing, text: TextSettings) -> Answer:
    """The answer with items that came after the refresh, where nothing speaks for others either.

    Each comes before the first item of a lower score, which for one that was not shown is the first
    that more speaks against than for: so a shorter list is the beginning of a longer one.
    """
    if not listing.newcomers:
        return answer
    every, left = list[RankedItem](), list(answer.items)
    for item_id, title in listing.newcomers[: listing.query.k]:
        added = _newcomer(
            listing, item_id, title, newcomer_text(listing, item_id, text),
            newcomer_parts(listing, item_id),
        )  # fmt: skip
        while left and left[0].score - left[0].signals.get(DIVERSITY, 0.0) >= added.score:
            every.append(left.pop(0))
        every.append(added)
    every = [*every, *left][: listing.query.k]
    ranked = tuple(replace(item, rank=rank) for rank, item in enumerate(every, start=1))
    return replace(answer, items=ranked)


def newcomer_parts(listing: Listing, item_id: str) -> dict[str, float]:
    """The parts of the score of an item that came after the refresh, in a list without rules."""
    return {FATIGUE: listing.fades(item_id)} if item_id in listing.asker.shown else {}


def laid_out(answer: Answer, listing: RuledListing, text: TextSettings) -> Answer:
    """The list as a scenario lays it out, newcomers among it, with why each item is at its place.

    Args:
        answer: shows the items that have a score, in their order.
        listing: the list.
        text: what is said of newcomers, of what a rule brings forward, and of what is tried out.
    """
    items: list[RankedItem] = []
    for place, each in enumerate(listing.layout):
        if isinstance(each, Newcomer):
            parts = listing.parts_of(each, place)
            said = newcomer_text(listing, each.item_id, text)
            item = _newcomer(listing, each.item_id, each.title, said, parts)
        else:
            item = answer.items[each]
        items.append(_at_place(item, place + 1, listing.placed_by(place), text))
    return replace(answer, items=tuple(items))


def with_place(
    answer: Answer, listing: RuledListing, place: int | None, row: int, text: TextSettings
) -> Answer:
    """The answer about one item under a scenario, with its place and why it is there.

    Args:
        answer: shows the item.
        listing: the list it is in, or is left out of.
        place: in the list, from 1; None where it is left out.
        row: of the item in the facts of the list.
        text: what is said of what a rule brings forward.
    """
    rank, why, notes = place, None, tuple[str, ...]()
    if place is not None:
        why = listing.placed_by(place - 1)
    else:
        notes = listing.refusals(row)
    item = _at_place(answer.items[0], rank or listing.place(row), why, text)
    plan = listing.plan
    return replace(answer, items=(item,), scenario=ScenarioUsed(plan.name, plan.revision, notes))


def _at_place(item: RankedItem, place: int, why: str | None, text: TextSettings) -> RankedItem:
    gained = max(item.signals.get(part, 0.0) for part in (RULE, FAIRNESS))
    if gained > 0.0 or (why or "").startswith(PROMOTES):
        item = _said_first(item, text.promoted)
    if (why or "").startswith(TRIED_OUT):
        item = _said_first(item, text.tried_out)
    return replace(item, rank=place, placed_by=why)


def _said_first(item: RankedItem, said: str) -> RankedItem:
    explanation = item.explanation
    if explanation is None:
        return item
    return replace(item, explanation=replace(explanation, text=f"{said} {explanation.text}"))


def newcomer_text(listing: Listing, item_id: str, text: TextSettings) -> str:
    """What is said of an item that came after the refresh."""
    shown = listing.asker.shown.get(item_id)
    if shown is None:
        return text.newcomer
    return f"{text.newcomer} {shown_text(shown.count, text)}"


def shown_text(count: int, text: TextSettings) -> str:
    """What is said of an item that was shown lately."""
    return filled(text.shown, count, text, count=str(count))


def newcomer_answer(
    listing: Listing,
    item: tuple[str, str | None],
    rank: int,
    text: str,
    request_id: str,
    started: float,
    parts: Mapping[str, float] = {},
) -> Answer:
    """The answer about one item that came after the refresh.

    Args:
        listing: the list it would be in.
        item: its id and title.
        rank: its place there.
        text: what is said of it.
        request_id: of the request.
        started: `time.perf_counter` when it came.
        parts: of its score.
    """
    return Answer(
        request_id=request_id,
        user_id=listing.asker.user_id,
        k=listing.query.k,
        versions=dict(listing.snapshot.versions),
        degraded=listing.asker.degraded,
        took_ms=round((time.perf_counter() - started) * 1000, 3),
        items=(replace(_newcomer(listing, *item, text, parts), rank=rank),),
    )


def _newcomer(
    listing: Listing, item_id: str, title: str | None, text: str, parts: Mapping[str, float] = {}
) -> RankedItem:
    raised = sum(parts.values())
    whole = Explanation(text, (), raised, (), None, "")
    shown = {"none": None, "summary": Explanation(text, (), raised), "full": whole}
    signals = {**parts, BASE: 0.0}
    return RankedItem(item_id, title, 0, raised, signals, shown[listing.query.explain])


def _explanation(
    listing: Listing, exact: ExactScores, column: int, reasons: Reasons
) -> Explanation | None:
    level, nodes = listing.query.explain, listing.asker.nodes
    if level == "none":
        return None
    text = reasons.said[column]
    listed, remainder = contributions(exact, column, nodes, limit=_LISTED[level])
    if level == "summary":
        return Explanation(text, listed, remainder)
    paths, cypher = reasons.paths.get(column, ((), ""))
    removal = reasons.removals.get(int(exact.items[column]))
    counterfactual = removal and Counterfactual(
        tuple(nodes[position] for position in removal.positions),
        listing.snapshot.items[removal.replaced_by],
    )
    return Explanation(text, listed, remainder, paths, counterfactual, cypher)
