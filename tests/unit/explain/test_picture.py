"""The picture of an explanation: what stands in it, and that it needs no colour."""

import re
import struct
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path
from typer.testing import CliRunner

from recsvc.answer import (
    Answer,
    Contribution,
    Counterfactual,
    Explanation,
    NodeRef,
    PathRelationship,
    RankedItem,
)
from recsvc.answer import Path as GraphPath
from recsvc.cli import app
from recsvc.explain.picture import by_evidence, layered, write_picture

SVG = "{http://www.w3.org/2000/svg}"
ASKER, ITEM = NodeRef("user", "2"), NodeRef("item", "9", "Cher & <Co>")
BLUR, ABBA = NodeRef("item", "5", "Blur"), NodeRef("item", "6", "ABBA $100")
SOMEONE, FRIEND, TAG = NodeRef("user", None), NodeRef("user", "7"), NodeRef("category", "3", "pop")


def steps(*found: tuple[str, int, int]) -> tuple[PathRelationship, ...]:
    return tuple({"type": kind, "from": start, "to": end} for kind, start, end in found)


OWN = ("INTERACTED", 0, 1)
PATHS = (
    GraphPath(0.4, (ASKER, BLUR, SOMEONE, ITEM),
              steps(OWN, ("INTERACTED", 2, 1), ("INTERACTED", 2, 3))),
    GraphPath(0.3, (ASKER, BLUR, SOMEONE, ITEM),
              steps(OWN, ("INTERACTED", 2, 1), ("INTERACTED", 2, 3))),
    GraphPath(0.2, (ASKER, FRIEND, ITEM), steps(("FOLLOWS", 0, 1), ("INTERACTED", 1, 2))),
    GraphPath(-0.1, (ASKER, ABBA, TAG, ITEM),
              steps(OWN, ("IN_CATEGORY", 1, 2), ("IN_CATEGORY", 3, 2))),
)  # fmt: skip
EXPLANATION = Explanation(
    "Because you listened to Blur.",
    (
        Contribution("walk", BLUR, 0.5), Contribution("tags", BLUR, 0.25),
        Contribution("walk", ABBA, -0.125),
    ),
    0.375, PATHS, Counterfactual((BLUR,), "8"), "",
)  # fmt: skip
SIGNALS = {"walk": 0.625, "tags": 0.5, "base": -0.125}
ANSWER = Answer(
    "r", "2", 10, {}, (), 1.0,
    (RankedItem("9", ITEM.title, 1, 1.0, SIGNALS, EXPLANATION),),
)  # fmt: skip


def texts(file: Path) -> list[str]:
    root = ElementTree.parse(file).getroot()
    return ["".join(element.itertext()) for element in root.iter(f"{SVG}text")]


@pytest.fixture
def svg(tmp_path: Path) -> Path:
    write_picture(ANSWER, tmp_path / "why.svg")
    return tmp_path / "why.svg"


def test_paths_become_one_graph_in_layers() -> None:
    nodes, drawn = layered(PATHS)
    layers: dict[int, list[NodeRef]] = {}
    for node in nodes:
        layers.setdefault(node.layer, []).append(node.node)
    assert layers == {0: [ASKER], 1: [BLUR, FRIEND, ABBA], 2: [SOMEONE, SOMEONE, TAG], 3: [ITEM]}
    for layer in layers:
        heights = [node.height for node in nodes if node.layer == layer]
        assert heights == sorted(set(heights))
        assert sum(heights) / len(heights) == pytest.approx(0.5)
    named = {
        (step.kind, nodes[step.start].node.id, nodes[step.end].node.id): step.contribution
        for step in drawn if SOMEONE not in (nodes[step.start].node, nodes[step.end].node)
    }  # fmt: skip
    assert named == {
        ("INTERACTED", "2", "5"): pytest.approx(0.7), ("FOLLOWS", "2", "7"): 0.2,
        ("INTERACTED", "7", "9"): 0.2, ("INTERACTED", "2", "6"): -0.1,
        ("IN_CATEGORY", "6", "3"): -0.1, ("IN_CATEGORY", "9", "3"): -0.1,
    }  # fmt: skip
    assert len(drawn) == len(named) + 4


def test_evidence_and_the_rest_add_up_to_the_score() -> None:
    assert by_evidence(EXPLANATION) == [
        ("Blur", 0.75), ("ABBA $100", -0.125), ("everything else", 0.375)
    ]  # fmt: skip
    many = tuple(Contribution("s", NodeRef("item", str(n)), 1.0 + n) for n in range(30))
    shown = by_evidence(replace(EXPLANATION, contributions=many))
    assert len(shown) == 11
    assert shown[0] == ("item 29", 30.0)
    assert sum(value for _, value in shown) == pytest.approx(0.375 + sum(range(1, 31)))


def test_it_says_what_it_shows(svg: Path) -> None:
    words = texts(svg)
    assert "Why Cher & <Co> for user 2: score 1.0000" in words
    assert "Because you listened to Blur. Without Blur it would not be in the list." in words
    assert words.count("part of the score (1 points in all)") == 2
    assert words.count("someone") == 2
    for name in ("user 2", "user 7", "pop", "Blur", "ABBA $100", "Cher & <Co>"):
        assert name in words
    for signal, value in SIGNALS.items():
        assert signal in words
        assert f"{value:+.3f}" in words
    for number in ("+0.400", "+0.300", "+0.200", "-0.100"):
        assert number in words
    for legend in ("user", "item", "category", "INTERACTED", "FOLLOWS", "IN_CATEGORY"):
        assert legend in words
    assert "By signal (hatched: speaks against it)" in words


def test_it_needs_no_colour(svg: Path) -> None:
    text = svg.read_text(encoding="utf-8")
    for colour in set(re.findall(r"#[0-9a-f]{6}", text)):
        assert colour[1:3] == colour[3:5] == colour[5:7], colour
    dashes = set(re.findall(r"stroke-dasharray: ([\d.,]+)", text))
    assert {"10.5,4.5", "1.5,3"} <= dashes  # of the legend: long for FOLLOWS, dots for IN_CATEGORY


def test_the_same_answer_gives_the_same_file(svg: Path, tmp_path: Path) -> None:
    write_picture(ANSWER, tmp_path / "again.svg")
    assert (tmp_path / "again.svg").read_bytes() == svg.read_bytes()


def test_a_picture_without_paths_says_so(tmp_path: Path) -> None:
    bare = replace(ANSWER.items[0], explanation=replace(EXPLANATION, paths=(), counterfactual=None))
    write_picture(replace(ANSWER, user_id=None, items=(bare,)), tmp_path / "bare.svg")
    found = texts(tmp_path / "bare.svg")
    assert any(text.startswith("No path leads here") for text in found)
    assert "Why Cher & <Co> for this evidence: score 1.0000" in found
    assert "Because you listened to Blur." in found


@pytest.mark.parametrize("title", ["W" * 300, "a very long name of a band " * 9, "مرحبا بالعالم"])
def test_a_title_of_any_length_stays_within_the_picture(title: str, tmp_path: Path) -> None:
    first = replace(PATHS[0], nodes=tuple(replace(n, title=title) for n in PATHS[0].nodes))
    told = (Contribution("walk", replace(BLUR, title=title), 1e-5),)
    explanation = replace(EXPLANATION, text=f"Because you listened to {title}.", paths=(first,),
                          contributions=told)  # fmt: skip
    item = replace(ANSWER.items[0], title=title, explanation=explanation,
                   signals=SIGNALS | {"pagerank": 1.5e-5})  # fmt: skip
    write_picture(replace(ANSWER, items=(item,)), tmp_path / "long.svg")
    root = ElementTree.parse(tmp_path / "long.svg").getroot()
    words = texts(tmp_path / "long.svg")
    for text in words:
        width, _, _ = text_to_path.get_text_width_height_descent(
            text, FontProperties(size=13), False
        )
        assert width <= float(root.attrib["width"].removesuffix("pt")), text
    assert words.count("≈ 0") == 2
    assert not any("e-0" in text for text in words)
    start = title[:8].strip()
    assert sum(text.startswith(start) for text in words) >= 3  # two nodes and a bar


def test_png_is_large_enough_to_read(tmp_path: Path) -> None:
    write_picture(ANSWER, tmp_path / "why.png")
    content = (tmp_path / "why.png").read_bytes()
    assert content.startswith(b"\x89PNG\r\n")
    width, height = struct.unpack(">II", content[16:24])
    assert width > 1500
    assert height > 700


@pytest.mark.parametrize("name", ["why.pdf", "no/such/folder/why.svg"])
def test_a_file_that_cannot_be_drawn_is_wrong_usage(name: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["explain", "2", "9", "--picture", str(tmp_path / name)])
    assert done.exit_code == 2
    assert "--picture" in done.output
