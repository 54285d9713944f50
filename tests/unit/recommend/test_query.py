"""What counts as known of somebody who asks."""

from recsvc.event_kinds import default_events
from recsvc.graph.rows import StoredUser
from recsvc.recommend.query import stored_asker


def test_the_newest_interactions_count_up_to_the_limit_and_all_are_seen() -> None:
    did = [(item, "listen", 1.0, float(at)) for at, item in zip((3, 2, 1), "zab", strict=True)]
    asker = stored_asker("u", StoredUser(did, [], []), default_events(), limit=2)
    assert [node.id for node in asker.evidence.nodes] == ["z", "a"]
    assert [node.id for node in asker.nodes] == ["z", "a"]
    assert asker.evidence.seen == {"z", "a", "b"}
