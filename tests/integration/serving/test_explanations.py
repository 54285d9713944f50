"""Sums of explanations, and paths that exist, on the real service and a real Neo4j."""

import pytest

from tests.integration.serving.asking import recommended
from tests.statement import statement

pytestmark = pytest.mark.neo4j

PARTS = {"user": ("User", "user_id"), "item": ("Item", "item_id"),
         "category": ("Category", "category_id")}  # fmt: skip


def _path_exists(served, path):
    """Whether some nodes of the graph, equal where ids are given, are linked like the path."""
    names = [f"n{position}" for position in range(len(path["nodes"]))]
    nodes = []
    for name, node in zip(names, path["nodes"], strict=True):
        label, key = PARTS[node["kind"]]
        wanted = f" {{{key}: $ids[{names.index(name)}]}}" if node["id"] is not None else ""
        nodes.append(f"({name}:{label}{wanted})")
    steps = [
        f"(n{step['from']})-[:{step['type']}]->(n{step['to']})" for step in path["relationships"]
    ]
    text = f"MATCH {', '.join([*nodes, *steps])} RETURN true AS found LIMIT 1"
    return bool(statement(served.gateway, text, ids=[node["id"] for node in path["nodes"]]))


def test_users_get_exact_sums_and_paths_that_exist(served, service):
    checked_paths = 0
    for user in range(0, 200, 5):
        answer = recommended(service, f"u{user}", explain="full", k=5)
        assert len(answer["items"]) == 5
        assert answer["degraded"] == []
        for rank, item in enumerate(answer["items"], start=1):
            explanation = item["explanation"]
            assert item["rank"] == rank
            assert sum(item["signals"].values()) == pytest.approx(item["score"], rel=1e-4)
            listed = sum(c["value"] for c in explanation["contributions"])
            assert listed + explanation["remainder"] == pytest.approx(item["score"], rel=1e-4)
            assert explanation["contributions"]
            assert explanation["paths"]
            for path in explanation["paths"]:
                assert path["nodes"][0] == {"kind": "user", "id": f"u{user}", "title": None}
                assert path["nodes"][-1]["id"] == item["item_id"]
                assert len(path["relationships"]) == len(path["nodes"]) - 1
            if user % 20 == 0:
                assert all(_path_exists(served, path) for path in explanation["paths"])
                checked_paths += len(explanation["paths"])
    assert checked_paths > 50


def test_the_paths_of_a_contribution_never_claim_more_than_it_and_all_of_them_add_up(service):
    """At most 2 paths are drawn for a contribution; where there are fewer, those are all."""
    whole = 0
    for user in (0, 13, 50):
        for item in recommended(service, f"u{user}", explain="full", k=120)["items"]:
            explanation = item["explanation"]
            parts = {
                c["evidence"]["id"]: c["value"]
                for c in explanation["contributions"]
                if c["signal"] == "item_user_item"
            }
            drawn: dict[str, list[float]] = {}
            for path in explanation["paths"]:
                if [node["kind"] for node in path["nodes"]] == ["user", "item", "user", "item"]:
                    drawn.setdefault(path["nodes"][1]["id"], []).append(path["contribution"])
            for evidence_id in drawn.keys() & parts.keys():
                values = drawn[evidence_id]
                assert sum(values) <= parts[evidence_id] * (1 + 1e-4)
                if len(values) < 2:
                    assert sum(values) == pytest.approx(parts[evidence_id], rel=1e-4)
                    whole += 1
    assert whole > 20


def test_people_who_are_not_followed_stay_anonymous(served, service):
    seen_anonymous = seen_named = 0
    for user in range(0, 60, 3):
        follows = {
            row["id"]
            for row in statement(
                served.gateway,
                "MATCH (:User {user_id: $user})-[:FOLLOWS]->(o:User) RETURN o.user_id AS id",
                user=f"u{user}",
            )
        }
        answer = recommended(service, f"u{user}", explain="full", k=5)
        for item in answer["items"]:
            for path in item["explanation"]["paths"]:
                people = [n["id"] for n in path["nodes"][1:] if n["kind"] == "user"]
                assert set(people) <= follows | {None}
                seen_anonymous += people.count(None)
                seen_named += len(people) - people.count(None)
    assert seen_anonymous > 7
    assert seen_named > 7


def test_the_cypher_of_an_answer_draws_its_paths(served, service):
    item = recommended(service, "u3", explain="full", k=1)["items"][0]
    text = item["explanation"]["cypher"]
    drawn = statement(served.gateway, text)
    assert len(drawn) == len(item["explanation"]["paths"])
    for row in drawn:
        assert row["path"].end_node["item_id"] == item["item_id"] or (
            row["path"].start_node["item_id"] == item["item_id"]
        )
        assert row["start"].start_node["user_id"] == "u3"


def test_someone_who_only_prefers_a_category_gets_items_of_it(service):
    answer = recommended(service, "fan", explain="full", k=5)
    assert all(90 <= int(item["item_id"][1:]) < 120 for item in answer["items"])
    first = answer["items"][0]["explanation"]
    assert first["text"] == "Because you like c3."
    assert {c["signal"] for c in first["contributions"]} == {"category_item"}


def test_any_item_can_be_explained_and_has_its_rank(service):
    ranked = recommended(service, "u9", k=100)["items"]
    fortieth = ranked[39]
    answer = service.client.get(
        f"/v1/users/u9/recommendations/{fortieth['item_id']}/explanation"
    ).json()
    assert answer["rank"] == 40
    assert answer["score"] == pytest.approx(fortieth["score"], rel=1e-6)
    assert answer["explanation"]["cypher"]
