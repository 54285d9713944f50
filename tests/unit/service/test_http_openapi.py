"""The OpenAPI document against the contract."""

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator

from recsvc.service.documents import RecommendationsDocument
from recsvc.service.problems import PROBLEM_JSON

CONTRACT = """
GET    /v1/users/{user_id}/recommendations
POST   /v1/recommendations
POST   /v1/recommendations/batch
GET    /v1/users/{user_id}/recommendations/{item_id}/explanation
GET    /v1/users/{user_id}/recommendations/{item_id}/recourse
GET    /v1/items/{item_id}/similar
GET    /v1/users/{user_id}/similar
GET    /v1/users/{user_id}/home
GET    /v1/users/{user_id}/export
POST   /v1/events
POST   /v1/outcomes
PUT    /v1/scenarios/{name}
GET    /v1/scenarios/{name}
DELETE /v1/scenarios/{name}
PUT    /v1/users/{id}
GET    /v1/users/{id}
DELETE /v1/users/{id}
PUT    /v1/items/{id}
GET    /v1/items/{id}
DELETE /v1/items/{id}
PUT    /v1/categories/{id}
GET    /v1/categories/{id}
DELETE /v1/categories/{id}
PUT    /v1/users/{id}/follows/{other_id}
DELETE /v1/users/{id}/follows/{other_id}
DELETE /v1/users/{id}/interactions/{item_id}
GET    /v1/models
POST   /v1/models/{model}/activate
POST   /v1/models/{model}/rollback
POST   /v1/refreshes
GET    /v1/refreshes/{id}
PUT    /v1/experiments/{name}
GET    /v1/experiments/{name}
DELETE /v1/experiments/{name}
GET    /v1/experiments/{name}/results
POST   /v1/experiments/{name}/stop
GET    /v1/exposure
GET    /health/live
GET    /health/ready
GET    /metrics
"""
"""The routes of CONTRACT §5 and §6."""

BEYOND = {
    "GET /v1/scenarios": "all of them",
    "POST /v1/scenarios/{name}/rollback": "an earlier revision",
    "POST /v1/scenarios/{name}/try": "what one would change",
    "GET /v1/refreshes/{id}/report": "the page of a run, for people",
    "GET /v1/users": "the page at /",
    "GET /v1/items": "the page at /",
    "GET /v1/categories": "the page at /",
    "GET /v1/users/{user_id}/evidence": "the page at /",
    "GET /v1/items/{item_id}/audience": "the page at /",
    "GET /v1/items/{item_id}/recourse": "recourse for who sells the item",
    "GET /v1/refreshes": "the page at /",
    "GET /v1/experiments": "which there are",
    "GET /v1/me": "the page of a person",
    "DELETE /v1/me": "the page of a person",
    "GET /v1/me/evidence": "the page of a person",
    "DELETE /v1/me/evidence": "the page of a person",
    "GET /v1/me/recommendations": "the page of a person",
    "GET /v1/me/export": "the page of a person",
    "POST /v1/me/hidden": "the page of a person",
    "GET /v1/changes": "the feed of changes",
}
"""Routes that the contract does not have, and what for."""
OTHER_MEDIA = {"GET /metrics": "text/plain", "GET /v1/refreshes/{id}/report": "text/html"}

LATER = {}
"""Routes of the contract that do not exist yet, and why."""


def operations(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        f"{method.upper()} {path}": operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


def test_every_route_of_the_contract_is_there_or_comes_later(document: dict[str, Any]) -> None:
    contract = {re.sub(r" +", " ", line) for line in CONTRACT.strip().splitlines()}
    assert contract - operations(document).keys() == LATER.keys()
    assert operations(document).keys() - contract == BEYOND.keys()


def test_parameters_are_those_of_the_contract(document: dict[str, Any]) -> None:
    route = operations(document)["GET /v1/users/{user_id}/recommendations"]
    parameters = {each["name"]: each["schema"] for each in route["parameters"]}
    wanted = {"user_id", "k", "category", "exclude_seen", "explain", "diversity", "exclude"}
    assert parameters.keys() == wanted | {
        "without",
        "signal",
        "version",
        "scenario",
        "recommendation_id",
        "proof",
    }
    assert parameters["k"].items() >= {"default": 10, "minimum": 1, "maximum": 500}.items()
    assert parameters["exclude_seen"]["default"] is True
    assert parameters["explain"]["default"] == "summary"
    assert parameters["explain"]["enum"] == ["none", "summary", "full"]
    assert parameters["category"]["type"] == parameters["exclude"]["type"] == "array"


def test_the_body_has_the_same_options_as_the_query(document: dict[str, Any]) -> None:
    route = operations(document)["GET /v1/users/{user_id}/recommendations"]
    query = {each["name"] for each in route["parameters"]} - {"user_id"}
    body = document["components"]["schemas"]["EvidenceRequest"]["properties"]
    assert body.keys() == query | {"evidence"}


def test_every_answer_is_described(document: dict[str, Any]) -> None:
    for name, operation in operations(document).items():
        answers = operation["responses"]
        assert operation["description"], name
        done = "204" if name.startswith("DELETE") else "200"
        done = "202" if name == "POST /v1/refreshes" else done
        assert {done, "500"} <= answers.keys(), name
        assert {"421", "422"} <= answers.keys()
        assert ("413" in answers) == ("requestBody" in operation)
        for status, answer in answers.items():
            if status == "204":
                assert "content" not in answer
                continue
            media = {PROBLEM_JSON} if status >= "400" else {"application/json"}
            if status == "200" and name in OTHER_MEDIA:
                media = {OTHER_MEDIA[name]}
            assert answer["content"].keys() == media, (name, status)


def test_operations_have_short_names(document: dict[str, Any]) -> None:
    names = [operation["operationId"] for operation in operations(document).values()]
    assert len(set(names)) == len(names)
    assert all(name.isidentifier() for name in names)


def test_schemas_have_short_names(document: dict[str, Any]) -> None:
    """Two of one name get those of their modules, and generators of clients make one of both."""
    assert [name for name in document["components"]["schemas"] if "__" in name] == []


def test_examples_are_true() -> None:
    extra = RecommendationsDocument.model_config["json_schema_extra"]
    assert isinstance(extra, dict)
    examples = extra["examples"]
    assert isinstance(examples, list)
    for example in examples:
        answer = RecommendationsDocument.model_validate(example)
        for item in answer.items:
            assert item.score == pytest.approx(sum(item.signals.values()))
            assert item.explanation is not None
            parts = [each.value for each in item.explanation.contributions]
            assert item.score == pytest.approx(sum(parts) + item.explanation.remainder)


async def test_it_is_served(client: httpx.AsyncClient, document: dict[str, Any]) -> None:
    response = await client.get("/openapi.json")
    assert response.json() == document
    assert (await client.get("/docs")).status_code == 200
    assert (await client.get("/redoc")).status_code == 404
    no_range = {"Range": "bytes=5-2"}
    assert (await client.get("/docs/swagger-ui.css", headers=no_range)).status_code == 200


def schemas(node: Any) -> Iterator[dict[str, Any]]:
    """Everything in a document that is an object."""
    if isinstance(node, dict):
        yield node
        for part in node.values():
            yield from schemas(part)
    elif isinstance(node, list):
        for part in node:
            yield from schemas(part)


def test_what_tools_for_openapi_ask_of_a_document(document: dict[str, Any]) -> None:
    """Spectral's rules for OpenAPI and Redocly's recommended ones find nothing where this holds."""
    assert document["servers"]
    assert document["info"]["contact"]
    assert document["info"]["license"]["identifier"] == "MIT"
    tags = {tag["name"] for tag in document["tags"]}
    ids: list[str] = []
    for name, operation in operations(document).items():
        assert set(operation["tags"]) <= tags, name
        assert operation["summary"], name
        assert operation["description"], name
        assert bool(operation["security"]) == ("/health/" not in name), name
        assert (operation.get("x-key-scope") is not None) == bool(operation["security"])
        assert any(status.startswith("2") for status in operation["responses"]), name
        ids.append(operation["operationId"])
    assert len(ids) == len(set(ids))


def test_the_document_is_valid(document: dict[str, Any]) -> None:
    from openapi_spec_validator import validate

    assert document["openapi"].startswith("3.1")
    validate(document)


def test_patterns_are_such_as_browsers_read(document: dict[str, Any]) -> None:
    patterns = [
        each["pattern"] for each in schemas(document) if isinstance(each.get("pattern"), str)
    ]
    assert patterns
    assert not [pattern for pattern in patterns if re.search(r"\(\?[^:=!<]|\\[AZz]", pattern)]


def test_an_example_is_what_its_schema_says(document: dict[str, Any]) -> None:
    examples = 0
    for name, schema in document["components"]["schemas"].items():
        whole = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
        for example in schema.get("examples", ()):
            Draft202012Validator(whole).validate(example)
            examples += 1
    assert examples
