"""The sentence: nothing that the numbers do not carry, nobody by name."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from recsvc.answer import NodeRef
from recsvc.blend.blend import Term
from recsvc.evidence import EVIDENCE_KINDS, Evidence, EvidenceNode
from recsvc.explain.contributions import ExactScores
from recsvc.explain.sentence import LEAST_SHARE, sentences
from recsvc.phrases import TextSettings
from tests.exact_scores import exact_scores

N_ITEMS = 3
MARKED = TextSettings(
    you={"interaction": "DID {items}", "listen": "HEARD {items}", "view": "VIEWED {items}"},
    like={"category": "LIKES {categories}"},
    unlike="UNLIKE {names}",
    people={"interaction": {"one": "KNOWN {count}", "other": "KNOWN {count}"}},
    linked={"one": "LINKED {count}", "other": "LINKED {count}"},
    because="BECAUSE {reasons}",
    mostly_popular="MOSTLY {reasons}",
    many="MANY",
    popular="POPULAR",
    nothing="NOTHING",
)
CLAIMS = {None: "DID", "listen": "HEARD", "view": "VIEWED"}
# Binary fractions add up exactly in any order.
VALUE = st.sampled_from([-2.0, -0.25, 0.0, 0.0, 2.0**-9, 0.125, 0.5, 1.0, 3.0])


@st.composite
def cases(draw: st.DrawFn) -> tuple[ExactScores, Evidence]:
    kinds = draw(st.lists(st.sampled_from(EVIDENCE_KINDS), max_size=12))
    nodes = tuple(
        EvidenceNode(
            kind, f"{kind}{n}", 1.0 if kind == "user" else draw(st.sampled_from([1.0, 0.5, -1.0])),
            draw(st.sampled_from(["listen", "view", None])) if kind == "item" else None,
        )
        for n, kind in enumerate(kinds)
    )  # fmt: skip
    terms: list[Term] = []
    for signal in ("one", "two", "followed_user_item"):
        positions = [
            n for n, node in enumerate(nodes)
            if (signal != "followed_user_item" or node.kind == "user") and draw(st.booleans())
        ]  # fmt: skip
        values = [[draw(VALUE) for _ in range(N_ITEMS)] for _ in positions]
        if signal == "followed_user_item":
            values = [[max(value, 0.0) for value in row] for row in values]
        terms.append(
            Term(signal, np.array(positions, np.int64), np.ones(len(positions)),
                 np.array(values, float).reshape(len(positions), N_ITEMS))
        )  # fmt: skip
    base = np.array([draw(st.sampled_from([0.0, 0.0625, 1.0])) for _ in range(N_ITEMS)])
    return exact_scores(np.arange(N_ITEMS), tuple(terms), base), Evidence(nodes)


@dataclass
class Carried:
    """What the numbers say about one item, added up one by one."""

    score: float
    base: float
    adds: dict[str, float]
    least: float
    by_interaction: set[str]
    said: str

    def real(self, name: str) -> bool:
        return self.adds.get(name, 0.0) >= self.least > 0

    @property
    def reasons(self) -> bool:
        return self.said.startswith(("BECAUSE ", "MOSTLY "))


def carried(exact: ExactScores, evidence: Evidence) -> Iterator[Carried]:
    """Each item's oracle, with the sentence it got."""
    nodes = [NodeRef(node.kind, node.id, f"<{node.id}>") for node in evidence.nodes]
    for item, said in enumerate(sentences(exact, evidence, nodes, MARKED)):
        base = float(exact.base[item])
        total = dict.fromkeys((node.id for node in nodes), 0.0)
        by_interaction: set[str] = set()
        for term in exact.terms:
            for position, value in zip(term.position, term.values[:, item], strict=True):
                total[nodes[position].id] += float(value)
                if term.signal == "followed_user_item" and value > 0:
                    by_interaction.add(str(nodes[position].id))
        adds = {str(name): value for name, value in total.items() if value > 0}
        least = LEAST_SHARE * (sum(adds.values()) + base)
        yield Carried(sum(total.values()) + base, base, adds, least, by_interaction, said)


def claim_of(node: EvidenceNode) -> str:
    if node.weight < 0:
        return "UNLIKE"
    return "LIKES" if node.kind == "category" else CLAIMS[node.event]


def crowds(item: Carried, evidence: Evidence) -> list[tuple[str, str]]:
    """The claim about people that the numbers carry, the stronger one; none or one."""
    people = [n.id for n in evidence.nodes if n.kind == "user" and n.id in item.adds]
    known = [name for name in people if name in item.by_interaction]
    return [
        (claim, str(len(group)))
        for claim, group in (("KNOWN", known), ("LINKED", people))
        if group and sum(item.adds[name] for name in group) >= item.least
    ][:1]


@given(cases())
def test_every_name_is_evidence_with_a_real_share_and_nobody_is_named(
    case: tuple[ExactScores, Evidence],
) -> None:
    for item in carried(*case):
        assert "user" not in item.said
        for node in case[1].nodes:
            if f"<{node.id}>" in item.said:
                assert item.score > 0
                assert item.real(node.id)
                before = item.said[: item.said.index(f"<{node.id}>")]
                assert re.findall(r"[A-Z]+", before)[-1] == claim_of(node)


@given(cases())
def test_the_strongest_of_each_claim_are_named(case: tuple[ExactScores, Evidence]) -> None:
    for item in carried(*case):
        groups: dict[str, list[str]] = {}
        for node in case[1].nodes:
            if node.kind != "user" and item.real(node.id):
                groups.setdefault(node.kind if node.weight > 0 else "unlike", []).append(node.id)
        for group in groups.values() if item.score > 0 else ():
            named = [name for name in group if f"<{name}>" in item.said]
            unnamed = [item.adds[name] for name in group if name not in named]
            assert len(named) == min(3, len(group))
            assert max(unnamed, default=0) <= min(item.adds[name] for name in named)


@given(cases())
def test_people_are_those_who_add_to_the_item(case: tuple[ExactScores, Evidence]) -> None:
    for item in carried(*case):
        counted = re.findall(r"(KNOWN|LINKED) (\d+)", item.said)
        assert counted == (crowds(item, case[1]) if item.score > 0 else [])


@given(cases())
def test_without_a_reason_the_sentence_says_what_there_is(
    case: tuple[ExactScores, Evidence],
) -> None:
    for item in carried(*case):
        named = any(node.kind != "user" and item.real(node.id) for node in case[1].nodes)
        if item.score <= 0:
            assert item.said == "NOTHING"
        elif named or crowds(item, case[1]):
            assert item.reasons
        else:
            assert item.said == ("MANY" if sum(item.adds.values()) > item.base else "POPULAR")
