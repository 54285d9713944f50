"""What counts as known of somebody who asks."""

from recsvc.event_kinds import default_events
from recsvc.evidence import Evidence, EvidenceNode
from recsvc.graph.rows import StoredUser
from recsvc.recommend.query import Asker, stored_asker


def test_the_newest_interactions_count_up_to_the_limit_and_all_are_seen() -> None:
    did = [(item, "listen", 1.0, float(at)) for at, item in zip((3, 2, 1), "zab", strict=True)]
    asker = stored_asker("u", StoredUser(did, [], []), default_events(), limit=2)
    assert [node.id for node in asker.evidence.nodes] == ["z", "a"]
    assert [node.id for node in asker.nodes] == ["z", "a"]
    assert asker.evidence.seen == {"z", "a", "b"}


def test_evidence_is_left_out_by_kind_and_id_and_stays_seen() -> None:
    nodes = EvidenceNode("item", "x", 1.0), EvidenceNode("user", "x", 1.0)
    left = Asker("u", Evidence(nodes, frozenset({"x"}))).without([("item", "x")]).evidence
    assert [(node.kind, node.id) for node in left.nodes] == [("user", "x")]
    assert left.seen == {"x"}
