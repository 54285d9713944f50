"""The OpenAPI document, as those read it who make a client of it."""

import shutil
import subprocess

import pytest

from tests.generated_client import made_client

pytestmark = pytest.mark.neo4j


@pytest.fixture
def generated_client(service, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    with made_client(service.client, tmp_path) as client:
        yield client


@pytest.mark.long
def test_a_generated_client_does_what_an_integrator_does_first(generated_client):
    models, ask = generated_client
    answer = ask("recommend", "u12", k=3, explain=models.RecommendExplain.FULL).parsed
    assert [item.rank for item in answer.items] == [1, 2, 3]
    first = answer.items[0]
    signals = first.signals.additional_properties
    assert sum(signals.values()) == pytest.approx(first.score, rel=1e-4)
    assert ask("explain", "u12", first.item_id).parsed.explanation.text == first.explanation.text

    shown = models.OutcomeIn(
        recommendation_id=answer.recommendation_id, item_id=first.item_id, kind="impression"
    )
    for new in (1, 0):
        told = ask("add_outcomes", body=models.OutcomesRequest(outcomes=[shown])).parsed
        assert (told.received, told.new, told.dropped) == (1, new, 0)
    event = models.EventIn(user_id="u12", item_id=first.item_id, event="listen", event_id="made 1")
    for new in (1, 0):
        posted = ask("add_events", body=models.EventsRequest(events=[event])).parsed
        assert (posted.received, posted.new) == (1, new)
    later = ask("recommend", "u12", k=3).parsed
    assert first.item_id not in {item.item_id for item in later.items}

    odd = "a/b ü?"
    assert ask("put_item", odd, body=models.ItemIn(title="Made", available=False)).parsed.id == odd
    put = ask("get_item", odd).parsed
    assert (put.item_id, put.title, put.available) == (odd, "Made", False)
    assert ask("delete_item", odd).status_code == 204
    gone = ask("get_item", odd)
    assert isinstance(gone.parsed, models.ProblemDocument)
    assert (gone.status_code, gone.parsed.status) == (404, 404)
    assert odd in gone.parsed.detail
    wrong = ask("recommend", "u12", k=0).parsed
    assert [error.location for error in wrong.errors] == [["query", "k"]]


@pytest.mark.long
@pytest.mark.skipif(shutil.which("npx") is None, reason="the linters are Node's, which is not here")
@pytest.mark.parametrize(
    "linter",
    [
        "@stoplight/spectral-cli@6.16.3 lint --ruleset ruleset.yaml --fail-severity hint",
        "@redocly/cli@2.77.0 lint",
    ],
)
def test_linters_of_openapi_find_nothing(service, tmp_path, linter):
    (tmp_path / "ruleset.yaml").write_text('extends: ["spectral:oas"]\n')
    (tmp_path / "openapi.json").write_bytes(service.client.get("/openapi.json").content)
    command = ["npx", "--yes", *linter.split(), "openapi.json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=600)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert "warning" not in said.replace("Deprecation warning: Node.js", "")
