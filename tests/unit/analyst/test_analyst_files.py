"""Files for analysts: every query stands in them as in its `.cypher` file."""

import ast
import io
import json
import re
import zipfile
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import nbformat
import pytest
from typer.testing import CliRunner

from loaders.shared_files import shared_path
from recsvc.analyst.kit import kit
from recsvc.analyst.questions import Question, questions, values
from recsvc.cli import app
from recsvc.settings import EventSettings

EVENTS = {"interaction": EventSettings(), "it's": EventSettings(exponent=0.3, half_life_days=9)}
QUESTIONS = {question.name: question for question in questions()}
GIVEN = values(EVENTS)
FILES = {name: each.content for name, each in kit(EVENTS).items()}


def fits(question: Question, text: str) -> bool:
    """Whether a text is the question and its query with something in place of each parameter."""
    comments = "".join(f"// {line}\n" for line in (question.title, question.empty) if line)
    pieces = re.split(r"\$\w+", question.query.text)
    pattern = ".+?".join(re.escape(piece) for piece in pieces)
    return bool(re.fullmatch(rf"{re.escape(comments)}{pattern}", text.strip(), re.DOTALL))


class Guide(HTMLParser):
    """Slides and runnable blocks of a guide."""

    def __init__(self) -> None:
        super().__init__()
        self.slides = 0
        self.blocks: list[str] = []
        self._open = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag not in ("script", "img", "link", "iframe")
        self.slides += tag == "slide"
        if tag == "pre" and "runnable" in (dict(attrs).get("class") or ""):
            self._open = True
            self.blocks.append("")

    def handle_endtag(self, tag: str) -> None:
        self._open = self._open and tag != "pre"

    def handle_data(self, data: str) -> None:
        if self._open:
            self.blocks[-1] += data


@pytest.fixture
def guide() -> Guide:
    parser = Guide()
    parser.feed(FILES["guide.html"].decode())
    return parser


@pytest.mark.parametrize("question", QUESTIONS.values(), ids=list(QUESTIONS))
def test_a_question_is_one_line_and_its_answer_bounded(question: Question) -> None:
    path = shared_path(f"cypher/analyst/{question.name}.cypher")
    assert path.read_text(encoding="utf-8").splitlines()[0] == f"// {question.title}"
    assert question.title.endswith("?")
    assert question.query.mode == "read"
    assert "apoc." not in question.query.text
    assert "gds." not in question.query.text
    bounded = {"limit", "steps"} & question.query.params.keys()
    # As many rows as there are kinds, or places in a list.
    known = {"coverage", "data_quality", "popularity_deciles", "rates_by_position"}
    assert bounded or question.name in known
    assert question.query.params.keys() <= GIVEN.keys()


@pytest.mark.parametrize("question", QUESTIONS.values(), ids=list(QUESTIONS))
def test_an_empty_answer_has_a_reason(question: Question) -> None:
    never_empty = {"data_quality", "funnel", "popularity_deciles"}  # there is a row for each kind
    assert bool(question.empty) != (question.name in never_empty)
    assert question.empty.startswith("Empty ") or not question.empty
    assert question.note.endswith(question.empty)
    if question.empty:
        document = nbformat.reads(FILES["questions.ipynb"].decode(), as_version=4)
        texts = [cell.source for cell in document.cells if cell.cell_type == "markdown"]
        assert any(question.title in text and question.empty in text for text in texts)


def test_the_guide_holds_every_question(guide: Guide) -> None:
    assert guide.slides == 1 + len({question.topic for question in QUESTIONS.values()})
    first, *blocks = guide.blocks
    assert first == "CALL db.schema.visualization()"
    for block, question in zip(blocks, QUESTIONS.values(), strict=True):
        assert fits(question, block), question.name
    (why,) = (block for block in blocks if block.startswith("// Why this item"))
    assert "(user:User {user_id: '2'})" in why
    assert "LIMIT 20" in why
    assert "$" not in why
    (score,) = (block for block in blocks if "item_user_item" in block.splitlines()[0])
    assert r"it\'s" not in score  # a name is a key here, not a text
    assert "`it's`: {weight: 1.0, exponent: 0.3, half_life_days: 9.0}" in score


def test_saved_queries_are_in_folders_of_their_topics() -> None:
    with zipfile.ZipFile(io.BytesIO(FILES["saved-queries.zip"])) as archive:
        found = {name: archive.read(name).decode() for name in archive.namelist()}
    assert found.keys() == {f"{q.topic}/{q.name}.cypher" for q in QUESTIONS.values()}
    for name, text in found.items():
        assert fits(QUESTIONS[Path(name).stem], text), name
    assert kit(EVENTS)["saved-queries.zip"].content == FILES["saved-queries.zip"]


def test_the_notebook_asks_every_question_with_its_values() -> None:
    document = nbformat.reads(FILES["questions.ipynb"].decode(), as_version=4)
    nbformat.validate(document)
    asked: dict[str, tuple[str, dict[str, Any]]] = {}
    heading = ""
    for cell in document.cells:
        if cell.cell_type == "markdown":
            heading = cell.source.splitlines()[0].removeprefix("### ")
        elif cell.source.startswith("ask("):
            (call,) = ast.parse(cell.source).body
            assert isinstance(call, ast.Expr)
            assert isinstance(call.value, ast.Call)
            text = ast.literal_eval(call.value.args[0])
            named = {k.arg or "": ast.literal_eval(k.value) for k in call.value.keywords}
            asked[heading] = text.strip(), named
    assert asked == {
        q.title: (q.query.text, {name: GIVEN[name] for name in q.query.params})
        for q in QUESTIONS.values()
    }


def test_the_style_has_a_caption_and_a_colour_for_each_label() -> None:
    rules = dict(re.findall(r"([\w.]+) \{\n(.*?)\n\}", FILES["style.grass"].decode(), re.DOTALL))
    assert {"node", "relationship", "relationship.SIMILAR"} <= rules.keys()
    names = {"User": ("name", "user_id"), "Item": ("title", "item_id"),
             "Category": ("name", "category_id")}  # fmt: skip
    colours = set[str]()
    for label, (name, identifier) in names.items():
        assert f'caption: "{{{name}}} {{{identifier}}}";' in rules[f"node.{label}"]
        colours.update(re.findall(r"  color: (#\w{6});", rules[f"node.{label}"]))
    assert len(colours) == 3


def test_the_guide_page_lists_every_question() -> None:
    page = shared_path("docs/analysts.md").read_text(encoding="utf-8")
    listed = dict(re.findall(r"^\| `(\w+)` \| (.+\?) \|$", page, re.MULTILINE))
    assert listed == {question.name: question.title for question in QUESTIONS.values()}
    tools = set(re.findall(r"^\| `([\w.-]+)` \| (?:Neo4j|Jupyter)", page, re.MULTILINE))
    assert tools == FILES.keys()


def test_install_writes_all_of_it_and_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECSVC_HOME", str(tmp_path))
    monkeypatch.setenv("RECSVC_PORT", "8123")
    done = CliRunner().invoke(app, ["analyst", "install", "--json"])
    told = json.loads(done.stdout)
    assert told.keys() == FILES.keys()
    for name, each in told.items():
        assert Path(each["file"]) == tmp_path / "analyst" / name
        assert (tmp_path / "analyst" / name).stat().st_size > 500
    assert ":play http://localhost:8123/analyst/guide.html" in told["guide.html"]["use"]
    assert ":style http://localhost:8123/analyst/style.grass" in told["style.grass"]["use"]
    other = CliRunner().invoke(app, ["analyst", "install", "--out", str(tmp_path / "a" / "b")])
    assert other.exit_code == 0
    assert str(tmp_path / "a" / "b" / "questions.ipynb") in other.stdout.replace("\n", "")


def test_an_address_that_is_not_local_cannot_be_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECSVC_HOME", str(tmp_path))
    done = CliRunner().invoke(app, ["analyst", "down", "--json"])
    assert json.loads(done.stdout) == {"stopped": False}
    nothing = CliRunner().invoke(app, ["analyst", "up"])
    assert "no graph in" in str(nothing.exception)
    monkeypatch.setenv("RECSVC_NEO4J_URI", "bolt://db.example.org")
    done = CliRunner().invoke(app, ["analyst", "up"])
    assert "db.example.org" in str(done.exception)
    assert "docs/analysts.md" in str(done.exception)
