"""Answers with a proof are made again from stored arrays alone, on a real Neo4j."""

import io
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from recsvc.answer import Contribution
from recsvc.errors import ProofError
from recsvc.recommend.engine import Engine
from recsvc.recommend.proof import ToldAnswer, told_answer
from tests.conftest import Served
from tests.integration.in_process import serving

pytestmark = pytest.mark.neo4j

Both = tuple[httpx.AsyncClient, Engine]
WEIGHED = {
    "weights": {"ridge": 0.5, "base": 2.0},
    "rules": [
        {"kind": "boost", "where": [{"property": "title", "exists": True}], "amount": 0.3},
    ],
}


@pytest.fixture
async def both(served: Served, tmp_path: Path) -> AsyncIterator[Both]:
    async with serving(served, tmp_path, fatigue=0.5) as (client, _, engine):
        yield client, engine


async def proven(client: httpx.AsyncClient, user: str, **asked: Any) -> bytes:
    path = f"/v1/users/{user}/recommendations"
    answer = await client.get(path, params={"explain": "full", "proof": True} | asked)
    assert answer.status_code == 200, answer.text
    return answer.content


@pytest.mark.parametrize(
    "asked",
    [
        {}, {"k": 50, "explain": "summary"}, {"explain": "none"}, {"diversity": 0.5},
        {"signal": "ridge"}, {"without": ["item:i3"]}, {"exclude_seen": False},
    ],
)  # fmt: skip
async def test_every_number_is_made_again_to_the_last_bit(both: Both, asked: dict[str, Any]):
    client, engine = both
    for user in ("u1", "u40", "u77"):
        told = told_answer(await proven(client, user, **asked))
        found = await engine.verify(told.proof, told.items)
        assert (found.wrong, found.off, found.items) == ((), 0.0, len(told.items))
        assert found.numbers > 3 * len(told.items)
        assert (found.weights != ()) == ("signal" in asked)
        assert found.after == (("diversity",) if "diversity" in asked else ())


async def test_so_are_what_rules_fatigue_and_live_rows_add_to(both: Both):
    client, engine = both
    (await client.put("/v1/scenarios/weighed", json=WEIGHED)).raise_for_status()
    events = [
        {"user_id": user, "item_id": item, "event_id": f"p {user} {item}"}
        for user, item in (("u1", "fresh"), ("u2", "fresh"), ("u2", "i7"), ("newcomer", "fresh"))
    ]
    (await client.post("/v1/events", json={"events": events})).raise_for_status()
    try:
        plain = orjson.loads(await proven(client, "u1"))
        shown = {"kind": "impression", "recommendation_id": plain["recommendation_id"]}
        outcome = shown | {"outcome_id": "p o", "item_id": plain["items"][0]["item_id"]}
        (await client.post("/v1/outcomes", json={"outcomes": [outcome]})).raise_for_status()
        after, live = set[str](), False
        for user in ("u1", "u2", "newcomer"):
            told = told_answer(await proven(client, user, scenario="weighed", k=30))
            found = await engine.verify(told.proof, told.items)
            assert (found.wrong, found.off) == ((), 0.0)
            assert set(found.weights) == {"ridge", "base"}
            after, live = after | set(found.after), live or told.proof.live is not None
        assert live
        assert after == {"rule", "fatigue"}
    finally:
        await client.delete("/v1/items/fresh")
        await client.delete("/v1/users/newcomer")
        await client.delete("/v1/scenarios/weighed")


async def test_a_list_for_stated_evidence_has_a_proof_too(both: Both):
    client, engine = both
    body = {"evidence": [{"item_id": "i1"}, {"item_id": "i8"}], "proof": True, "explain": "full"}
    answer = await client.post("/v1/recommendations", json=body)
    told = told_answer(answer.content)
    found = await engine.verify(told.proof, told.items)
    assert (found.wrong, found.off, found.items) == ((), 0.0, 10)
    plain = (await client.post("/v1/recommendations", json=body | {"proof": False})).json()
    assert "proof" not in plain


def _contribution(told: ToldAnswer) -> ToldAnswer:
    item = told.items[2]
    assert item.explanation is not None
    first, *others = item.explanation.contributions
    changed = Contribution(first.signal, first.evidence, first.value * (1 + 1e-6))
    explained = replace(item.explanation, contributions=(changed, *others))
    return told.model_copy(update={"items": [replace(item, explanation=explained)]})


def _score(told: ToldAnswer) -> ToldAnswer:
    item = replace(told.items[0], score=told.items[0].score + 1e-6)
    return told.model_copy(update={"items": [item, *told.items[1:]]})


def _part(told: ToldAnswer) -> ToldAnswer:
    signals = told.items[0].signals | {"magic": 0.0}
    return told.model_copy(update={"items": [replace(told.items[0], signals=signals)]})


def _stranger(told: ToldAnswer) -> ToldAnswer:
    return told.model_copy(update={"items": [replace(told.items[0], item_id="nowhere")]})


def _evidence(told: ToldAnswer) -> ToldAnswer:
    first, *others = told.proof.evidence
    nodes = (replace(first, weight=2 * first.weight), *others)
    return told.model_copy(update={"proof": replace(told.proof, evidence=nodes)})


def _weight(told: ToldAnswer) -> ToldAnswer:
    weights = told.proof.weights | {"base": 9.0}
    return told.model_copy(update={"proof": replace(told.proof, weights=weights)})


@pytest.mark.parametrize("change", [_contribution, _score, _part, _stranger, _evidence, _weight])
async def test_what_was_changed_afterwards_is_found(both: Both, change: Any):
    client, engine = both
    told = change(told_answer(await proven(client, "u40")))
    assert (await engine.verify(told.proof, told.items)).wrong


async def test_other_arrays_and_signals_are_no_proof(both: Both):
    client, engine = both
    told = told_answer(await proven(client, "u40"))
    with pytest.raises(ProofError, match="others by now"):
        await engine.verify(replace(told.proof, sha256="0" * 64), told.items)
    with pytest.raises(ProofError, match="'magic', which the version does not have"):
        await engine.verify(replace(told.proof, weights={"magic": 1.0, "base": 1.0}), told.items)


def test_the_commands(served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "answer.json"
    assert "Song" in served.run("recommend", "u40", "--proof", str(file), "-k", "5").stdout
    printed = file.read_text()
    found = served.run("verify", str(file))
    assert (found.returncode, "of 5 items are what version" in found.stdout) == (0, True)
    assert "to the last bit" in found.stdout
    document = orjson.loads(printed)
    document["items"][1]["signals"]["base"] += 0.1
    file.write_bytes(orjson.dumps(document))
    changed = served.run("verify", str(file))
    assert (changed.returncode, "base of" in changed.stderr) == (1, True)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(printed.encode())))
    assert served.run("verify", "-").returncode == 0
    file.write_text(served.run("recommend", "u40", "--json").stdout)
    without = served.run("verify", str(file))
    assert (without.returncode, "proof: " in without.stderr) == (1, True)
