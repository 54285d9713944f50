"""Answers with a proof are made again from stored arrays alone, on a real Neo4j."""

import io
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import orjson
import pytest

from recsvc.answer import Contribution
from recsvc.errors import ProofError, SnapshotError
from recsvc.evidence import LiveRows
from recsvc.recommend.engine import Engine
from recsvc.recommend.proof import ToldAnswer, told_answer, verify
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
        {"exclude": ["i3", "i9"]}, {"k": 500},
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
        assert found.after == ()
        assert found.ranked == len((await engine.snapshot_now(()))[0].items)


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
            assert found.ranked is None
            after, live = after | set(found.after), live or told.proof.live is not None
            told = told_answer(await proven(client, user, k=30, diversity=0.3))
            found = await engine.verify(told.proof, told.items)
            assert (found.wrong, found.off, found.after) == ((), 0.0, ())
            assert any("fatigue" in item.signals for item in told.items) == (user == "u1")
        assert live
        assert after == {"rule", "fatigue"}
    finally:
        await client.delete("/v1/items/fresh")
        await client.delete("/v1/users/newcomer")
        await client.delete("/v1/scenarios/weighed")


async def test_a_list_is_ranked_again_as_it_was_whatever_was_written_since(both: Both):
    client, engine = both

    async def add(*items: str) -> None:
        events = [{"user_id": "late", "item_id": i, "event_id": f"late {i}"} for i in items]
        (await client.post("/v1/events", json={"events": events})).raise_for_status()

    await add("i1", "i8")
    before = told_answer(await proven(client, "late", diversity=0.3))
    gone, *done = [each.item_id for each in before.items]
    title = {"title": before.items[0].title}
    try:
        await add(*done[:4])
        (await client.put("/v1/users/late/follows/u41")).raise_for_status()
        (await client.delete("/v1/users/late/interactions/i8")).raise_for_status()
        put = await client.put(f"/v1/items/{gone}", json=title | {"available": False})
        put.raise_for_status()
        after = told_answer(await proven(client, "late", diversity=0.3))
        assert [each.item_id for each in after.items] != [gone, *done]
        assert after.proof.order is not None
        assert gone in after.proof.order.left_out
        for told in (before, after):
            found = await engine.verify(told.proof, told.items)
            assert (found.wrong, found.off, found.after) == ((), 0.0, ())
            assert found.ranked
    finally:
        await client.put(f"/v1/items/{gone}", json=title)
        await client.delete("/v1/users/late")


async def test_what_came_back_since_the_refresh_is_ranked_again_too(both: Both):
    client, engine = both
    told = told_answer(await proven(client, "u40"))
    snapshot = engine.snapshot
    none = replace(snapshot, available=np.zeros(len(snapshot.items), bool))
    assert verify(none, told.proof, told.items).wrong == ()


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


def _infinite(told: ToldAnswer) -> ToldAnswer:
    first = told.items[0]
    signals = first.signals | {"rule": float("inf")}
    item = replace(first, signals=signals, score=float("inf"), explanation=None)
    return told.model_copy(update={"items": [item, *told.items[1:]]})


def _stranger(told: ToldAnswer) -> ToldAnswer:
    return told.model_copy(update={"items": [replace(told.items[0], item_id="nowhere")]})


def _evidence(told: ToldAnswer) -> ToldAnswer:
    first, *others = told.proof.evidence
    nodes = (replace(first, weight=2 * first.weight), *others)
    return told.model_copy(update={"proof": replace(told.proof, evidence=nodes)})


def _weight(told: ToldAnswer) -> ToldAnswer:
    weights = told.proof.weights | {"base": 9.0}
    return told.model_copy(update={"proof": replace(told.proof, weights=weights)})


def _signal_left_out(told: ToldAnswer) -> ToldAnswer:
    weights = {k: v for k, v in told.proof.weights.items() if k != "ridge"}
    return told.model_copy(update={"proof": replace(told.proof, weights=weights)})


def _cancelling(told: ToldAnswer) -> ToldAnswer:
    first = told.items[0]
    signals = first.signals | {"rule": 1e12, "fatigue": -1e12}
    lie = replace(first, signals=signals, score=first.score + 1.0)
    return told.model_copy(update={"items": [lie, *told.items[1:]]})


def _twice(told: ToldAnswer) -> ToldAnswer:
    again = replace(told.items[0], rank=2)
    return told.model_copy(update={"items": [told.items[0], again, *told.items[2:]]})


def _rank(told: ToldAnswer) -> ToldAnswer:
    items = [replace(told.items[0], rank=2), *told.items[1:]]
    return told.model_copy(update={"items": items})


def _passed_over(told: ToldAnswer) -> ToldAnswer:
    """The best item is left out, and all others go up by one."""
    items = [replace(each, rank=rank) for rank, each in enumerate(told.items[1:], 1)]
    return told.model_copy(update={"items": items})


def _swapped(told: ToldAnswer) -> ToldAnswer:
    first, second, *others = told.items
    items = [replace(second, rank=1), replace(first, rank=2), *others]
    return told.model_copy(update={"items": items})


def _listed_though_left_out(told: ToldAnswer) -> ToldAnswer:
    assert told.proof.order is not None
    order = replace(told.proof.order, left_out=(told.items[3].item_id,))
    return told.model_copy(update={"proof": replace(told.proof, order=order)})


def _newcomers_reasons(told: ToldAnswer) -> ToldAnswer:
    item = told.items[0]
    assert item.explanation is not None
    explained = replace(item.explanation, remainder=3.0)
    lie = replace(item, item_id="new", score=0.0, signals={"base": 0.0}, explanation=explained)
    return told.model_copy(update={"items": [lie, *told.items[1:]]})


CHANGES = [
    _contribution, _score, _part, _infinite, _stranger, _evidence, _weight, _signal_left_out,
    _cancelling, _twice, _rank, _newcomers_reasons, _passed_over, _swapped,
    _listed_though_left_out,
]  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
async def test_what_was_changed_afterwards_is_found(both: Both, change: Any):
    client, engine = both
    told = change(told_answer(await proven(client, "u40")))
    assert (await engine.verify(told.proof, told.items)).wrong


async def test_other_arrays_and_signals_are_no_proof(both: Both):
    client, engine = both
    told = told_answer(await proven(client, "u40"))
    with pytest.raises(ProofError, match="others by now"):
        await engine.verify(replace(told.proof, sha256="0" * 64), told.items)
    with pytest.raises(ProofError, match="names no arrays"):
        await engine.verify(replace(told.proof, sha256=None), told.items)
    assert told.proof.order is not None
    with pytest.raises(ProofError, match="k 0 and diversity"):
        await engine.verify(replace(told.proof, order=replace(told.proof.order, k=0)), told.items)
    rows = LiveRows((), {"item": ["i1"]}, {name: {} for name in told.proof.weights})
    with pytest.raises(ProofError, match="read live are none"):
        await engine.verify(replace(told.proof, live=rows), told.items)
    with pytest.raises(ProofError, match="'magic', which the version does not have"):
        await engine.verify(replace(told.proof, weights={"magic": 1.0, "base": 1.0}), told.items)


async def test_a_list_longer_than_any_is_refused(both: Both) -> None:
    document = orjson.loads(await proven(both[0], "u40"))
    document["items"] *= 51
    with pytest.raises(ProofError, match="at most 500 items"):
        told_answer(orjson.dumps(document))
    with pytest.raises(ProofError, match="no answer with a proof"):
        told_answer(b"[" * 1_000_000)


async def test_arrays_that_were_changed_on_disk_prove_nothing(both: Both, tmp_path: Path) -> None:
    client, engine = both
    told = told_answer(await proven(client, "u40"))
    file = next(f for f in tmp_path.rglob("*.npy") if "ridge" in f.name)  # noqa: ASYNC240 - a test
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.unlink()  # the engine has the old one in memory
    file.write_bytes(content)
    with pytest.raises(SnapshotError, match="its SHA-256 is"):
        await engine.verify(told.proof, told.items)


def test_the_commands(served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "answer.json"
    assert "Song" in served.run("recommend", "u40", "--proof", str(file), "-k", "5").stdout
    printed = file.read_text()
    found = served.run("verify", str(file))
    assert (found.returncode, "of 5 items are what version" in found.stdout) == (0, True)
    assert "to the last bit" in found.stdout
    assert "ranked again among" in found.stdout
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
