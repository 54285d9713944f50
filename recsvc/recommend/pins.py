"""The pinned items of a list under a scenario: where they are, and why one is not listed."""

from collections.abc import Collection, Mapping

from recsvc.graph.rows import LiveItem
from recsvc.recommend.ranked_list import Listing
from recsvc.scenarios.plan import Plan
from recsvc.snapshot.arrays import Snapshot


class Pins:
    """Those of one list.

    Args:
        plan: what the scenario does now.
        snapshot: what the list is made from.

    Attributes:
        rows: the row of each in the snapshot, below 0 where it has none, and its place from 1.
    """

    def __init__(self, plan: Plan, snapshot: Snapshot) -> None:
        self.plan = plan
        self.rows = [(snapshot.items.row(item_id), place) for item_id, place in plan.pins]
        self._live: dict[str, LiveItem] = {}

    def take(self, items: Mapping[str, LiveItem]) -> None:
        """Take in what some items are now, by id."""
        pinned = {item_id for item_id, _ in self.plan.pins}
        self._live |= {item_id: items[item_id] for item_id in pinned & items.keys()}

    def left_out(self, listed: Collection[str], listing: Listing) -> list[str]:
        """What is said of each one that is not listed, with the reason, by place.

        Args:
            listed: ids of the items of the list.
            listing: the list.
        """
        return [
            f"pin {item_id} at place {place}: "
            f"{self._why(item_id, listing) or f'the list ends at place {len(listed)}'}"
            for item_id, place in self.plan.pins
            if item_id not in listed
        ]

    def _why(self, item_id: str, listing: Listing) -> str | None:
        """Why an item may not be listed; None where it may be."""
        if item_id in listing.asker.evidence.hidden:
            return "the user hid it"
        if item_id in listing.seen_ids():
            return "the user knows it already"
        if item_id in listing.left_out_ids():
            return "the request leaves it out"
        live = self._live.get(item_id)
        if listing.query.categories and (live is None or (listing.asks_inside and not live.inside)):
            return "it is in no category that the request names"
        if live is None:
            return "there is no such item"
        return self._refused(live) if live.available else "it is not available"

    def _refused(self, live: LiveItem) -> str | None:
        """Which filters an item does not meet; None where it meets all."""
        met = self.plan.matches(list(live.matches), list(live.times))
        said = [self.plan.conditions[each].said() for each in self.plan.filters if not met[each]]
        return f"filter {', filter '.join(said)} leaves it out" if said else None
