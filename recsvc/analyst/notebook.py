"""The questions as a Jupyter notebook."""

import json
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from recsvc.analyst.questions import Question

_INTRODUCTION = """\
# What the recommender's graph can tell

It needs the packages `neo4j` and `polars`. The address of Neo4j, user and password come from
`RECSVC_NEO4J_URI`, `RECSVC_NEO4J_USER` and `RECSVC_NEO4J_PASSWORD`; a password that is not there
is asked for. Nothing here changes the graph."""

_CONNECT = '''\
import os
from getpass import getpass

import neo4j
import polars as pl

uri = os.environ.get("RECSVC_NEO4J_URI", "bolt://127.0.0.1:7687")
user = os.environ.get("RECSVC_NEO4J_USER", "neo4j")
password = os.environ.get("RECSVC_NEO4J_PASSWORD") or getpass(f"Password of {user} at {uri}: ")
driver = neo4j.GraphDatabase.driver(
    uri, auth=(user, password), notifications_min_severity="OFF"
)
driver.verify_connectivity()


def shown(value):
    """A path as the names along it, a time as Python's; everything else as it is."""
    if isinstance(value, neo4j.time.DateTime):
        return value.to_native()
    if not isinstance(value, neo4j.graph.Path):
        return value
    names = ("title", "name", "user_id", "item_id", "category_id")
    return " - ".join(
        next((str(node[name]) for name in names if node.get(name)), "?") for node in value.nodes
    )


def ask(question, empty="", **values):
    """The answer as a table; where it has no row, the reason is printed."""
    records, _, keys = driver.execute_query(
        question, values, routing_=neo4j.RoutingControl.READ
    )
    if not records:
        print(empty)
    columns = {key: [shown(record[key]) for record in records] for key in keys}
    return pl.DataFrame(columns, strict=False)'''


def notebook(questions: Sequence[Question], values: Mapping[str, Any]) -> str:
    """All questions as a notebook (nbformat 4): a heading, a note and a cell for each."""
    cells = [_cell("markdown", _INTRODUCTION), _cell("code", _CONNECT)]
    for topic, members in groupby(questions, key=lambda question: question.topic):
        cells.append(_cell("markdown", f"## {topic}"))
        for question in members:
            cells.append(_cell("markdown", f"### {question.title}\n\n{question.note}".rstrip()))
            cells.append(_cell("code", _asked(question, values)))
    cells.append(_cell("code", "driver.close()"))
    document = {
        "cells": [cell | {"id": f"cell-{number}"} for number, cell in enumerate(cells)],
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def _asked(question: Question, values: Mapping[str, Any]) -> str:
    """A call of `ask`, with each value on a line of its own to be changed."""
    given = "".join(f"    {name}={values[name]!r},\n" for name in question.query.params)
    empty = f"    {question.empty!r},\n" if question.empty else ""
    return f'ask(\n    r"""\n{question.query.text}\n""",\n{empty}{given})'


def _cell(kind: str, source: str) -> dict[str, Any]:
    cell: dict[str, Any] = {"cell_type": kind, "metadata": {}, "source": source.splitlines(True)}
    return cell | {"execution_count": None, "outputs": []} if kind == "code" else cell
