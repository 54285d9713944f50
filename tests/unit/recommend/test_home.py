"""The rows of a home, from answers."""

from dataclasses import replace

from recsvc.answer import Answer, RankedItem
from recsvc.evidence import Evidence
from recsvc.phrases import TextSettings
from recsvc.recommend.home import home_of


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
