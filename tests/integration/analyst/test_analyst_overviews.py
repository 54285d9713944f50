"""The analysts' questions about the whole of Last.fm, and what all questions have in common.

Each answer is counted again from the tables by polars or numpy. What Last.fm has none of (times,
kinds of events, faults) is planted in a transaction that is rolled back. The short form asks the
same questions in the odd shop: `tests/integration/test_odd_shop_analyst.py`.
"""

import math
import re
from collections import Counter, defaultdict
from pathlib import Path

import nbformat
import numpy as np
import polars as pl
import pytest
from nbclient import NotebookClient

from loaders.gateway import Neo4jAddress
from recsvc.analyst.notebook import notebook
from recsvc.analyst.questions import questions, values
from recsvc.settings import load_settings
from tests.analyst_lastfm import (
    USER,
    Lastfm,
    best,
    cosines,
    given,
    pairs,
)

pytestmark = [pytest.mark.neo4j, pytest.mark.slow, pytest.mark.long]

ASKED = {
    name
    for path in Path(__file__).parents[1].rglob("test_analyst_*.py")
    for name in re.findall(r'ask(?:_planted)?\("(\w+)"', path.read_text(encoding="utf-8"))
}


# --- models -----------------------------------------------------------------------------------


def exposure(lastfm: Lastfm) -> dict[str, float]:
    shown = dict.fromkeys(lastfm.title, 0.0)
    for rank, other in lastfm.near["lightgcn"].select("rank", "other").iter_rows():
        shown[other] += 1 / math.log2(rank + 1)
    return shown


def test_popularity_deciles(lastfm: Lastfm) -> None:
    people, shown = lastfm.people, exposure(lastfm)
    order = sorted(people, key=lambda item: (-people[item], item))
    decile = {item: 1 + place * 10 // len(order) for place, item in enumerate(order)}
    rows = lastfm.ask("popularity_deciles")
    assert [row["decile"] for row in rows] == list(range(1, 11))
    for row in rows:
        members = [item for item in order if decile[item] == row["decile"]]
        assert (row["items"], row["most_people"]) == (len(members), people[members[0]])
        share = [sum(c[i] for i in members) / sum(c.values()) for c in (people, shown)]
        assert [row["attention"], row["exposure"]] == pytest.approx(share)
    assert rows[0]["attention"] > 0.5


def test_exposure_by_category(lastfm: Lastfm) -> None:
    people, shown = lastfm.people, exposure(lastfm)
    by_tag: defaultdict[str, list[str]] = defaultdict(list)
    for item, tag in lastfm.tagged.select("item", "category").iter_rows():
        by_tag[tag].append(item)
    lift: dict[str, float] = {}
    for tag, items in by_tag.items():
        seen, had = (sum(c[i] for i in items) / sum(c.values()) for c in (shown, people))
        if len(items) >= 20 and had:
            lift[tag] = seen / had
    rows = lastfm.ask("exposure_by_category")
    assert best(lift) == pairs(rows, "category_id", "lift")
    assert rows[0]["items"] == len(by_tag[rows[0]["category_id"]])


def test_version_drift(lastfm: Lastfm) -> None:
    people = lastfm.people
    a, b = lastfm.vectors["a"][1], lastfm.vectors["b"][1]
    sample = sorted(a.keys() & b.keys(), key=lambda item: (-people[item], item))[:40]
    found: dict[str, tuple[float, float]] = {}
    for item in sample:
        cosine = [cosines({i: v[i] for i in sample}, item) for v in (a, b)]
        top = [{i for i, _ in best(c, 10)} for c in cosine]
        gap = np.mean([abs(cosine[0][i] - cosine[1][i]) for i in cosine[0]])
        found[item] = (len(top[0] & top[1]) / 10, float(gap))
    rows = lastfm.ask("version_drift", sample=40, limit=40)
    assert {row["item_id"] for row in rows} == set(sample)
    for row in rows:
        assert (row["same"], row["cosine_gap"]) == pytest.approx(found[row["item_id"]], abs=1e-5)
    assert [row["same"] for row in rows] == sorted(row["same"] for row in rows)
    assert 0.3 < np.mean([row["same"] for row in rows]) < 1.0


def test_models_agree(lastfm: Lastfm) -> None:
    one, two = lastfm.near["lightgcn"], lastfm.near["node2vec"]
    both = one.join(two, on=["item", "other"], suffix="_two")
    expected = {
        (item, other): [rank, rank_two]
        for item, other, rank, rank_two in both.select("item", "other", "rank", "rank_two").rows()
        if lastfm.people[item] >= 50
    }
    order = sorted(expected, key=lambda pair: (sum(expected[pair]), pair))[:20]
    rows = lastfm.ask("models_agree", least_people=50)
    assert [((r["item_id"], r["other_id"]), r["ranks"]) for r in rows] == [
        (pair, expected[pair]) for pair in order
    ]


def test_coverage(lastfm: Lastfm) -> None:
    rows = lastfm.ask("coverage")
    assert [row["model"] for row in rows] == ["lightgcn", "node2vec"]
    for row in rows:
        shown = Counter(lastfm.near[row["model"]]["other"])
        top = math.ceil(len(lastfm.title) / 100)
        assert row["lists"] == lastfm.near[row["model"]]["item"].n_unique()
        assert (row["reached"], row["share"]) == (len(shown), len(shown) / len(lastfm.title))
        most = sum(n for _, n in shown.most_common(top))
        assert row["top_share"] == pytest.approx(most / sum(shown.values()))


def test_cold_items(lastfm: Lastfm) -> None:
    listed = set(lastfm.near["lightgcn"]["other"])
    vectors = lastfm.vectors["b"][1]
    reasons = {
        item: [
            *(["nobody has it"] if not n else []),
            *(["in no category"] if item not in lastfm.tags else []),
            *(["no vector"] if item not in vectors else []),
            *(["near no other item"] if item not in listed else []),
        ]
        for item, n in lastfm.people.items() if n <= 5
    }  # fmt: skip
    order = sorted(reasons, key=lambda item: (-len(reasons[item]), lastfm.people[item], item))
    rows = lastfm.ask("cold_items", limit=50)
    assert [(r["item_id"], r["reasons"]) for r in rows] == [(i, reasons[i]) for i in order[:50]]
    planted = (
        "MATCH (v:EmbeddingVersion {model: 'lightgcn', status: 'active'}) "
        "CREATE (:Item {item_id: 'x', available: false, "
        "created_at: v.started_at + duration('P1D')})"
    )
    (row,) = lastfm.ask_planted("cold_items", planted, limit=1)
    assert row["reasons"] == [
        "nobody has it", "in no category", "no vector", "near no other item", "not available",
        "newer than the last refresh",
    ]  # fmt: skip


def test_newer_than_refresh(lastfm: Lastfm) -> None:
    planted = (
        "CREATE (new:Item {item_id: '!'}) WITH new MATCH (user:User) WITH new, user LIMIT 9 "
        "CREATE (user)-[:INTERACTED]->(new)"
    )
    without = {i: n for i, n in lastfm.people.items() if i not in lastfm.vectors["b"][1]}
    rows = lastfm.ask_planted("newer_than_refresh", planted)
    assert best(without | {"!": 9}) == pairs(rows, "item_id", "people")
    assert rows[0]["item_id"] == "!"


def test_versions(lastfm: Lastfm) -> None:
    found = [(r["model"], r["version"], r["status"], r["slot"]) for r in lastfm.ask("versions")]
    assert found == [
        ("lightgcn", 2, "active", "b"), ("lightgcn", 1, "retired", "a"),
        ("node2vec", 1, "active", "a"),
    ]  # fmt: skip


# --- the whole graph --------------------------------------------------------------------------


def test_communities(lastfm: Lastfm) -> None:
    links = [*lastfm.follows.iter_rows(), *((b, a) for a, b in lastfm.follows.iter_rows())]
    degree = Counter(a for a, _ in links)
    neighbours: defaultdict[str, list[str]] = defaultdict(list)
    for a, b in links:
        neighbours[a].append(b)
    label = {
        user: min((user, *near), key=lambda other: (-degree[other], other))
        for user, near in neighbours.items()
    }
    for _ in range(4):
        votes = {user: Counter(label[other] for other in near) for user, near in neighbours.items()}
        label = {u: min(v, key=lambda name: (-v[name], name)) for u, v in votes.items()}
    members: defaultdict[str, set[str]] = defaultdict(set)
    for user, name in label.items():
        members[name].add(user)
    order = sorted(members, key=lambda name: (-len(members[name]), name))[:20]
    rows = lastfm.ask("communities")
    assert [(row["community"], row["people"]) for row in rows] == [
        (name, len(members[name])) for name in order
    ]
    for row in rows:
        own = members[row["community"]]
        follows = [b in own for a, b in lastfm.follows.iter_rows() if a in own]
        assert row["inside"] == pytest.approx(sum(follows) / len(follows))
        count = Counter(item for user in own for item in lastfm.items.get(user, ()))
        assert row["items"] == [lastfm.title[item] for item, _ in best(count, 3)]
    assert len(rows) == 20
    assert rows[0]["people"] < len(label) / 2


def test_influence(lastfm: Lastfm) -> None:
    followers: defaultdict[str, list[str]] = defaultdict(list)
    for follower, followee in lastfm.follows.iter_rows():
        followers[followee].append(follower)
    most = sorted(followers, key=lambda user: (-len(followers[user]), user))[:100]
    shared = {
        user: float(
            np.mean([len(lastfm.items.get(f, set()) & own) / len(own) for f in followers[user]])
        )
        for user in most if (own := lastfm.items.get(user))
    }  # fmt: skip
    rows = lastfm.ask("influence")
    assert best(shared) == pairs(rows, "user_id", "shared")
    assert rows[0]["followers"] == len(followers[rows[0]["user_id"]])


def test_filter_bubbles(lastfm: Lastfm) -> None:
    strongest: dict[str, str] = {}
    ordered = lastfm.tagged.sort(["weight", "category"], descending=[True, False])
    for item, tag in ordered.select("item", "category").iter_rows():
        strongest.setdefault(item, tag)
    bits: dict[str, float] = {}
    top: dict[str, tuple[str, float]] = {}
    for user, items in lastfm.items.items():
        counts = Counter(strongest[item] for item in items if item in strongest)
        total = sum(counts.values())
        if total >= 20:
            bits[user] = -sum(n / total * math.log2(n / total) for n in counts.values())
            tag, n = min(counts.items(), key=lambda pair: (-pair[1], pair[0]))
            top[user] = (lastfm.category[tag], n / total)
    rows = lastfm.ask("filter_bubbles")
    expected = sorted(bits, key=lambda user: (round(bits[user], 9), user))[:20]
    assert [row["user_id"] for row in rows] == expected
    for row in rows:
        assert row["bits"] == pytest.approx(bits[row["user_id"]], abs=1e-9)
        assert (row["category"], row["share"]) == (
            top[row["user_id"]][0], pytest.approx(top[row["user_id"]][1]),
        )  # fmt: skip


def test_twin_accounts(lastfm: Lastfm) -> None:
    rare = lastfm.did.join(
        lastfm.did.group_by("item").len().filter(pl.col("len").is_between(2, 5)), on="item"
    )
    both = rare.join(rare, on="item", suffix="_two").filter(pl.col("user") < pl.col("user_two"))
    shared = both.group_by("user", "user_two").len().filter(pl.col("len") >= 3)
    jaccard: dict[tuple[str, str], float] = {}
    for one, two, _ in shared.iter_rows():
        items, other = lastfm.items[one], lastfm.items[two]
        jaccard[one, two] = len(items & other) / len(items | other)
    assert 20 < len(jaccard) <= 1000
    rows = lastfm.ask("twin_accounts")
    found = [((r["user_id"], r["other_id"]), pytest.approx(r["jaccard"])) for r in rows]
    assert best(jaccard) == found
    planted = (
        "MATCH (u:User {user_id: '2'})-[did:INTERACTED]->(item:Item) WHERE item.item_id <> '51' "
        "WITH collect(item) AS items CREATE (twin:User {user_id: '2 again'}) "
        "FOREACH (item IN items | "
        "CREATE (twin)-[:INTERACTED {event: 'listen', weight: 1.0}]->(item))"
    )
    top = lastfm.ask_planted("twin_accounts", planted, most_people=10)[0]
    assert (top["user_id"], top["other_id"], top["followed"]) == ("2", "2 again", False)
    assert top["jaccard"] == pytest.approx((len(lastfm.items[USER]) - 1) / len(lastfm.items[USER]))


def test_odd_accounts(lastfm: Lastfm) -> None:
    per_user = lastfm.did.group_by("user").agg(
        pl.col("weight").sum(), pl.len(), most=pl.col("weight").max()
    )
    share = {
        user: most / weight
        for user, weight, n, most in per_user.iter_rows() if weight >= 1000 and n > 1
    }  # fmt: skip
    rows = lastfm.ask("odd_accounts")
    assert best(share) == pairs(rows, "user_id", "share")
    own = lastfm.did.filter(user=rows[0]["user_id"]).sort("weight", descending=True)
    assert (rows[0]["item_id"], rows[0]["weight"]) == (own["item"][0], own["weight"].sum())


def test_hidden_gems(lastfm: Lastfm) -> None:
    whole = pl.col("weight") / pl.col("weight").sum().over("user")
    love = lastfm.did.with_columns(share=whole).group_by("item").agg(pl.len(), pl.mean("share"))
    expected = {item: mean for item, n, mean in love.iter_rows() if 3 <= n <= 5}
    rows = lastfm.ask("hidden_gems")
    assert best(expected) == pairs(rows, "item_id", "love")


def test_category_pairs(lastfm: Lastfm) -> None:
    tagged = lastfm.tagged.select("item", "category")
    size = dict(tagged.group_by("category").len().iter_rows())
    both = tagged.join(tagged, on="item", suffix="_two")
    both = both.filter(pl.col("category") < pl.col("category_two"))
    jaccard = {
        (one, two): n / (size[one] + size[two] - n)
        for one, two, n in both.group_by("category", "category_two").len().iter_rows() if n >= 20
    }  # fmt: skip
    rows = lastfm.ask("category_pairs")
    found = [((r["category_id"], r["other_id"]), pytest.approx(r["jaccard"])) for r in rows]
    assert best(jaccard) == found


DAY = "datetime('2026-01-31') - duration({days: %d})"


def event(user: str, item: str, event: str = "view", days: int = 0) -> str:
    return (
        f"MERGE (u:User {{user_id: '{user}'}}) MERGE (i:Item {{item_id: '{item}'}}) "
        f"CREATE (u)-[:INTERACTED {{event: '{event}', weight: 1.0, last_at: {DAY % days}}}]->(i) "
        "WITH 1 AS done "
    )


def planted(*events: str) -> str:
    return "".join(events) + "RETURN done"


def test_funnel(lastfm: Lastfm) -> None:
    seen = [event(f"p{n}", "x") for n in range(8)] + [event("p0", "y")]
    carts = [event(f"p{n}", "x", "cart") for n in range(4)]
    bought = [event("p0", "x", "purchase"), event("p7", "x", "purchase")]  # p7 had no cart
    rows = lastfm.ask_planted("funnel", planted(*seen, *carts, *bought))
    found = [(r["step"], r["event"], r["pairs"], r["users"], r["kept"]) for r in rows]
    assert found == [
        (1, "view", 9, 8, 1.0), (2, "cart", 4, 4, pytest.approx(4 / 9)),
        (3, "purchase", 1, 1, 0.25),
    ]  # fmt: skip
    (row,) = lastfm.ask("funnel", steps=["listen"])
    assert (row["pairs"], row["users"]) == (len(lastfm.did), lastfm.did["user"].n_unique())


def test_trending(lastfm: Lastfm) -> None:
    up = [event(f"p{n}", "up", days=n) for n in range(5)]
    down = [event(f"p{n}", "down", days=40 + n) for n in range(5)]
    again = [event("p0", "down", "cart", days=3), event("old", "old", days=90)]
    rows = lastfm.ask_planted("trending", planted(*up, *down, *again))
    found = [(row["item_id"], row["now"], row["before"], row["rise"]) for row in rows]
    assert found == [("up", 5, 0, 6.0), ("down", 1, 4, pytest.approx(2 / 5))]


def test_silent_users(lastfm: Lastfm) -> None:
    gone = [event("gone", f"x{n}", days=50 + n) for n in range(3)]
    back = [event("back", f"x{n}", days=100 * n) for n in range(3)]
    few = [event("few", "x1", days=80)]
    (row,) = lastfm.ask_planted("silent_users", planted(*gone, *back, *few), least_items=2)
    assert (row["user_id"], row["items"], row["silent_days"]) == ("gone", 3, 50)


def test_data_quality(lastfm: Lastfm) -> None:
    before = {row["fault"]: row for row in lastfm.ask("data_quality")}
    assert before["item in no category"]["count"] == len(lastfm.title.keys() - lastfm.tags.keys())
    assert before["item that nobody has"]["count"] == list(lastfm.people.values()).count(0)
    assert before["interaction without a time"]["count"] == len(lastfm.did)
    titles = Counter(title for title in lastfm.title.values() if title)
    several = sum(n > 1 for n in titles.values())
    assert before.get("title of several items", {"count": 0})["count"] == several
    names = Counter(name.strip().lower() for name in lastfm.category.values())
    several = sum(n > 1 for n in names.values())
    assert before.get("name of several categories", {"count": 0})["count"] == several
    assert lastfm.items.keys() == set(lastfm.follows["follower"])
    assert "user without an interaction" not in before
    faults = (
        "CREATE (u:User {user_id: 'u'})-[:FOLLOWS]->(u), (:Category {category_id: '!'}), "
        "(v:User {user_id: 'v'})-[:INTERACTED {weight: -1.0, "
        "last_at: datetime() + duration('P1D')}]->(:Item {item_id: '!'})"
    )
    after = {row["fault"]: row for row in lastfm.ask_planted("data_quality", faults)}
    some = {fault: row["count"] for fault, row in before.items()}
    more = {fault: row["count"] - some.get(fault, 0) for fault, row in after.items()}
    assert {fault: n for fault, n in more.items() if n} == dict.fromkeys(
        ("item without a title", "item in no category", "user without an interaction",
         "user who follows themselves", "category without an item", "interaction in the future",
         "interaction of negative weight"), 1,
    )  # fmt: skip
    assert after["category without an item"]["example"] == "!"
    assert [row["count"] for row in lastfm.ask("data_quality")] == sorted(
        (row["count"] for row in before.values()), reverse=True
    )


# --- all of them ------------------------------------------------------------------------------


def test_every_answer_is_bounded(lastfm: Lastfm) -> None:
    for question in questions():
        if "limit" in question.query.params and question.name not in ("why_item", "connections"):
            few = lastfm.gateway.run(question.query, **given(question.name, {"limit": 2}))
            assert len(few) <= (6 if question.name == "draw_user" else 2), question.name


SHOWN = """
UNWIND [['289', 1, 'impression'], ['289', 1, 'click'], ['701', 2, 'impression']] AS row
CREATE (:Outcome {
  outcome_id: row[0] + row[2], recommendation: 'r', version: 3, user_id: '2', item_id: row[0],
  position: row[1], kind: row[2], at: datetime(), answered_at: datetime()
})
"""


def test_outcomes(lastfm: Lastfm) -> None:
    rows = lastfm.ask_planted("outcome_kinds", SHOWN)
    assert [(row["kind"], row["outcomes"]) for row in rows] == [("impression", 2), ("click", 1)]
    rows = lastfm.ask_planted("rates_by_position", SHOWN)
    assert [(row["position"], row["rate"]) for row in rows] == [(1, 1.0), (2, 0.0)]
    (row,) = lastfm.ask_planted("rates_by_version", SHOWN)
    assert (row["version"], row["shown"], row["acted"]) == (3, 2, 1)
    (row,) = lastfm.ask_planted("shown_in_vain", SHOWN)
    assert (row["item_id"], row["title"], row["shown"]) == ("701", "Shakira", 1)
    rows = lastfm.ask_planted("shown_to_user", SHOWN)
    assert [row["kinds"] for row in rows] == [["click", "impression"], ["impression"]]


def test_the_notebook_runs_and_shows_the_answers(
    lastfm: Lastfm,
    neo4j_address: Neo4jAddress,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    server = {"URI": neo4j_address.uri, "USER": neo4j_address.user}
    for name, value in (server | {"PASSWORD": neo4j_address.password}).items():
        monkeypatch.setenv(f"RECSVC_NEO4J_{name}", value)
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    text = notebook(questions(), values(load_settings().events))
    document = NotebookClient(nbformat.reads(text, as_version=4), timeout=60).execute()
    cells = [cell for cell in document.cells if cell.source.startswith("ask(")]
    for question, cell in zip(questions(), cells, strict=True):
        *said, table = cell.outputs
        shape = re.search(r"shape: \((\d+), (\d+)\)", table.data["text/plain"])
        assert shape, question.name
        rows = lastfm.gateway.run(question.query, **given(question.name, {}))
        assert (int(shape[1]), int(shape[2])) == (len(rows), len(question.query.returns))
        assert "".join(each.text for each in said).strip() == ("" if rows else question.empty)


def test_every_question_is_asked() -> None:
    elsewhere = {"score_user"}  # test_analyst_scores.py, against the service
    assert {question.name for question in questions()} == ASKED | elsewhere
    assert len(ASKED) >= 25
