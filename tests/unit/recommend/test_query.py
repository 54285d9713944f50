"""What counts as known of somebody who asks."""

from recsvc.event_kinds import EventSettings, default_events
from recsvc.evidence import Evidence, EvidenceNode
from recsvc.graph.rows import StoredUser
from recsvc.recommend.query import Asker, StatedEvidence, stated_asker, stored_asker


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


def test_what_is_stated_is_in_order_of_time_or_of_the_list() -> None:
    def since(*stated: StatedEvidence) -> dict[str, int | None]:
        nodes = stated_asker(stated, {}, default_events()).evidence.nodes
        return {node.id: node.since for node in nodes}

    a, b, c = (StatedEvidence(item) for item in "abc")
    assert since(c, a, StatedEvidence("c", "listen"), b) == {"c": 0, "a": 1, "b": 2}
    timed = [StatedEvidence("a", at=1e9), StatedEvidence("b", at=1e9 + 5.0)]
    assert since(*timed, c) == {"a": 1, "b": 0, "c": None}


def test_stated_evidence_fades_as_stored_evidence_does() -> None:
    events = {"interaction": EventSettings(half_life_days=1.0)}
    stated = [StatedEvidence("a", at=1e9), StatedEvidence("b", at=1e9 + 86_400.0)]
    nodes = stated_asker(stated, {}, events).evidence.nodes
    assert [node.weight for node in nodes] == [0.5, 1.0]
