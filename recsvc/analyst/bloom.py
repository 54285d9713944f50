"""A perspective for Neo4j Bloom: what is drawn how, and the questions as search phrases."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from recsvc.analyst.browser import CAPTIONS, COLOURS
from recsvc.analyst.questions import Question

_PROPERTIES = {
    "User": ("user_id", "name"),
    "Item": ("item_id", "title", "available", "created_at"),
    "Category": ("category_id", "name", "kind"),
}
_PATHS = (
    ("User", "INTERACTED", "Item"),
    ("User", "FOLLOWS", "User"),
    ("User", "PREFERS", "Category"),
    ("Item", "IN_CATEGORY", "Category"),
    ("Category", "SUBCATEGORY_OF", "Category"),
    ("Item", "SIMILAR", "Item"),
)
_SUGGESTED = {
    "user_id": ("User", "user_id"),
    "other_id": ("User", "user_id"),
    "item_id": ("Item", "item_id"),
}
_BLOOM_TYPES = {"str": "String", "int": "Integer", "float": "Float"}
_FORMAT = "2.3.0"


def perspective(questions: Sequence[Question], values: Mapping[str, Any]) -> str:
    """The perspective as Bloom imports it.

    Only the questions whose answers are paths become search phrases: Bloom draws nothing else.
    """
    drawn = [each for each in questions if "path" in each.query.returns.values()]
    document = {
        "name": "recsvc",
        "version": _FORMAT,
        "categories": [_category(at, label) for at, label in enumerate(_PROPERTIES, start=1)],
        "labels": {label: _label(label) for label in _PROPERTIES},
        "relationshipTypes": [{"id": kind, "name": kind} for _, kind, _ in _PATHS],
        "templates": [_phrase(at, each, values) for at, each in enumerate(drawn, start=1)],
        "hiddenRelationshipTypes": [],
        "hiddenCategories": [],
        "hideUncategorisedData": False,
        "palette": {"colors": list(COLOURS.values()), "currentIndex": len(COLOURS)},
        "sceneActions": [],
        "metadata": {
            "pathSegments": [
                {"source": start, "relationshipType": kind, "target": end}
                for start, kind, end in _PATHS
            ],
            "indexes": [],
        },
    }
    return json.dumps(document, indent=1) + "\n"


def _category(number: int, label: str) -> dict[str, Any]:
    return {
        "id": number,
        "name": label,
        "labels": [label],
        "color": COLOURS[label],
        "size": 1,
        "icon": "no-icon",
        "properties": [
            {"name": name, "exclude": False, "isCaption": name == CAPTIONS[label],
             "dataType": "string"}
            for name in _PROPERTIES[label]
        ],
        "styleRules": [],
        "caption": [CAPTIONS[label]],
    }  # fmt: skip


def _label(label: str) -> list[dict[str, str]]:
    return [
        {"propertyKey": name, "type": label, "dataType": "string"} for name in _PROPERTIES[label]
    ]


def _phrase(number: int, question: Question, values: Mapping[str, Any]) -> dict[str, Any]:
    """A search phrase; its parameters are those of the query, with a value to begin with."""
    params = question.query.params
    return {
        "id": f"recsvc:{number}",
        "name": question.title,
        "text": " ".join([question.title.removesuffix("?"), *(f"${name}" for name in params)]),
        "cypher": question.query.text,
        "isUpdateQuery": False,
        "params": [_parameter(name, kind, values[name]) for name, kind in params.items()],
    }


def _parameter(name: str, kind: str, value: Any) -> dict[str, Any]:
    label, key = _SUGGESTED.get(name, (None, None))
    return {
        "name": f"${name}",
        "dataType": _BLOOM_TYPES[kind],
        "suggestionLabel": label,
        "suggestionProp": key,
        "suggestionBoolean": False,
        "defaultValue": value,
        "cypher": None,
    }
