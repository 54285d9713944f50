import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsvc.answer import NodeRef
from recsvc.evidence import Evidence, EvidenceKind, EvidenceNode
from recsvc.explanation import ExactScores, contributions, sentence
from recsvc.fusion import BASE, Term
from recsvc.settings import EventSettings

EVENTS = {
    "interaction": EventSettings(),
    "listen": EventSettings(verb="listened to"),
    "purchase": EventSettings(verb="bought"),
}
POPULAR = "Popular with many people."


def term(signal: str, values: dict[int, float]) -> Term:
    """Of one item: by position of the evidence."""
    column = np.array([*values.values()])[:, None]
    return Term(signal, np.array(list(values), np.int64), np.ones(len(values)), column)


def exact(base: float, *terms: Term) -> ExactScores:
    return ExactScores(np.array([7]), terms, np.array([base]))


def said(
    nodes: list[tuple[EvidenceKind, str, str | None]], values: dict[int, float], base: float = 0.01
) -> str:
    """The sentence for evidence of (kind, title, event) with these values."""
    evidence = Evidence(tuple(EvidenceNode(k, t.lower(), 1.0, e) for k, t, e in nodes))
    references = [NodeRef(k, t.lower(), t) for k, t, _ in nodes]
    terms = [term("s", values)] if values else []
    return sentence(exact(base, *terms), 0, evidence, references, EVENTS)


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


def test_contributions_of_equal_size_have_one_order() -> None:
    nodes = [NodeRef("item", name) for name in "abc"]
    parts = exact(0.0, term("z", {2: 1.0, 0: -1.0}), term("a", {1: 1.0}))
    listed, _ = contributions(parts, 0, nodes, limit=9)
    assert [(c.signal, c.evidence.id) for c in listed] == [("a", "b"), ("z", "a"), ("z", "c")]


def test_each_item_has_its_own_column() -> None:
    values = np.array([[1.0, 0.0, -2.0], [0.5, 0.25, 4.0]])
    parts = ExactScores(
        np.array([4, 0, 9]), (Term("s", np.array([1, 0]), np.ones(2), values),),
        np.array([0.1, 0.2, 0.3]),
    )  # fmt: skip
    np.testing.assert_allclose(parts.scores, [1.6, 0.45, 2.3])
    listed, remainder = contributions(
        parts, 2, [NodeRef("item", "a"), NodeRef("item", "b")], limit=1
    )
    assert [(c.evidence.id, c.value) for c in listed] == [("a", 4.0)]
    assert remainder == pytest.approx(-1.7)


def test_strongest_evidence_is_named_first_and_at_most_three() -> None:
    nodes = [("item", name, "listen") for name in ("Abba", "Blur", "Cher", "Devo")]
    text = said(nodes, {0: 0.1, 1: 0.9, 2: 0.3, 3: 0.2})
    assert text == "Because you listened to Blur, Cher and Devo."


def test_verb_is_that_of_the_event_and_an_unknown_event_has_one() -> None:
    nodes = [("item", "Abba", "listen"), ("item", "Blur", "purchase"), ("item", "Cher", "blip")]
    assert said(nodes, {0: 0.3, 1: 0.2, 2: 0.1}) == (
        "Because you listened to Abba, you bought Blur and you interacted with Cher."
    )


def test_signals_of_one_piece_of_evidence_are_taken_together() -> None:
    evidence = Evidence((EvidenceNode("item", "a", 1.0), EvidenceNode("item", "b", 1.0)))
    references = [NodeRef("item", "a", "A"), NodeRef("item", "b", "B")]
    parts = exact(0.0, term("x", {0: 0.6, 1: 0.5}), term("y", {1: 0.4}))
    assert sentence(parts, 0, evidence, references, EVENTS) == (
        "Because you interacted with B and A."
    )


def test_people_are_counted_and_never_named() -> None:
    one = said([("user", "Secret Person", None)], {0: 1.0})
    assert one == "Because 1 person you follow chose it too."
    many = said([("user", f"Secret {n}", None) for n in range(5)], dict.fromkeys(range(5), 0.5))
    assert many == "Because 5 people you follow chose it too."


def test_all_kinds_in_one_sentence() -> None:
    nodes = [("category", "Pop", None), ("user", "Secret", None), ("item", "Abba", "listen")]
    assert said(nodes, {0: 0.5, 1: 0.5, 2: 0.5}) == (
        "Because you listened to Abba, you like Pop and 1 person you follow chose it too."
    )


def test_what_hardly_counts_or_speaks_against_it_is_not_named() -> None:
    nodes = [("item", "Abba", "listen"), ("item", "Blur", "listen"), ("category", "Pop", None)]
    assert said(nodes, {0: 1.0, 1: 0.001, 2: -0.5}) == "Because you listened to Abba."


def test_a_node_without_a_title_goes_by_its_id() -> None:
    evidence = Evidence((EvidenceNode("item", "i55", 1.0, "listen"),))
    parts = exact(0.0, term("s", {0: 1.0}))
    assert sentence(parts, 0, evidence, [NodeRef("item", "i55")], EVENTS) == (
        "Because you listened to i55."
    )


def test_without_reasons_it_is_popular() -> None:
    assert said([], {}) == POPULAR
    assert said([("item", "Abba", "listen")], {}) == POPULAR
    assert said([("item", "Abba", "listen")], {0: -1.0}) == POPULAR
    assert said([("item", "Abba", "listen")], {0: 0.001}, base=5.0) == (
        "It fits many things you like a little."
    )
