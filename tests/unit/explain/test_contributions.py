import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsvc.answer import NodeRef
from recsvc.blend.blend import BASE, Term
from recsvc.explain.contributions import ExactScores, contributions
from tests.exact_scores import exact_scores


def term(signal: str, values: dict[int, float]) -> Term:
    """Of one item: by position of the evidence."""
    column = np.array([*values.values()])[:, None]
    return Term(signal, np.array(list(values), np.int64), np.ones(len(values)), column)


def exact(base: float, *terms: Term) -> ExactScores:
    return exact_scores(np.array([7]), terms, np.array([base]))


VALUES = st.dictionaries(st.integers(0, 5), st.floats(-10, 10), max_size=6)


@given(VALUES, VALUES, st.floats(0, 1), st.integers(0, 12))
def test_contributions_and_remainder_add_up_to_the_score(
    first: dict[int, float], second: dict[int, float], base: float, limit: int
) -> None:
    parts = exact(base, term("one", first), term("two", second))
    nodes = [NodeRef("item", str(position)) for position in range(6)]
    listed, remainder = contributions(parts, 0, nodes, limit=limit)
    score = base + sum(first.values()) + sum(second.values())
    assert parts.scores[0] == pytest.approx(score, abs=1e-9)
    assert sum(c.value for c in listed) + remainder == pytest.approx(score, abs=1e-9)
    signals = parts.signals(0)
    assert list(signals) == ["one", "two", BASE]
    assert sum(signals.values()) == pytest.approx(score, abs=1e-9)
    sizes = sorted((abs(v) for v in [*first.values(), *second.values()] if v), reverse=True)
    assert [abs(c.value) for c in listed] == sizes[:limit]
    for contribution in listed:
        of = first if contribution.signal == "one" else second
        assert of[int(str(contribution.evidence.id))] == contribution.value


def test_adjustments_are_parts_of_the_score_that_no_evidence_carries() -> None:
    parts = exact(0.5, term("one", {0: 1.0, 1: -0.25}))
    blended = parts.scores[0]
    parts = parts.adjusted("rule", np.array([2.0])).adjusted("diversity", np.array([-0.75]))
    assert parts.blended[0] == blended
    assert parts.signals(0) == {"one": 0.75, "rule": 2.0, "diversity": -0.75, BASE: 0.5}
    assert parts.scores[0] == sum(parts.signals(0).values())
    listed, remainder = contributions(
        parts, 0, [NodeRef("item", "a"), NodeRef("item", "b")], limit=1
    )
    assert sum(c.value for c in listed) + remainder == parts.scores[0]
    assert parts.take(np.array([0])).signals(0) == parts.signals(0)


def test_contributions_of_equal_size_have_one_order() -> None:
    nodes = [NodeRef("item", name) for name in "abc"]
    parts = exact(0.0, term("z", {2: 1.0, 0: -1.0}), term("a", {1: 1.0}))
    listed, _ = contributions(parts, 0, nodes, limit=9)
    assert [(c.signal, c.evidence.id) for c in listed] == [("a", "b"), ("z", "a"), ("z", "c")]


def test_each_item_has_its_own_column() -> None:
    values = np.array([[1.0, 0.0, -2.0], [0.5, 0.25, 4.0]])
    parts = exact_scores(
        np.array([4, 0, 9]), (Term("s", np.array([1, 0]), np.ones(2), values),),
        np.array([0.1, 0.2, 0.3]),
    )  # fmt: skip
    np.testing.assert_allclose(parts.scores, [1.6, 0.45, 2.3])
    listed, remainder = contributions(
        parts, 2, [NodeRef("item", "a"), NodeRef("item", "b")], limit=1
    )
    assert [(c.evidence.id, c.value) for c in listed] == [("a", 4.0)]
    assert remainder == pytest.approx(-1.7)
