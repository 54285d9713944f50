"""The rows of a home, from answers."""

from dataclasses import replace

from recsvc.answer import Answer, NodeRef, RankedItem
from recsvc.evidence import Evidence
from recsvc.phrases import TextSettings
from recsvc.recommend.home import CategoryOfItems, home_of


def answer(name: str) -> Answer:
    items = [RankedItem(f"{name}{n}", None, n, 1.0 / n, {"base": 1.0 / n}) for n in (1, 2, 3)]
    return Answer("r", "u", 3, {}, (), 1.0, tuple(items))


def test_what_is_new_is_not_claimed_where_nobody_could_tell() -> None:
    new, others = answer("n"), (answer("p"), Evidence(), TextSettings())
    told = home_of(answer("b"), new, *others)
    assert [row.kind for row in told.rows] == ["new", "popular"]
    told = home_of(answer("b"), replace(new, degraded=("scenario",)), *others)
    assert [row.kind for row in told.rows] == ["popular"]
    assert told.degraded == ("scenario",)


def test_what_is_new_in_a_liked_category_has_a_row() -> None:
    def category(name: str, size: int, *of: str) -> CategoryOfItems:
        items = [f"{each}{n}" for each in of for n in (1, 2, 3)]
        return CategoryOfItems(NodeRef("category", name, name), frozenset(items), size)

    music, pop = category("music", 90, "b", "n"), category("synth pop", 9, "b", "n")
    unliked, old = category("folk", 3, "n"), category("dub", 3, "b")
    told = home_of(
        answer("b"), answer("n"), answer("p"), Evidence(), TextSettings(),
        [music, unliked, old, pop], 100,
    )  # fmt: skip
    assert [row.title for row in told.rows] == ["New in synth pop", "Popular now"]
    assert told.rows[0].evidence == pop.node
    assert [item.item_id for item in told.rows[0].items] == ["n1", "n2", "n3"]
