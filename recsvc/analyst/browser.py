"""For Neo4j Browser: a guide, a style, and saved queries to drop in."""

import io
import zipfile
from collections.abc import Mapping, Sequence
from html import escape
from itertools import groupby
from typing import Any, Final

from recsvc.analyst.questions import Question
from recsvc.graph.pasteable_cypher import written_out

COLOURS: Final = {"User": "#F79767", "Item": "#4C8EDA", "Category": "#8DCC93"}
"""Of nodes; apart in grey too."""
CAPTIONS: Final = {
    "User": "{name} {user_id}",
    "Item": "{title} {item_id}",
    "Category": "{name} {category_id}",
    "SIMILAR": "{rank}",
    "INTERACTED": "{event}",
}
"""Of nodes and relationships. Browser leaves out what is missing, so the id stands for a title."""
_WIDTHS = {"INTERACTED": 2, "FOLLOWS": 1, "PREFERS": 1, "IN_CATEGORY": 1, "SIMILAR": 3}
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)


def runnable(question: Question, values: Mapping[str, Any]) -> str:
    """The question as a comment, and its query with values written out."""
    given = {name: values[name] for name in question.query.params}
    comments = "".join(f"// {line}\n" for line in (question.title, question.empty) if line)
    return f"{comments}{written_out(question.query, given)}"


def guide(questions: Sequence[Question], values: Mapping[str, Any]) -> str:
    """A guide as Browser's `:play` takes it: a slide for each topic, queries to click."""
    slides = [_slide("What the recommender's graph can tell", _INTRODUCTION)]
    for topic, members in groupby(questions, key=lambda question: question.topic):
        slides.append(_slide(topic, "".join(_entry(question, values) for question in members)))
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>recsvc</title></head>'
        '<body><article class="guide"><carousel class="deck container-fluid">\n'
        + "".join(slides)
        + "</carousel></article></body></html>\n"
    )


_INTRODUCTION = """
<p>Click a query and it stands in the editor. Values such as ids stand in the query: change them
there. Nothing here changes the graph.</p>
<p>(:User)-[:INTERACTED]->(:Item)-[:IN_CATEGORY]->(:Category), (:User)-[:FOLLOWS]->(:User),
(:User)-[:PREFERS]->(:Category), (:Item)-[:SIMILAR {model, score, rank}]->(:Item), and an
(:EmbeddingVersion) for each version of a model.</p>
<figure><pre class="pre-scrollable code runnable">CALL db.schema.visualization()</pre></figure>
""".replace("->", "-&gt;")


def _slide(heading: str, content: str) -> str:
    return (
        '<slide class="row-fluid"><div class="col-sm-12">'
        f"<h3>{escape(heading)}</h3>{content}</div></slide>\n"
    )


def _entry(question: Question, values: Mapping[str, Any]) -> str:
    note = f"<p>{escape(question.note)}</p>" if question.note else ""
    return (
        f"<h4>{escape(question.title)}</h4>{note}"
        '<figure><pre class="pre-scrollable code runnable">'
        f"{escape(runnable(question, values))}</pre></figure>\n"
    )


def style() -> str:
    """GraSS: how Browser draws the nodes and relationships."""
    rules = [
        "node {\n  diameter: 80px;\n  color: #D9D9D9;\n  border-color: #604A0E;\n"
        "  border-width: 2px;\n  text-color-internal: #2A2C34;\n  font-size: 12px;\n}",
        "relationship {\n  color: #A5ABB6;\n  shaft-width: 1px;\n  font-size: 8px;\n"
        "  padding: 3px;\n  text-color-external: #000000;\n  text-color-internal: #FFFFFF;\n"
        '  caption: "<type>";\n}',
    ]
    rules += [
        f'node.{label} {{\n  color: {colour};\n  defaultCaption: "<id>";\n'
        f'  caption: "{CAPTIONS[label]}";\n}}'
        for label, colour in COLOURS.items()
    ]
    rules += [
        f"relationship.{kind} {{\n  shaft-width: {width}px;\n"
        f'  caption: "{CAPTIONS.get(kind, "<type>")}";\n}}'
        for kind, width in _WIDTHS.items()
    ]
    return "\n\n".join(rules) + "\n"


def saved_queries(questions: Sequence[Question], values: Mapping[str, Any]) -> bytes:
    """A zip of `.cypher` files in folders, which Browser's drawer of favourites takes."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for question in questions:
            info = zipfile.ZipInfo(f"{question.topic}/{question.name}.cypher", _ZIP_TIME)
            archive.writestr(info, runnable(question, values) + "\n")
    return content.getvalue()
