import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
import structlog
from hypothesis import given
from hypothesis import strategies as st

from loaders.types import IdMap
from recsvc.answer import NodeRef
from recsvc.blend.blend import Blend, Term
from recsvc.commands.connecting import make_engine
from recsvc.event_kinds import default_events
from recsvc.evidence import Evidence, EvidenceKind, EvidenceNode, item_evidence
from recsvc.explain.sentence import LONGEST_NAME, sentences, shown_name
from recsvc.phrases import TextSettings
from recsvc.recommend.query import RecommendationQuery
from recsvc.settings import Settings
from recsvc.snapshot.arrays import Snapshot, pack
from recsvc.snapshot.folders import folder_name, unpack
from tests.exact_scores import exact_scores

ENGLISH = TextSettings()
ROOT = Path(__file__).parents[3]


@dataclass
class Said:
    """One piece of evidence and what it adds to the item; `type` of event or of category."""

    kind: EvidenceKind
    title: str
    value: float
    type: str | None = None
    weight: float = 1.0
    signal: str = "s"


def say(
    *parts: Said, base: float = 0.01, text: TextSettings = ENGLISH, people: str | None = None
) -> str:
    evidence = Evidence(
        tuple(
            EvidenceNode(p.kind, p.title.lower(), p.weight, p.type)
            if p.kind == "item"
            else EvidenceNode(p.kind, p.title.lower(), p.weight, category_kind=p.type)
            for p in parts
        )
    )
    references = [NodeRef(p.kind, p.title.lower(), p.title) for p in parts]
    terms = [
        Term(signal, np.array(positions), np.ones(len(positions)),
             np.array([[parts[p].value] for p in positions]))
        for signal in dict.fromkeys(p.signal for p in parts)
        if (positions := [n for n, p in enumerate(parts) if p.signal == signal])
    ]  # fmt: skip
    exact = exact_scores(np.array([7]), tuple(terms), np.array([base]))
    (said,) = sentences(exact, evidence, references, text, people_event=people)
    return said


def listens(**values: float) -> list[Said]:
    return [Said("item", title, value, "listen") for title, value in values.items()]


def followed(count: int, value: float = 0.2, signal: str = "followed_user_item") -> list[Said]:
    return [Said("user", f"Secret {n}", value, signal=signal) for n in range(count)]


# --- what is named ----------------------------------------------------------------------------


def test_the_sentence_of_the_contract() -> None:
    heard = [Said("item", name, 1.0, "listen") for name in ("Kylie Minogue", "Madonna")]
    assert say(*heard, *followed(3), people="listen") == (
        "Because you listened to Kylie Minogue and Madonna, and 3 people you follow listen to it."
    )


def test_strongest_evidence_is_named_first_and_at_most_three() -> None:
    text = say(*listens(Abba=0.1, Blur=0.9, Cher=0.3, Devo=0.2))
    assert text == "Because you listened to Blur, Cher and Devo."


def test_each_kind_of_event_has_its_words_and_an_unknown_one_the_general_ones() -> None:
    parts = [
        Said("item", "Abba", 0.4, "cart"),
        Said("item", "Blur", 0.3, "blip"),
        Said("item", "Cher", 0.2, None),
    ]
    assert say(*parts) == (
        "Because you put Abba in the cart, and you interacted with Blur and Cher."
    )


def test_what_speaks_by_its_description_says_so() -> None:
    by_content = Said("item", "Abba", 0.6, "listen", signal="content")
    text = say(by_content, Said("item", "Blur", 0.4, "listen"))
    assert text == ("Because its description is similar to that of Abba, and you listened to Blur.")


@pytest.mark.parametrize(
    ("content", "others", "said"),
    [
        (0.3, 0.2, "its description is similar to that of Abba"),
        (0.2, 0.3, "you listened to Abba"),
        (-0.1, 0.3, "you listened to Abba"),
        (0.3, -0.1, "its description is similar to that of Abba"),
    ],
)
def test_a_description_is_named_where_it_is_more_than_half(
    content: float, others: float, said: str
) -> None:
    """Of what one piece of evidence adds over all signals together."""
    evidence = Evidence((EvidenceNode("item", "abba", 1.0, "listen"),))
    terms = tuple(
        Term(name, np.array([0]), np.ones(1), np.array([[value]]))
        for name, value in (("content", content), ("lightgcn", others))
    )
    exact = exact_scores(np.array([7]), terms, np.array([0.01]))
    (text,) = sentences(exact, evidence, [NodeRef("item", "abba", "Abba")], ENGLISH)
    assert text == f"Because {said}."


def test_a_dislike_of_what_describes_itself_otherwise_is_a_dislike() -> None:
    text = say(Said("item", "Abba", 0.5, "dislike", weight=-1.0, signal="content"))
    assert text == "Because it is unlike Abba."


def test_a_kind_has_its_words_in_any_spelling() -> None:
    parts = [
        Said("item", "Abba", 0.4, "ADD-TO-CART"), Said("item", "Blur", 0.3, "Add To Cart"),
        Said("item", "Cher", 0.2, "Buy"),
    ]  # fmt: skip
    assert say(*parts) == "Because you put Abba and Blur in the cart, and you bought Cher."
    own = TextSettings(you={"Add-To-Cart": "you took {items} along"})
    assert say(parts[0], text=own) == "Because you took Abba along."
    assert say(*followed(2), people="PURCHASE") == "Because 2 people you follow bought it."


@pytest.mark.parametrize("kind", ["return", "dislike", "unlike", "thumbs_down", "remove_from_cart"])
def test_of_a_negative_kind_nobody_is_said_to_have_liked_anything(kind: str) -> None:
    (node,) = item_evidence([("abba", kind, 1.0, None)], default_events(), now=0.0)
    against = Said("item", "Abba", 0.5, node.event, weight=node.weight)
    assert say(against) == "Because it is unlike Abba."
    assert say(*followed(2), people=kind) == "Because 2 people you follow know it."


@pytest.mark.parametrize(
    ("kind", "names", "said"),
    [
        (None, ["Pop"], "you like Pop"),
        ("city", ["Rome"], "you like Rome"),
        ("tag", ["80s"], "you like the tag 80s"),
        ("tag", ["80s", "pop"], "you like the tags 80s and pop"),
        ("genre", ["Drama", "Noir", "War", "Film"], "you like the genres Drama, Noir and War"),
    ],
)
def test_each_kind_of_category_has_its_words(kind: str | None, names: list[str], said: str) -> None:
    values = [(name, 1.0 - n / 10) for n, name in enumerate(names)]
    assert say(*(Said("category", name, value, kind) for name, value in values)) == (
        f"Because {said}."
    )


def test_signals_of_one_piece_of_evidence_are_taken_together() -> None:
    evidence = Evidence((EvidenceNode("item", "a", 1.0), EvidenceNode("item", "b", 1.0)))
    references = [NodeRef("item", "a", "A"), NodeRef("item", "b", "B")]
    terms = (
        Term("x", np.array([0, 1]), np.ones(2), np.array([[0.6, 0.0], [0.5, 0.1]])),
        Term("y", np.array([1]), np.ones(1), np.array([[0.4, -0.3]])),
    )
    exact = exact_scores(np.array([7, 3]), terms, np.array([0.0, 0.5]))
    assert sentences(exact, evidence, references, ENGLISH) == [
        "Because you interacted with B and A.",
        "Ranked by its popularity.",
    ]


def test_an_item_that_mostly_says_what_is_next_is_named_so() -> None:
    heard = listens(Abba=1.0, Blur=0.9)
    parts = [*heard, Said("item", "Cher", 0.8, "listen", signal="transitions")]
    assert say(*parts) == (
        "Because you listened to Abba and Blur, and it is often next after Cher."
    )
    assert say(parts[2]) == "Because it is often next after Cher."


@pytest.mark.parametrize(
    ("part", "said"), [(0.6, "it is often next after"), (0.4, "you listened to")]
)
def test_more_than_half_of_what_an_item_adds_has_to_be_that(part: float, said: str) -> None:
    evidence = Evidence((EvidenceNode("item", "abba", 1.0, "listen"),))
    terms = tuple(
        Term(signal, np.array([0]), np.ones(1), np.array([[value]]))
        for signal, value in (("transitions", part), ("ridge", 1.0 - part))
    )
    exact = exact_scores(np.array([7]), terms, np.array([0.01]))
    (sentence,) = sentences(exact, evidence, [NodeRef("item", "abba", "Abba")], ENGLISH)
    assert sentence == f"Because {said} Abba."


def test_a_dislike_is_never_said_to_be_liked() -> None:
    parts = [
        Said("item", "Abba", 0.5, "purchase", weight=-1.0),
        Said("category", "Pop", 0.4, "tag", weight=-1.0),
        *listens(Blur=0.3),
    ]
    assert say(*parts) == "Because you listened to Blur, and it is unlike Abba and Pop."


def test_what_hardly_counts_or_speaks_against_it_is_not_named() -> None:
    parts = [*listens(Abba=1.0, Blur=0.001, Cher=-0.2), Said("category", "Pop", -0.5)]
    assert say(*parts) == "Because you listened to Abba."


def test_a_name_is_said_once() -> None:
    twins = [Said("item", "Queen", value, "listen") for value in (0.5, 0.4)]
    assert say(*twins) == "Because you listened to Queen."


# --- people -----------------------------------------------------------------------------------


def test_people_are_counted_and_what_they_did_is_said_only_where_it_is_known() -> None:
    assert say(*followed(1)) == "Because 1 person you follow knows it."
    assert say(*followed(5)) == "Because 5 people you follow know it."
    assert say(*followed(1), people="purchase") == "Because 1 person you follow bought it."
    assert say(*followed(2), people="blip") == "Because 2 people you follow know it."


def test_people_of_another_signal_are_not_said_to_have_done_anything() -> None:
    said = say(*followed(4, signal="followed_user_user_item"), people="listen")
    assert said == "Because it is linked to 4 people you follow."
    mixed = [*followed(2), *followed(4, 0.1, signal="pagerank")]
    assert say(*mixed, people="listen") == "Because 2 people you follow listen to it."
    weak = [*followed(2, 0.001), *followed(4, signal="pagerank")]
    assert say(*weak, people="listen") == "Because it is linked to 6 people you follow."


def test_only_people_who_add_something_are_counted_and_only_if_it_matters() -> None:
    assert say(*followed(3), *followed(2, 0.0)) == "Because 3 people you follow know it."
    assert say(*listens(Abba=1.0), *followed(3, 0.005)) == "Because you listened to Abba."
    assert say(*listens(Abba=1.0), *followed(5, 0.005)) == (
        "Because you listened to Abba, and 5 people you follow know it."
    )


# --- nothing to name --------------------------------------------------------------------------


def test_only_the_prior() -> None:
    assert say() == "Ranked by its popularity."
    assert say(*listens(Abba=0.0)) == "Ranked by its popularity."
    assert say(*listens(Abba=-0.1), base=0.5) == "Ranked by its popularity."
    assert say(*listens(Abba=0.001), base=5.0) == "Ranked by its popularity."


def test_what_is_mostly_popular_says_so() -> None:
    """By whether popularity is more than all that evidence adds, named or not."""
    parts = [*listens(Abba=0.3, Blur=0.2), *followed(2, 0.1), *listens(Cher=-0.4)]
    reasons = "you listened to Abba and Blur, and 2 people you follow know it."
    assert say(*parts, base=0.69) == f"Because {reasons}"
    assert say(*parts, base=0.71) == f"Popular, and a little because {reasons}"


def test_many_small_parts() -> None:
    small = [Said("item", f"i{n}", 0.01, "listen") for n in range(60)]
    assert say(*small, base=0.2) == "Many small things speak for it."
    assert say(*small, base=0.7) == "Ranked by its popularity."


def test_a_score_that_is_not_above_zero_has_no_reasons() -> None:
    assert say(*listens(Abba=0.5, Blur=-0.9)) == "On balance nothing speaks for it."
    assert say(base=0.0) == "On balance nothing speaks for it."


# --- names ------------------------------------------------------------------------------------


def test_a_node_without_a_title_goes_by_its_id() -> None:
    assert shown_name(NodeRef("item", "i55")) == "i55"
    assert shown_name(NodeRef("item", "i55", "")) == "i55"
    assert shown_name(NodeRef("item", "i55", " \n\u200e")) == "i55"
    assert shown_name(NodeRef("item", "\u202e", "\u200d")) == "…"


@pytest.mark.parametrize(
    "title",
    [
        "{user}",
        "{0.__class__}",
        "{items}",
        "{",
        "}}",
        "%s",
        "{{reasons}}",
        "$user",
        "\\1",
        "{!r:{}}",
    ],
)
def test_braces_of_a_title_stay_as_they_are(title: str) -> None:
    parts = [Said("item", title, 0.9, "listen"), Said("category", title, 0.8, "tag")]
    assert say(*parts) == f"Because you listened to {title}, and you like the tag {title}."


@pytest.mark.parametrize(
    ("title", "shown"),
    [
        ("two\r\nlines\tand\x85more\u2028end", "two lines and more end"),
        ("\x00nul\x1b[31m", "nul[31m"),
        ("abc\u202edcba\u202c \u2066x\u2069", "abcdcba x"),
        ("\ufeff\u200bAbba\u00ad", "Abba"),
        ("אבא\u200f", "אבא"),
        ("می\u200cروم", "می\u200cروم"),
        ("👩\u200d🎤", "👩\u200d🎤"),
        ("Sigur  Rós", "Sigur Rós"),
    ],
)
def test_a_name_is_on_one_line_and_turns_no_other_text_around(title: str, shown: str) -> None:
    assert shown_name(NodeRef("item", "i", title)) == shown


def test_a_long_name_is_cut() -> None:
    assert shown_name(NodeRef("item", "i", "x" * LONGEST_NAME)) == "x" * LONGEST_NAME
    assert shown_name(NodeRef("item", "i", "x" * 500)) == "x" * (LONGEST_NAME - 1) + "…"
    accent = "x" * (LONGEST_NAME - 2) + "e\u0301" + "x" * 9
    assert shown_name(NodeRef("item", "i", accent)) == "x" * (LONGEST_NAME - 2) + "…"


def test_a_name_that_ends_in_a_full_stop_needs_no_second_one() -> None:
    assert say(Said("item", "R.E.M.", 1.0, "listen")) == "Because you listened to R.E.M."


@given(st.text(max_size=600), st.text(min_size=1, max_size=40))
def test_any_name_is_one_short_line(title: str, identifier: str) -> None:
    shown = shown_name(NodeRef("item", identifier, title))
    assert shown
    assert len(shown) <= LONGEST_NAME
    assert shown.splitlines() == [shown]
    assert shown == shown.strip()
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2066-\u2069]", shown)
    assert shown_name(NodeRef("item", "i", shown)) == shown
    if title.isascii() and title.isprintable() and title.strip() == title != "":
        expected = " ".join(title.split())
        cut = expected[: LONGEST_NAME - 1].rstrip() + "…"
        assert shown == (expected if len(expected) <= LONGEST_NAME else cut)


# --- other languages --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def german() -> TextSettings:
    """The translation that docs/explanations.md shows."""
    page = (ROOT / "docs" / "explanations.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```toml\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    (block,) = [block for block in blocks if 'language = "de"' in block]
    return TextSettings.model_validate(tomllib.loads(block)["text"])


def test_the_translation_of_the_guide_says_every_sentence(german: TextSettings) -> None:
    everything = [
        *listens(Abba=0.9, Blur=0.8),
        Said("item", "Cher", 0.7, "blip"),
        Said("category", "Drama", 0.6, "genre"),
        Said("category", "Noir", 0.5, "genre"),
        Said("category", "80s", 0.4, "tag"),
        Said("item", "Devo", 0.3, "listen", weight=-1.0),
    ]
    assert say(*everything, *followed(3), text=german, people="listen") == (
        "Weil du Abba und Blur gehört hast, du mit Cher zu tun hattest, du die Genres Drama und "
        "Noir magst, du 80s magst, es das Gegenteil von Devo ist und 3 Menschen, denen du folgst, "
        "es hören."
    )
    assert say(*followed(1), text=german) == "Weil 1 Mensch, dem du folgst, es kennt."
    assert say(*followed(2, signal="s"), text=german) == (
        "Weil es mit 2 Menschen zusammenhängt, denen du folgst."
    )
    small = [Said("item", f"i{n}", 0.01, "listen") for n in range(60)]
    assert say(*small, text=german) == "Vieles spricht ein wenig dafür."
    assert say(text=german) == "Eingereiht nach Beliebtheit."
    assert say(base=0.0, text=german) == "Unterm Strich spricht nichts dafür."


def test_plural_forms_are_those_of_the_language(german: TextSettings) -> None:
    polish = german.model_copy(
        update={
            "language": "pl",
            "linked": {"one": "{count} osoba", "few": "{count} osoby", "other": "{count} osób"},
        }
    )
    said = [say(*followed(n, signal="s"), text=polish) for n in (1, 3, 5, 22)]
    assert said == ["Weil 1 osoba.", "Weil 3 osoby.", "Weil 5 osób.", "Weil 22 osoby."]


def test_names_are_joined_as_the_language_does() -> None:
    american = TextSettings(language="en-US")
    assert say(*listens(Abba=0.9, Blur=0.8, Cher=0.7), text=american) == (
        "Because you listened to Abba, Blur, and Cher."
    )


async def test_an_answer_is_worded_as_the_settings_say(
    tmp_path: Path, german: TextSettings
) -> None:
    made = Snapshot(
        versions={"hybrid": 1}, items=IdMap(["i1", "i2"]), categories=IdMap(()), users=IdMap(()),
        user_counts=np.zeros(0, np.int64), item_people=np.ones(2, np.int64),
        titles=("One", "Two"), available=np.ones(2, bool),
        in_category=sp.csr_matrix(np.zeros((2, 0), bool)),
        blend=Blend((), (), np.array([2, 1], np.float32), 0.1),
    )  # fmt: skip
    content, sha256 = pack(made)
    unpack(content, sha256, tmp_path / "snapshots" / folder_name(1, sha256))
    away = Settings(home=tmp_path, neo4j_uri="bolt://127.0.0.1:1", text=german)
    structlog.reset_defaults()  # a command may have left its own output, closed by now
    engine = make_engine(away, timeout_seconds=0.5)
    await engine.start()
    try:
        answer = await engine.recommend_for([], RecommendationQuery(k=2))
    finally:
        await engine.stop()
    said = [item.explanation.text for item in answer.items if item.explanation]
    assert said == ["Eingereiht nach Beliebtheit."] * 2
