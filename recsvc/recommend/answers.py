"""From a list to the answer that shows it: what its items are now, and why they are in it."""

import asyncio
import uuid
from contextvars import ContextVar
from dataclasses import replace
from functools import partial

import numpy as np
from jaxtyping import Int64
from numpy.typing import NDArray

from loaders.errors import Neo4jAwayError
from loaders.limits import MAX_ANSWERS
from recsvc.answer import Answer
from recsvc.errors import NotFoundError
from recsvc.evidence import Evidence
from recsvc.explain.contributions import ExactScores
from recsvc.explain.paths import DrawnPaths, find_paths
from recsvc.explain.sentence import sentences
from recsvc.graph.store import Store
from recsvc.outcomes.recommendation_id import Origin, RecommendationIds
from recsvc.phrases import TextSettings
from recsvc.recommend.build_answer import (
    Reasons,
    Removals,
    answer_of,
    laid_out,
    newcomer_answer,
    newcomer_parts,
    newcomer_text,
    shown_text,
    with_newcomers,
    with_place,
)
from recsvc.recommend.live_truth import (
    Do,
    add_newcomers,
    live_item,
    live_newcomer,
    live_rows,
    settle_rules,
    why_short,
)
from recsvc.recommend.proof import with_proof
from recsvc.recommend.ranked_list import Listing
from recsvc.recommend.ruled_list import RuledListing
from recsvc.recommend.tried_out import Tried
from recsvc.recommend.workshop import WORKSHOP

request_id_var: ContextVar[str] = ContextVar("request_id", default="")
"""Id of the request being answered; made up where nobody set one."""


class Answers:
    """Makes answers of lists, with what the graph holds of their items now."""

    def __init__(self, store: Store, text: TextSettings, ids: RecommendationIds) -> None:
        self._store = store
        self._text = text
        self._ids = ids

    async def of(self, listing: Listing, started: float) -> Answer:
        """The answer that shows a list.

        It is made while Neo4j tells what the items are now; where that was assumed wrongly, once
        more.
        """
        do = partial(WORKSHOP.do, listing.asker.is_large(listing.query))
        if isinstance(listing, RuledListing):
            if await settle_rules(self._store, listing, do):
                return with_proof(await self._ruled(listing, started), listing)
            listing = await do(listing.without_rules)
        return with_proof(await self._plain(listing, started), listing)

    async def of_item(self, listing: Listing, item_id: str, started: float) -> Answer:
        """The answer that shows one item, and its place in a list.

        Args:
            listing: the list, not settled.
            item_id: the item.
            started: `time.perf_counter` when the request came.

        Raises:
            NotFoundError: there is no such item.
            Neo4jError: the graph cannot be read in time, and the item came after the refresh.
        """
        if isinstance(listing, RuledListing):
            answer = await self._one_ruled(listing, item_id, started)
            if answer is not None:
                return answer
            listing = listing.without_rules()
        row = listing.snapshot.items.row(item_id)
        if row < 0:
            return await self._newcomer(listing, item_id, started)
        return await self._plain(listing, started, np.array([row]))

    async def _ruled(self, listing: RuledListing, started: float) -> Answer:
        """The answer that shows a list under a scenario, whose items are certain."""
        do = partial(WORKSHOP.do, listing.asker.is_large(listing.query))
        exact = await do(listing.exact)
        reasons = await self._reasons(listing, exact, exact)
        answer = await do(answer_of, listing, exact, reasons, _request_id(), started)
        answer = laid_out(answer, listing, self._text)
        if len(answer.items) < answer.k:
            answer = replace(answer, short=_short_by_rules(answer))
        if listing.tried is None:
            return self._named(answer)
        # Each answer is drawn anew: none is kept for somebody who asks again.
        return self._named(replace(answer, source=None), listing.tried)

    async def _plain(
        self, listing: Listing, started: float, only: Int64[NDArray[np.int64], "1"] | None = None
    ) -> Answer:
        """The answer that shows a list without rules, or one item and its place.

        Raises:
            NotFoundError: the one item is not in the graph any more.
        """
        do = partial(WORKSHOP.do, listing.asker.is_large(listing.query))
        while True:
            asked = await do(listing.assume)
            whole = exact = await do(listing.exact)
            if only is not None:
                # It has to exist; its place depends on what comes before it.
                before = await do(listing.before_row, int(only[0]))
                asked = np.union1d(asked, np.append(before, only))
                exact = await do(listing.exact_of, int(only[0]))
            live, reasons = await asyncio.gather(
                live_rows(self._store, listing, asked), self._reasons(listing, exact, whole)
            )
            if live is None:
                reasons = reasons.without_availability()
            elif only is not None and live[np.searchsorted(asked, only[0])] is None:
                raise NotFoundError(
                    f"no item {listing.snapshot.items[int(only[0])]!r} in the graph"
                )
            elif not listing.settle(asked, live):
                continue
            elif only is None and listing.wants_newcomers(exact):
                await add_newcomers(self._store, listing)
            rank = 1 if only is None else await do(listing.place, int(only[0]))
            answer = await do(
                answer_of, listing, exact, reasons, _request_id(), started, first_rank=rank
            )
            answer = with_newcomers(answer, listing, self._text)
            if only is not None:
                return answer
            if len(answer.items) < answer.k:
                answer = replace(answer, short=await why_short(self._store, listing, answer))
            return self._named(answer)

    def _named(self, answer: Answer, tried: Tried | None = None) -> Answer:
        """A list with the id by which outcomes tell of it.

        Args:
            answer: the list.
            tried: what it tries out.
        """
        used = answer.scenario
        name, revision = (used.name, used.revision) if used is not None else (None, None)
        version = answer.versions.get("hybrid", 0)
        origin = Origin(version, answer.user_id, scenario=name, revision=revision)
        if (variant := answer.variant) is not None:
            origin = replace(
                origin, experiment=variant.experiment, experiment_revision=variant.revision,
                variant=variant.name,
            )  # fmt: skip
        if tried is not None:
            origin = replace(
                origin,
                propensities={place + 1: chance for place, chance in tried.propensities.items()},
                tried={place + 1: known for place, known in tried.known.items()},
            )
        contents = self._ids.contents(origin, [item.item_id for item in answer.items])
        return replace(answer, recommendation_id=self._ids.issue(contents))

    async def _reasons(self, listing: Listing, exact: ExactScores, whole: ExactScores) -> Reasons:
        """Why some items are in a list, or would be.

        Args:
            listing: the list.
            exact: the items, their scores taken apart.
            whole: the items of the list.
        """
        asker = listing.asker
        if listing.query.explain == "none":
            return Reasons(asker.degraded)
        large = asker.is_large(listing.query)
        said = await WORKSHOP.do(
            large, sentences, exact, asker.evidence, asker.nodes, self._text,
            people_event=listing.snapshot.event,
        )  # fmt: skip
        items = [listing.snapshot.items[row] for row in exact.items.tolist()]
        said = [
            self._known_text(asker.evidence, item) + reason
            for item, reason in zip(items, said, strict=True)
        ]
        said = [
            f"{reason} {shown_text(asker.shown[item].count, self._text)}"
            if item in asker.shown
            else reason
            for item, reason in zip(items, said, strict=True)
        ]
        if listing.query.explain == "summary":
            return Reasons(asker.degraded, said)
        removing = (
            WORKSHOP.do(True, _removals, listing, whole)
            if large
            else asyncio.to_thread(_removals, listing, whole)
        )
        paths, removals = await asyncio.gather(self._paths(listing, exact), removing)
        if paths is None:
            return Reasons((*asker.degraded, "paths"), said, {}, removals)
        return Reasons(asker.degraded, said, paths, removals)

    def _known_text(self, evidence: Evidence, item_id: str) -> str:
        """What comes before the reasons for an item that the user did something with."""
        if item_id not in evidence.seen:
            return ""
        if item_id in evidence.hidden:
            return f"{self._text.hidden} "
        disliked = any(
            node.weight < 0.0
            for node in evidence.nodes
            if (node.kind, node.id) == ("item", item_id)
        )
        return f"{self._text.disliked if disliked else self._text.seen} "

    async def _paths(self, listing: Listing, exact: ExactScores) -> DrawnPaths | None:
        asker = listing.asker
        try:
            return await find_paths(
                self._store, listing.snapshot, asker.user_id, asker.nodes, exact,
                partial(WORKSHOP.do, asker.is_large(listing.query)),
            )  # fmt: skip
        except Neo4jAwayError:
            return None

    async def _one_ruled(
        self, listing: RuledListing, item_id: str, started: float
    ) -> Answer | None:
        """One item under a scenario, with what rules add; None where nobody can tell what they do.

        Its place is that in the longest list, or its rank by score where it is in none.

        Raises:
            NotFoundError: there is no such item.
        """
        row = listing.snapshot.items.row(item_id)
        do = partial(WORKSHOP.do, listing.asker.is_large(replace(listing.query, k=MAX_ANSWERS)))
        whole = await do(listing.of_length, MAX_ANSWERS)
        try:
            live = await live_item(self._store, whole, item_id)
        except Neo4jAwayError:
            return None
        if row >= 0:
            whole.settle(np.array([row]), [live])
        if not await settle_rules(self._store, whole, do):
            return None
        place = whole.listed_at(item_id)
        if row < 0:
            newcomer = whole.newcomer(item_id) or whole.look_at(item_id, live)
            row, named = newcomer.row, (item_id, live.title)
            text = self._known_text(whole.asker.evidence, item_id)
            text += newcomer_text(whole, item_id, self._text)
            answer = newcomer_answer(
                whole, named, 1, text, _request_id(), started, whole.parts_of(newcomer, 0)
            )
        else:
            exact = await do(whole.exact_of, row)
            reasons = await self._reasons(whole, exact, exact.take(np.zeros(0, np.int64)))
            if place is not None and place <= listing.query.k:
                top = await do(listing.of_length, listing.query.k)
                removals = await self._removals_under(top, do)
                reasons = replace(reasons, removals=removals)
            answer = await do(answer_of, whole, exact, reasons, _request_id(), started)
        of_list = replace(answer, k=listing.query.k)
        return await do(with_place, of_list, whole, place, row, self._text)

    async def _removals_under(self, listing: RuledListing, do: Do) -> Removals:
        """Without which evidence the items of a list would not be in it; none where unknown."""
        if not await settle_rules(self._store, listing, do):
            return {}
        return await asyncio.to_thread(_removals, listing, await do(listing.exact))

    async def _newcomer(self, listing: Listing, item_id: str, started: float) -> Answer:
        """An item that came after the refresh, as a list shows it that is long enough.

        Raises:
            NotFoundError: there is no such item.
            Neo4jError: the graph cannot be read in time.
        """
        item, rank = await live_newcomer(self._store, listing, item_id)
        text = self._known_text(listing.asker.evidence, item_id)
        text += newcomer_text(listing, item_id, self._text)
        parts = newcomer_parts(listing, item_id)
        return newcomer_answer(listing, item, rank, text, _request_id(), started, parts)


def _short_by_rules(answer: Answer) -> str:
    """Why a list under a scenario has fewer than k items."""
    filters = [note for note in (answer.scenario.notes if answer.scenario else ())
               if note.startswith("filter")]  # fmt: skip
    why = "; ".join(filters) or "no other item is available and new to this user"
    return f"{len(answer.items)} of {answer.k}: {why}"


def _request_id() -> str:
    return request_id_var.get() or uuid.uuid4().hex


def _removals(listing: Listing, whole: ExactScores) -> Removals:
    removals = listing.removals(whole)
    if listing.lacks_shards:  # what replaces an item may be on one of them
        return {}
    return dict(zip(whole.items.tolist(), removals, strict=True))
