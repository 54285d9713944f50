"""The analysts' questions about one user or one item of Last.fm.

Each answer is counted again from the tables by polars or numpy.
"""

from collections import Counter, defaultdict

import networkx as nx
import pytest

from tests.analyst_lastfm import (
    ITEM,
    NEIGHBOURS,
    OTHER,
    OTHER_ITEM,
    USER,
    Lastfm,
    best,
    cosines,
    ids,
    near,
    pairs,
)

pytestmark = [pytest.mark.neo4j, pytest.mark.slow, pytest.mark.long]


# --- one user ---------------------------------------------------------------------------------


def test_why_item(lastfm: Lastfm) -> None:
    rows = lastfm.ask("why_item", limit=5)
    has, people, tags = lastfm.items, lastfm.people, lastfm.tags
    own = has[USER]
    assert ITEM not in own
    followed = set(lastfm.follows.filter(follower=USER)["followee"])
    size = lastfm.tagged.group_by("category").len()
    items_of = dict(size.iter_rows())
    ways: dict[str, dict[tuple[str, ...], float]] = {
        "people": {
            (USER, mine, person, ITEM): 1 / len(own) / people[mine] / len(items)
            for person, items in has.items() if ITEM in items and person != USER
            for mine in own & items
        },
        "follows": {
            (USER, person, ITEM): 1 / len(followed) / len(has[person])
            for person in followed if ITEM in has.get(person, ())
        },
        "categories": {
            (USER, mine, tag, ITEM): 1 / len(own) / len(tags[mine]) / items_of[tag]
            for mine in own for tag in tags.get(mine, set()) & tags[ITEM]
        },
    }  # fmt: skip
    assert {row["way"] for row in rows} == ways.keys()
    for way, chances in ways.items():
        found = [row for row in rows if row["way"] == way]
        assert len(found) == min(5, len(chances)) > 0
        assert [row["chance"] for row in found] == pytest.approx(
            sorted(chances.values(), reverse=True)[:5]
        )
        for row in found:
            assert chances[tuple(ids(row["path"]))] == pytest.approx(row["chance"])


def test_connections(lastfm: Lastfm) -> None:
    rows = lastfm.ask("connections", other_id="1892", limit=4)
    graph = nx.Graph(lastfm.follows.iter_rows())
    (chain,) = (row for row in rows if row["way"] == "chain of follows")
    expected = nx.shortest_path_length(graph, USER, "1892")
    assert expected > 1
    assert (len(chain["path"].relationships), chain["people"]) == (expected, expected + 1)
    shared = lastfm.items[USER] & lastfm.items["1892"]
    rare = sorted((lastfm.people[item], item) for item in shared)[:4]
    have = [(row["people"], ids(row["path"])[1]) for row in rows if row["way"] == "both have"]
    assert have == rare
    both = set(graph[USER]) & set(graph[OTHER])
    known = sorted((graph.degree[person], person) for person in both)[:4]
    rows = lastfm.ask("connections", limit=4)
    assert known
    found = [(row["people"], ids(row["path"])[1]) for row in rows if row["way"] == "both follow"]
    assert found == known


def test_central_items(lastfm: Lastfm) -> None:
    followers = lastfm.follows.filter(followee=USER)["follower"].to_list()
    chance: Counter[str] = Counter()
    for person in followers:
        for item in lastfm.items.get(person, ()):
            chance[item] += 1 / len(followers) / len(lastfm.items[person])
    rows = lastfm.ask("central_items")
    assert best(chance) == pairs(rows, "item_id", "chance")
    top = rows[0]
    assert top["followers"] == sum(top["item_id"] in lastfm.items.get(p, ()) for p in followers)
    assert top["title"] == lastfm.title[top["item_id"]]


def test_user_items(lastfm: Lastfm) -> None:
    weight = dict(lastfm.did.filter(user=USER).select("item", "weight").iter_rows())
    assert best(weight) == pairs(lastfm.ask("user_items"), "item_id", "weight")


def test_user_categories(lastfm: Lastfm) -> None:
    every = lastfm.did.join(lastfm.tagged, on="item").group_by("category").len()
    total, own = dict(every.iter_rows()), lastfm.items[USER]
    counts = Counter(tag for item in own for tag in lastfm.tags.get(item, ()))
    lift = {tag: n / len(own) * len(lastfm.did) / total[tag] for tag, n in counts.items() if n >= 5}
    rows = lastfm.ask("user_categories", least_items=5)
    assert best(lift) == pairs(rows, "category_id", "lift")
    assert rows[0]["name"] == lastfm.category[rows[0]["category_id"]]
    assert rows[0]["items"] == counts[rows[0]["category_id"]]


def test_followed_have(lastfm: Lastfm) -> None:
    followed = lastfm.follows.filter(follower=USER)["followee"]
    count = Counter(item for person in followed for item in lastfm.items.get(person, ()))
    new = {item: n for item, n in count.items() if item not in lastfm.items[USER]}
    assert best(new) == pairs(lastfm.ask("followed_have"), "item_id", "people")


def test_untouched_categories(lastfm: Lastfm) -> None:
    touched = {tag for item in lastfm.items[USER] for tag in lastfm.tags.get(item, ())}
    people: defaultdict[str, set[str]] = defaultdict(set)
    items: defaultdict[str, set[str]] = defaultdict(set)
    for person in lastfm.follows.filter(follower=USER)["followee"]:
        for item in lastfm.items.get(person, ()):
            for tag in lastfm.tags.get(item, set()) - touched:
                people[tag].add(person)
                items[tag].add(item)
    order = sorted(people, key=lambda tag: (-len(people[tag]), -len(items[tag]), tag))[:20]
    expected = [(tag, len(people[tag]), len(items[tag])) for tag in order]
    rows = lastfm.ask("untouched_categories")
    assert [(row["category_id"], row["people"], row["items"]) for row in rows] == expected


def test_taste_neighbours(lastfm: Lastfm) -> None:
    own = lastfm.items[USER]
    jaccard = {
        person: len(own & items) / len(own | items)
        for person, items in lastfm.items.items() if person != USER
    }  # fmt: skip
    rows = lastfm.ask("taste_neighbours")
    assert best(jaccard) == pairs(rows, "user_id", "jaccard")
    followed = set(lastfm.follows.filter(follower=USER)["followee"])
    assert [row["followed"] for row in rows] == [row["user_id"] in followed for row in rows]
    assert rows[0]["shared"] == len(own & lastfm.items[rows[0]["user_id"]])


def test_draw_user(lastfm: Lastfm) -> None:
    rows = lastfm.ask("draw_user", limit=4)
    weight = dict(lastfm.did.filter(user=USER).select("item", "weight").iter_rows())
    strongest = [item for item, _ in best(weight, 4)]
    assert sorted({ids(row["did"])[1] for row in rows}) == sorted(strongest)
    followed = set(lastfm.follows.filter(follower=USER)["followee"])
    for item in strongest:
        through = [ids(r["follows"]) for r in rows if r["follows"] and ids(r["did"])[1] == item]
        known = [person for person in followed if item in lastfm.items.get(person, ())]
        assert len(through) == min(3, len(known))
        assert all(path[0] == USER and path[1] in known for path in through)


def test_score_by_vector(lastfm: Lastfm) -> None:
    users, items = lastfm.vectors["b"]
    own = users[USER].astype(float)
    score = {i: float(own @ v) for i, v in items.items() if i not in lastfm.items[USER]}
    assert best(score) == pairs(lastfm.ask("score_by_vector"), "item_id", "score")


def test_nearest_users(lastfm: Lastfm) -> None:
    users = lastfm.vectors["b"][0]
    expected = dict(best(cosines(users, USER)))
    rows = lastfm.ask("nearest_users")
    near(rows, "user_id", expected)
    for row in rows:
        both = lastfm.items[USER] & lastfm.items[row["user_id"]]
        assert row["items_in_common"] == len(both)


# --- one item ---------------------------------------------------------------------------------


def test_nearest_items(lastfm: Lastfm) -> None:
    expected = dict(best(cosines(lastfm.vectors["b"][1], ITEM)))
    rows = lastfm.ask("nearest_items")
    near(rows, "item_id", expected)
    assert rows[0]["people"] == lastfm.people[rows[0]["item_id"]]


def test_similar_items(lastfm: Lastfm) -> None:
    lists = defaultdict[str, set[str]](set)
    for item, other in lastfm.near["lightgcn"].select("item", "other").iter_rows():
        lists[item].add(other)
    expected = {(ITEM, one) for one in lists[ITEM]}
    expected |= {(ITEM, a, b) for a in lists[ITEM] for b in lists[a] if b != ITEM}
    rows = lastfm.ask("similar_items", limit=100)
    assert {tuple(ids(row["path"])) for row in rows} == expected
    first = lastfm.ask("similar_items", limit=NEIGHBOURS)
    assert {len(row["path"].relationships) for row in first} == {1}


def test_audience(lastfm: Lastfm) -> None:
    listed = lastfm.near["lightgcn"].filter(other=ITEM)
    score: Counter[str] = Counter()
    for other, cosine in listed.select("item", "score").iter_rows():
        for user in lastfm.did.filter(item=other)["user"]:
            score[user] += cosine
    new = {user: s for user, s in score.items() if ITEM not in lastfm.items[user]}
    rows = lastfm.ask("audience")
    assert best(new) == pairs(rows, "user_id", "score")
    near = set(listed["item"])
    assert rows[0]["items"] == len(near & lastfm.items[rows[0]["user_id"]])


def test_also_have(lastfm: Lastfm) -> None:
    having = {user for user, items in lastfm.items.items() if ITEM in items}
    count = Counter(item for user in having for item in lastfm.items[user])
    users = len(set(lastfm.did["user"]) | set(lastfm.follows["follower"]))
    lift = {
        item: n / len(having) * users / lastfm.people[item]
        for item, n in count.items() if n >= 30 and item != ITEM
    }  # fmt: skip
    rows = lastfm.ask("also_have", least_people=30)
    assert best(lift) == pairs(rows, "item_id", "lift")
    assert rows[0]["people"] == count[rows[0]["item_id"]]


def test_shared_categories(lastfm: Lastfm) -> None:
    items = dict(lastfm.tagged.group_by("category").len().iter_rows())
    both = lastfm.tags[ITEM] & lastfm.tags[OTHER_ITEM]
    expected = sorted((items[tag], tag) for tag in both)[:20]
    rows = lastfm.ask("shared_categories")
    assert [(row["items"], row["category_id"]) for row in rows] == expected
    assert len(rows) == 20
