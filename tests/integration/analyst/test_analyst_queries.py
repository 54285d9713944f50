"""The analysts' questions about one user or one item of the odd shop.

They count people and items, not relationships. Each answer is counted again from the tables in
plain Python.
"""

from collections import Counter, defaultdict
from datetime import datetime

import networkx as nx
import pytest

from tests.odd_shop_asked import (
    ITEM,
    MODEL,
    OTHER_ITEM,
    USER,
    Asked,
    best,
    cosines,
    ids,
    kinds,
    near,
    pairs,
)

pytestmark = pytest.mark.neo4j


# --- one user ---------------------------------------------------------------------------------


def test_central_items(asked: Asked) -> None:
    for user in ("u5", "u8"):
        followers, chance = asked.shop.followers(user), Counter[str]()
        for person in followers:
            for item in asked.shop.items[person]:
                chance[item] += 1 / len(followers) / len(asked.shop.items[person])
        rows = asked.ask("central_items", user_id=user)
        assert best(chance) == pairs(rows, "item_id", "chance")
        for row in rows:
            assert row["followers"] == len(followers & asked.shop.people[row["item_id"]])
            assert row["title"] == (asked.shop.titles[row["item_id"]] or None)


def test_connections(asked: Asked) -> None:
    graph = nx.Graph(asked.shop.follows)
    for user, other in (("u4", "u6"), ("u40", "u42"), ("u61", "u63"), ("u5", "bot")):
        rows = asked.ask("connections", user_id=user, other_id=other, limit=100)
        ways: defaultdict[str, list[tuple[int, str]]] = defaultdict(list)
        for row in rows:
            ways[row["way"]].append((row["people"], ids(row["path"])[1]))
        both = asked.shop.items[user] & asked.shop.items[other]
        assert ways["both have"] == sorted((asked.people[item], item) for item in both)
        followed = asked.shop.followed(user) & asked.shop.followed(other)
        counts = sorted((len(asked.shop.followers(person)), person) for person in followed)
        assert ways["both follow"] == counts
        chain = [row for row in rows if row["way"] == "chain of follows"]
        near = user in graph and other in graph and nx.has_path(graph, user, other)
        length = nx.shortest_path_length(graph, user, other) if near else 99
        assert [len(row["path"].relationships) for row in chain] == ([length] * (length <= 6))
    assert asked.ask("connections", other_id=USER) == []


def test_draw_user(asked: Asked) -> None:
    for user in (USER, "u30"):
        rows = asked.ask("draw_user", user_id=user, limit=4)
        strongest = [item for item, _ in best(asked.weight(user), 4)]
        assert list(dict.fromkeys(ids(row["did"])[1] for row in rows)) == strongest
        for item in strongest:
            known = sorted(asked.shop.followed(user) & asked.shop.people[item])[:3]
            drawn = [row for row in rows if ids(row["did"])[1] == item]
            assert len({row["did"] for row in drawn}) == 1
            assert [ids(r["follows"])[1] for r in drawn if r["follows"]] == known
            assert len(drawn) == max(1, len(known))


def test_followed_have(asked: Asked) -> None:
    for user in ("u4", "u30", "only follows", "u90"):
        count = Counter(i for p in asked.shop.followed(user) for i in asked.shop.items[p])
        new = {item: n for item, n in count.items() if item not in asked.shop.items[user]}
        rows = asked.ask("followed_have", user_id=user, limit=100)
        assert best(new, 100) == pairs(rows, "item_id", "people")


def test_nearest_users(asked: Asked) -> None:
    users = asked.vectors["User"]
    for user in (USER, "a/b"):
        rows = asked.ask("nearest_users", user_id=user)
        near(rows, "user_id", dict(best(cosines(users, user))))
        for row in rows:
            both = asked.shop.items[user] & asked.shop.items[row["user_id"]]
            assert row["items_in_common"] == len(both)
            assert row["followed"] == (row["user_id"] in asked.shop.followed(user))
    assert asked.ask("nearest_users", model="node2vec") == []


def test_score_by_vector(asked: Asked) -> None:
    own = asked.vectors["User"][USER]
    can = asked.shop.eligible(USER)
    score = {i: float(own @ v) for i, v in asked.vectors["Item"].items() if i in can}
    rows = asked.ask("score_by_vector")
    assert [row["score"] for row in rows] == pytest.approx(
        [value for _, value in best(score)], rel=1e-5
    )
    assert all(score[row["item_id"]] == pytest.approx(row["score"], rel=1e-5) for row in rows)


def test_taste_neighbours(asked: Asked) -> None:
    items = asked.shop.items
    for user in (USER, "דּוּ"):
        jaccard = {
            other: len(items[user] & theirs) / len(items[user] | theirs)
            for other, theirs in items.items() if other != user and items[user] & theirs
        }  # fmt: skip
        rows = asked.ask("taste_neighbours", user_id=user)
        assert best(jaccard) == pairs(rows, "user_id", "jaccard")
        assert all(r["shared"] == len(items[user] & items[r["user_id"]]) for r in rows)


def test_untouched_categories(asked: Asked) -> None:
    count = 0
    for user in ("u9", "u13", "u30", "u31", "u33", "u35", "only follows"):
        of = asked.shop.categories
        touched = {c for item in asked.shop.items[user] for c in of.get(item, ())}
        people: defaultdict[str, set[str]] = defaultdict(set)
        items: defaultdict[str, set[str]] = defaultdict(set)
        for person in asked.shop.followed(user):
            for item in asked.shop.items[person]:
                for category in of.get(item, frozenset()) - touched:
                    people[category].add(person)
                    items[category].add(item)
        order = sorted(people, key=lambda c: (-len(people[c]), -len(items[c]), c))
        rows = asked.ask("untouched_categories", user_id=user)
        assert [(r["category_id"], r["people"], r["items"]) for r in rows] == [
            (c, len(people[c]), len(items[c])) for c in order
        ]
        assert kinds(rows)
        count += len(rows)
    assert count


def test_user_categories(asked: Asked) -> None:
    of, all_pairs = asked.shop.categories, sum(asked.people.values())
    total = Counter(c for i, n in asked.people.items() for c in of.get(i, ()) for _ in range(n))
    for user in (USER, "bot", "u6"):
        own = asked.shop.items[user]
        counts = Counter(c for item in own for c in of.get(item, ()))
        lift = {c: n / len(own) * all_pairs / total[c] for c, n in counts.items() if n >= 2}
        rows = asked.ask("user_categories", user_id=user, least_items=2)
        assert best(lift) == pairs(rows, "category_id", "lift")
        assert [row["items"] for row in rows] == [counts[row["category_id"]] for row in rows]
        assert kinds(rows)


def test_user_items(asked: Asked) -> None:
    rows = asked.ask("user_items", limit=500)
    told = {(row["item_id"], row["event"]): row for row in rows}
    did = {(i, k): events for (u, i, k), events in asked.shop.interactions.items() if u == USER}
    assert len(rows) == len(told)
    assert told.keys() == did.keys()
    for key, events in did.items():
        assert told[key]["count"] == len(events)
        assert told[key]["weight"] == pytest.approx(sum(event.value for event in events))
        assert told[key]["last_at"].to_native() == max(event.at for event in events)


def test_why_item(asked: Asked) -> None:
    shop = asked.shop
    for user, item in (("u30", "i41"), ("u4", "i79"), ("only follows", "i2")):
        own, followed = shop.items[user], shop.followed(user)
        ways: dict[str, dict[tuple[str, ...], float]] = {
            "people": {
                (user, mine, person, item):
                    1 / len(own) / asked.people[mine] / len(shop.items[person])
                for person in shop.people[item] - {user}
                for mine in own & shop.items[person] - {item}
            },
            "follows": {
                (user, person, item): 1 / len(followed) / len(shop.items[person])
                for person in followed & shop.people[item]
            },
            "categories": {
                (user, mine, c, item):
                    1 / len(own) / len(shop.categories[mine]) / len(shop.members[c])
                for mine in own - {item}
                for c in shop.categories.get(mine, frozenset())
                & shop.categories.get(item, frozenset())
            },
        }  # fmt: skip
        rows = asked.ask("why_item", user_id=user, item_id=item, limit=500)
        for way, chances in ways.items():
            found = {tuple(ids(r["path"])): r["chance"] for r in rows if r["way"] == way}
            assert found == pytest.approx(chances), way
            assert len(found) == sum(row["way"] == way for row in rows)
        assert any(ways.values())


# --- one item ---------------------------------------------------------------------------------


def test_also_have(asked: Asked) -> None:
    having = asked.shop.people[ITEM]
    count = Counter(item for user in having for item in asked.shop.items[user])
    lift = {
        item: n / len(having) * len(asked.shop.users) / asked.people[item]
        for item, n in count.items() if n >= 3 and item != ITEM
    }  # fmt: skip
    rows = asked.ask("also_have", least_people=3)
    assert best(lift) == pairs(rows, "item_id", "lift")
    assert [row["people"] for row in rows] == [count[row["item_id"]] for row in rows]


def test_audience(asked: Asked) -> None:
    score, items = Counter[str](), Counter[str]()
    for row in asked.near:
        if (row["model"], row["other"]) == (MODEL, ITEM):
            for user in asked.shop.people[row["item"]] - asked.shop.people[ITEM]:
                score[user] += row["score"]
                items[user] += 1
    rows = asked.ask("audience")
    assert best(score) == pairs(rows, "user_id", "score")
    assert [row["items"] for row in rows] == [items[row["user_id"]] for row in rows]
    assert all(asked.ask("audience", item_id=item) == [] for item in asked.shop.hidden)


def test_nearest_items(asked: Asked) -> None:
    rows = asked.ask("nearest_items")
    near(rows, "item_id", dict(best(cosines(asked.vectors["Item"], ITEM))))
    assert [row["people"] for row in rows] == [asked.people[row["item_id"]] for row in rows]
    assert asked.ask("nearest_items", item_id="i88") == []


def test_next_items(asked: Asked) -> None:
    newest = defaultdict[str, dict[str, datetime]](dict)
    for (user, item, _), events in asked.shop.interactions.items():
        at = max(event.at for event in events)
        newest[user][item] = max(at, newest[user].get(item, at))
    people, first = Counter[str](), Counter[str]()
    for own in newest.values():
        if ITEM in own:
            later = sorted((at, item) for item, at in own.items() if at > own[ITEM])
            people.update(item for _, item in later[:10])
            first.update(item for at, item in later[:10] if at == later[0][0])
    order = sorted(people, key=lambda item: (-people[item], -first[item], item))[:20]
    rows = asked.ask("next_items")
    assert [(row["item_id"], row["people"], row["first"]) for row in rows] == [
        (item, people[item], first[item]) for item in order
    ]
    assert rows
    assert asked.ask("next_items", item_id="i88") == []


def test_shared_categories(asked: Asked) -> None:
    both = asked.shop.categories[ITEM] & asked.shop.categories[OTHER_ITEM]
    rows = asked.ask("shared_categories")
    assert [(row["items"], row["category_id"]) for row in rows] == sorted(
        (len(asked.shop.members[c]), c) for c in both
    )
    assert rows
    assert kinds(rows)


def test_similar_items(asked: Asked) -> None:
    lists: defaultdict[str, set[str]] = defaultdict(set)
    for row in asked.near:
        if row["model"] == MODEL:
            lists[row["item"]].add(row["other"])
    expected = {(ITEM, one) for one in lists[ITEM]}
    expected |= {(ITEM, a, b) for a in lists[ITEM] for b in lists[a] if b != ITEM}
    rows = asked.ask("similar_items", limit=100)
    assert {tuple(ids(row["path"])) for row in rows} == expected
    assert len(rows) == len(expected)
