"""Those of whom little is known, or very much, and items that nobody has touched.

120 users have one of four tastes. There are 10,000 odd items besides: a crowd of 20 has fifty of
them each, which nobody else has, and a few of one taste. Whoever a test is about is added to that.
"""

from urllib.parse import quote

import numpy as np
import polars as pl
import pytest

from loaders.catalogue import Query
from loaders.ingest import ingest
from loaders.tables import FolderTables
from recsvc.refresh.options import RefreshOptions
from tests.conftest import refreshed

pytestmark = pytest.mark.neo4j

TASTES, EACH = 4, 25
CROWD, CROWD_ODD = 20, 50
ODD = [f"odd-{n:04}" for n in range(10_000)]
COLD = ["cold-a", "cold-b"]  # nobody has them; in c0
TEN = [f"ten-{n}" for n in range(10)]  # nobody has them; alone in their category
POPULAR = "Ranked by its popularity."
LABELS = {"user": "User", "item": "Item", "category": "Category"}


def _write(folder, name, columns, rows):
    schema = dict.fromkeys(columns.split(), pl.String)
    pl.DataFrame(rows, schema=schema, orient="row").write_csv(folder / f"{name}.csv")


def _tables(folder):
    rng = np.random.default_rng(11)
    liked = {f"u{n}": [f"t{n % TASTES}-{item:02}" for item in rng.choice(EACH, 9, replace=False)]
             for n in range(120)}  # fmt: skip
    for n in range(CROWD):
        odd = ODD[-(n + 1) * CROWD_ODD :][:CROWD_ODD]  # the last ones, which count most
        few = [f"t{n % TASTES}-{item:02}" for item in rng.choice(EACH, 5, replace=False)]
        liked[f"crowd{n}"] = odd + few
    liked["planted"] = ["rare-seen"]
    rows = [(user, item, "purchase") for user, items in liked.items() for item in items]
    _write(folder, "interactions", "user_id item_id event", rows)
    _write(folder, "follows", "follower_id followee_id", [("follower", "u2"), ("follower", "u6")])
    _write(folder, "preferences", "user_id category_id", [("prefers", "c1")])
    _write(folder, "users", "user_id", [("nobody",)])
    _write(folder, "categories", "category_id name kind", [("c1", "Jazz", "genre")])
    taste_items = [f"t{taste}-{item:02}" for taste in range(TASTES) for item in range(EACH)]
    _write(folder, "items", "item_id title", [
        *((item, f"Song {item}") for item in taste_items), ("bare", "Bare"),
        *((item, "") for item in ODD),
    ])  # fmt: skip
    _write(folder, "item_categories", "item_id category_id", [
        *((item, f"c{item[1]}") for item in taste_items),
        *((item, "c0") for item in COLD), *((item, "ten") for item in TEN),
        ("rare-seen", "rare"), ("rare-cold", "rare"),
    ])  # fmt: skip


@pytest.fixture(scope="module")
def served(neo4j_address, session_gateway, tmp_path_factory):
    options = RefreshOptions(models=("itemknn",), validation_users=60)
    return refreshed(neo4j_address, session_gateway, tmp_path_factory, options, _tables)


def _recommend(service, user_id, **parameters):
    url = f"/v1/users/{quote(user_id, safe='')}/recommendations"
    answer = service.client.get(url, params=parameters)
    assert answer.status_code == 200, answer.text
    document = answer.json()
    assert document["degraded"] == []
    for rank, item in enumerate(document["items"], start=1):
        assert item["rank"] == rank
        assert sum(item["signals"].values()) == pytest.approx(item["score"], rel=1e-4)
        if explanation := item.get("explanation"):
            listed = sum(c["value"] for c in explanation["contributions"])
            assert listed + explanation["remainder"] == pytest.approx(item["score"], rel=1e-4)
    ids = _ids(document)
    assert len(ids) == len(set(ids))
    return document


def _ids(document):
    return [item["item_id"] for item in document["items"]]


def _post_events(service, rows):
    answer = service.client.post("/v1/events", json={"events": rows})
    assert answer.status_code == 200, answer.text


def _rows(served, text, mode="read", **parameters):
    query = Query("tests/cold", "", mode, dict.fromkeys(parameters, "any"), {}, text)
    return served.gateway.run(query, **parameters)


def _popular(served):
    """Item ids by the number of people at the refresh; ties by id."""
    counts = dict.fromkeys([*COLD, *TEN, *ODD, "bare", "rare-cold"], 0)
    people = pl.read_csv(served.tables / "interactions.csv").group_by("item_id").len()
    counts |= dict(people.iter_rows())
    return sorted(counts, key=lambda item: (-counts[item], item))


def _path_exists(served, path):
    """Whether every relationship joins nodes of the graph that have the ids of the path."""
    nodes = [f"(n{at}:{LABELS[node['kind']]})" for at, node in enumerate(path["nodes"])]
    steps = [f"(n{s['from']})-[:{s['type']}]->(n{s['to']})" for s in path["relationships"]]
    named = [
        f"n{at}.{node['kind']}_id = $ids[{at}]"
        for at, node in enumerate(path["nodes"])
        if node["id"] is not None
    ]
    text = f"MATCH {', '.join([*nodes, *steps])} WHERE {' AND '.join(named)} RETURN 1 LIMIT 1"
    return bool(_rows(served, text, ids=[node["id"] for node in path["nodes"]]))


def _check_counterfactuals(service, user_id, document, **asked):
    """Asks again without each counterfactual's evidence; returns how many there are."""
    count = 0
    for item in document["items"]:
        removal = item["explanation"]["counterfactual"]
        if removal is None:
            continue
        count += 1
        without = [f"{node['kind']}:{node['id']}" for node in removal["without"]]
        again = _ids(_recommend(service, user_id, explain="none", without=without, **asked))
        assert item["item_id"] not in again
        assert removal["replaced_by"] in again
        assert removal["replaced_by"] not in _ids(document)
    return count


def test_without_vectors_nothing_is_near_and_the_answer_says_what_is_missing(service):
    for path in ("/v1/items/i0/similar", "/v1/users/fan/similar", "/v1/items/i0/similar?model=mf"):
        refused = service.client.get(path)
        assert refused.status_code == 404
        assert refused.json()["detail"].startswith("no model with vectors is active")
        assert "lightgcn" in refused.json()["detail"]


def test_of_whom_nothing_is_known_gets_what_is_popular_and_is_told_so(served, service):
    document = _recommend(service, "nobody", k=120, explain="full")
    assert _ids(document) == _popular(served)[:120]
    for item in document["items"]:
        assert item["signals"] == {"base": item["score"]}
        assert item["explanation"] == {
            "text": POPULAR, "contributions": [], "remainder": item["score"],
            "paths": [], "counterfactual": None, "cypher": "",
        }  # fmt: skip


def test_who_only_follows_people_gets_what_they_have(served, service):
    theirs = {
        row["id"]
        for row in _rows(
            served,
            "MATCH (:User {user_id: 'follower'})-[:FOLLOWS]->()-[:INTERACTED]->(i) "
            "RETURN DISTINCT i.item_id AS id",
        )
    }
    document = _recommend(service, "follower", k=len(theirs) + 3, explain="full")
    ids = _ids(document)
    assert len(ids) == len(theirs) + 3
    assert set(ids[: len(theirs)]) == theirs
    for item in document["items"][: len(theirs)]:
        assert item["signals"].keys() == {"followed_user_item", "base"}
        assert "you follow" in item["explanation"]["text"]
        assert item["explanation"]["paths"]
        assert all(_path_exists(served, path) for path in item["explanation"]["paths"])
    last = document["items"][-1]
    assert last["signals"]["followed_user_item"] == 0.0
    assert last["explanation"]["text"] == POPULAR
    document = _recommend(service, "follower", k=5, explain="full")
    assert _check_counterfactuals(service, "follower", document, k=5) > 0


def test_who_only_prefers_a_category_gets_items_of_it(served, service):
    document = _recommend(service, "prefers", k=EACH + 2, explain="full")
    ids = _ids(document)
    assert len(ids) == EACH + 2
    assert {item.split("-")[0] for item in ids[:EACH]} == {"t1"}
    texts = [item["explanation"]["text"] for item in document["items"]]
    assert texts == ["Because you like the genre Jazz."] * EACH + [POPULAR] * 2
    for item in document["items"][:EACH]:
        (path,) = item["explanation"]["paths"]
        assert _path_exists(served, path)


def test_one_interaction_of_a_second_ago_is_enough_for_a_taste(service):
    event = {"event_id": "one", "user_id": "single", "item_id": "t3-07", "event": "purchase"}
    _post_events(service, [event])
    document = _recommend(service, "single", k=10, explain="full")
    assert len(document["items"]) == 10
    assert sum(item.startswith("t3-") for item in _ids(document)) >= 9
    assert "t3-07" not in _ids(document)
    told = [item for item in document["items"] if item["item_id"].startswith("t3-")]
    for item in told:
        assert item["explanation"]["text"] == "Because you bought Song t3-07."
        assert {c["evidence"]["id"] for c in item["explanation"]["contributions"]} == {"t3-07"}
    _check_counterfactuals(service, "single", document, k=10)
    without = _recommend(service, "single", k=10, without="item:t3-07")
    popular = _ids(_recommend(service, "nobody", k=11))
    assert _ids(without) == [item for item in popular if item != "t3-07"][:10]


def test_one_interaction_of_years_ago_is_enough_for_a_taste_too(service):
    """Weights mean something beside each other alone: the newest is never faded."""
    now = {"event_id": "now", "user_id": "now", "item_id": "t2-07", "event": "purchase"}
    then = {**now, "event_id": "then", "user_id": "then", "timestamp": "2009-05-01T10:00:00Z"}
    _post_events(service, [now, then])
    lists = [_recommend(service, user, k=10, explain="full") for user in ("now", "then")]
    assert _ids(lists[0]) == _ids(lists[1])
    assert sum(item.startswith("t2-") for item in _ids(lists[1])) >= 9
    _check_counterfactuals(service, "then", lists[1], k=10)


def test_who_only_dislikes_gets_what_is_popular_but_what_is_like_that(served, service):
    event = {"event_id": "no", "user_id": "hater", "item_id": "t1-03", "event": "dislike"}
    _post_events(service, [event])
    document = _recommend(service, "hater", k=10, explain="full")
    popular = [item for item in _popular(served) if not item.startswith("t1-")]
    assert len(_ids(document)) == 10
    assert set(_ids(document)) <= set(popular[:40])
    _check_counterfactuals(service, "hater", document, k=10)


@pytest.fixture(scope="module")
def heavy(served, service, tmp_path_factory):
    """A user who looked at 10,000 items after the refresh, and then bought three of a taste."""
    folder = tmp_path_factory.mktemp("heavy")
    rows = [("heavy", item, "view", str(1_790_000_000 + n)) for n, item in enumerate(ODD)]
    rows += [("heavy", f"t2-{n:02}", "purchase", str(1_790_100_000 + n)) for n in range(3)]
    _write(folder, "interactions", "user_id item_id event timestamp", rows)
    ingest(served.gateway, FolderTables(folder), rejects=folder / "rejects.csv", strict=True)
    return "heavy"


@pytest.mark.long
def test_ten_thousand_interactions_are_answered_whole(served, service, heavy):
    (row,) = _rows(served, "MATCH (:User {user_id: 'heavy'})-[r]->() RETURN count(r) AS n")
    assert row["n"] == 10_003
    for explain in ("none", "summary", "full"):
        document = _recommend(service, heavy, k=10, explain=explain)
        assert len(document["items"]) == 10
        assert not any(item.startswith("odd-") for item in _ids(document))
    assert sum(item.startswith("t2-") for item in _ids(document)) >= 8
    assert _check_counterfactuals(service, heavy, document, k=10) > 0


@pytest.mark.long
def test_what_is_left_of_ten_thousand_comes_to_the_last_item(served, service, heavy):
    """All that is unseen has been asked for: it comes, the item without any link among it."""
    left = [item for item in _popular(served) if not item.startswith("odd-")]
    left = [item for item in left if item not in {"t2-00", "t2-01", "t2-02"}]
    everything = _ids(_recommend(service, heavy, k=500))
    assert set(everything) == set(left)
    others = [item for item in left if item != "bare"]
    (only,) = _recommend(service, heavy, k=1, exclude=others, explain="full")["items"]
    assert only["item_id"] == "bare"
    assert only["explanation"]["paths"] == []
    four = [item for item in left if item not in others[:3]]
    assert set(_ids(_recommend(service, heavy, k=4, exclude=others[3:]))) == {*others[:3], "bare"}
    assert len(_recommend(service, heavy, k=len(four), exclude=others[:3])["items"]) == len(four)


def test_an_item_that_nobody_has_is_the_best_for_who_has_its_only_relative(served, service):
    """Nothing but the category that both are in leads from the one to the other."""
    document = _recommend(service, "planted", k=10, explain="full")
    assert len(document["items"]) == 10
    first = document["items"][0]
    assert first["item_id"] == "rare-cold"
    assert first["signals"].keys() == {"item_category_item", "base"}
    assert first["signals"]["base"] == 0.0
    (path,) = first["explanation"]["paths"]
    assert [node["id"] for node in path["nodes"]] == ["planted", "rare-seen", "rare", "rare-cold"]
    assert path["contribution"] == pytest.approx(first["score"], rel=1e-4)
    assert _path_exists(served, path)
    assert first["explanation"]["text"] == "Because you bought rare-seen."


def test_items_that_nobody_has_are_recommended_within_their_category(served, service):
    seen = {
        row["id"]
        for row in _rows(
            served, "MATCH (:User {user_id: 'u0'})-[:INTERACTED]->(i) RETURN i.item_id AS id"
        )
    }
    eligible = {f"t0-{item:02}" for item in range(EACH)} - seen | {*COLD}
    document = _recommend(service, "u0", k=50, category="c0", explain="full")
    assert set(_ids(document)) == eligible
    by_id = {item["item_id"]: item for item in document["items"]}
    for item_id in COLD:
        item = by_id[item_id]
        assert item["signals"]["item_category_item"] > 0.0
        assert item["signals"]["base"] == 0.0
        assert item["explanation"]["paths"]
        for path in item["explanation"]["paths"]:
            assert [node["kind"] for node in path["nodes"]] == ["user", "item", "category", "item"]
            assert path["nodes"][1]["id"] in seen
            assert _path_exists(served, path)
    assert by_id[COLD[0]]["rank"] < by_id[COLD[1]]["rank"]  # alike in all: ties break by item id


@pytest.mark.parametrize("user", ["nobody", "follower", "prefers", "planted", "u5"])
@pytest.mark.parametrize("diversity", [0.0, 0.7])
def test_a_category_gives_all_it_has_and_no_more(service, user, diversity):
    asked = {"category": "ten", "diversity": diversity}
    assert sorted(_ids(_recommend(service, user, k=10, **asked))) == TEN
    assert sorted(_ids(_recommend(service, user, k=11, **asked))) == TEN
    nine = _ids(_recommend(service, user, k=10, exclude="ten-4", **asked))
    assert sorted(nine) == [item for item in TEN if item != "ten-4"]
    assert len(_recommend(service, user, k=9, exclude="ten-4", **asked)["items"]) == 9
    unknown = service.client.get(f"/v1/users/{user}/recommendations", params={"category": "no"})
    assert (unknown.status_code, unknown.json()["detail"]) == (404, "no category 'no' in the graph")


def test_a_list_goes_on_past_all_that_is_gone_since_the_refresh(served, service):
    """Of the 25 items of a category, the 20 best are taken away past the service."""
    ranked = _ids(_recommend(service, "nobody", k=25, category="c3"))
    assert len(ranked) == 25
    change = "MATCH (i:Item) WHERE i.item_id IN $ids SET i.available = $available"
    try:
        _rows(served, change, "write", ids=ranked[:20], available=False)
        assert _ids(_recommend(service, "nobody", k=5, category="c3")) == ranked[20:]
        assert _ids(_recommend(service, "nobody", k=6, category="c3")) == ranked[20:]
        document = _recommend(service, "u3", k=5, category="c3", diversity=0.5)
        assert set(_ids(document)) <= set(ranked[20:])
    finally:
        _rows(served, change, "write", ids=ranked[:20], available=True)


def test_a_list_is_whole_before_an_item_made_after_the_refresh_is_known(service):
    made = service.client.put("/v1/items/new", json={"title": "New", "categories": ["ten"]})
    assert made.status_code == 201, made.text
    assert sorted(_ids(_recommend(service, "nobody", k=10, category="ten"))) == TEN
