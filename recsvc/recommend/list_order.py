"""What a list can be ranked again from, and ranking it again among all items of its version.

It reads nothing. The scores are those of the blend. A proof names the items that were not to be
listed, and the list that is ranked again has every other item that scores high enough.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from recsvc.answer import ListOrder, RankedItem
from recsvc.errors import ProofError
from recsvc.evidence import Evidence
from recsvc.outcomes.fatigue import Shown
from recsvc.phrases import TextSettings
from recsvc.recommend.build_answer import Reasons, answer_of, with_newcomers
from recsvc.recommend.query import Asker, RecommendationQuery
from recsvc.recommend.ranked_list import Listing
from recsvc.recommend.ruled_list import RuledListing
from recsvc.snapshot.arrays import Snapshot

MOST_LEFT_OUT: Final = 10_000
"""Items that one proof names as left out; a list that left out more is not ranked again."""
_LONGEST: Final = 500


def order_of(listing: Listing) -> ListOrder | None:
    """What a list can be ranked again from.

    None where it cannot be: a scenario ordered it, a shard did not answer, it left out very many
    items, or it was asked for without some evidence by which the loss of shown items is measured.
    """
    query, shown = listing.query, listing.asker.shown
    if isinstance(listing, RuledListing) or listing.lacks_shards or (query.without and shown):
        return None
    rows = listing.passed_over(MOST_LEFT_OUT)
    if rows is None or listing.lacks_shards:
        return None
    new = listing.newcomers
    return ListOrder(
        k=query.k,
        diversity=query.diversity,
        left_out=tuple(sorted(listing.snapshot.items[row] for row in rows.tolist())),
        losses={item_id: each.loss for item_id, each in shown.items()},
        newcomers=None if new is None else tuple(item_id for item_id, _ in new),
    )


def ranked_again(snapshot: Snapshot, evidence: Evidence, order: ListOrder) -> Sequence[RankedItem]:
    """The list that comes of ranking all items of a version.

    Args:
        snapshot: with the blend of the proof.
        evidence: of the proof.
        order: of the proof.

    Returns:
        Its items, without titles and explanations.

    Raises:
        ProofError: no list is asked for in such a way.
    """
    if not (1 <= order.k <= _LONGEST and 0.0 <= order.diversity <= 1.0):
        raise ProofError(
            f"the proof is of a list of k {order.k} and diversity {order.diversity}: expected k "
            f"from 1 to {_LONGEST} and diversity from 0 to 1"
        )
    every = replace(snapshot, available=np.ones(len(snapshot.items), bool))
    query = RecommendationQuery(
        k=order.k, diversity=order.diversity, exclude=order.left_out, explain="none"
    )
    shown = {item_id: Shown(1, loss) for item_id, loss in order.losses.items()}
    listing = Listing(every, Asker(None, evidence, shown=shown), query)
    listing.newcomers = tuple((item_id, None) for item_id in order.newcomers or ())
    listing.assume()
    answer = answer_of(listing, listing.exact(), Reasons(()), "", 0.0)
    return with_newcomers(answer, listing, TextSettings()).items
