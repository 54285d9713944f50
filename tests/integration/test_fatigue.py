"""Items that were shown and not acted on lose a part of their score, on a real Neo4j."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.conftest import QUICK, Served
from tests.integration.in_process import ask, check_sums, ids, serving, show
from tests.statement import statement

pytestmark = pytest.mark.neo4j

REFRESH_OPTIONS = QUICK
DROP = "MATCH (o:Outcome) DELETE o"
LEDGER = "MATCH (e:Event) WHERE e.event_id IN $events DELETE e"
ALL = 500


async def test_what_was_shown_in_vain_fades_exactly(served: Served, tmp_path: Path) -> None:
    statement(served.gateway, DROP)
    async with serving(served, tmp_path, 0.8) as (client, *_):
        whole = await ask(client, k=ALL)
        unseen = await ask(client, k=ALL, exclude_seen=False)
        spread = unseen["items"][0]["score"] - unseen["items"][99]["score"]
        first = ids(whole)
        times = {first[0]: 4, first[2]: 1, first[7]: 2}
        await show(client, whole, times, "impression")
        faded = await ask(client, k=ALL)
        lost = {item: -0.8 * (1 - 2.0**-n) * spread for item, n in times.items()}
        expected = {i["item_id"]: i["score"] + lost.get(i["item_id"], 0.0) for i in whole["items"]}
        assert len(ids(faded)) == len(first)
        for item in faded["items"]:
            assert item["score"] == pytest.approx(expected[item["item_id"]], abs=1e-4 * spread)
            part = item["signals"].get("fatigue", 0.0)
            assert part == pytest.approx(lost.get(item["item_id"], 0.0), abs=1e-3 * spread)
        scores = [item["score"] for item in faded["items"]]
        assert scores == sorted(scores, reverse=True)
        assert ids(faded).index(first[0]) > 3
        check_sums(faded)
        for k in (1, 3, 10):
            assert ids(await ask(client, k=k)) == ids(faded)[:k]
        said = {i["item_id"]: i["explanation"]["text"] for i in faded["items"]}
        assert said[first[0]].endswith(" Shown 4 times lately.")
        assert said[first[2]].endswith(" Shown 1 time lately.")
        assert "Shown" not in said[first[1]]
        path = f"/v1/users/u1/recommendations/{first[0]}/explanation"
        alone = (await client.get(path)).json()
        assert alone["rank"] == ids(faded).index(first[0]) + 1
        assert alone["score"] == pytest.approx(expected[first[0]], abs=1e-3 * spread)


async def test_a_counterfactual_holds_when_items_fade(served: Served, tmp_path: Path) -> None:
    statement(served.gateway, DROP)
    async with serving(served, tmp_path, 0.5) as (client, *_):
        checked = 0
        for user in ("u1", "u50", "u120"):
            whole = await ask(client, user, k=20)
            await show(client, whole, dict.fromkeys(ids(whole)[::2], 3), "impression")
            answer = await ask(client, user, k=5, explain="full")
            check_sums(answer)
            for item in answer["items"]:
                counterfactual = item["explanation"]["counterfactual"]
                if counterfactual is None:
                    continue
                names = [f"{each['kind']}:{each['id']}" for each in counterfactual["without"]]
                without = await ask(client, user, k=5, without=names)
                assert item["item_id"] not in ids(without)
                assert counterfactual["replaced_by"] in ids(without)
                checked += 1
        assert checked > 4


async def test_an_action_and_time_end_it_and_a_diverse_list_keeps_its_promises(
    served: Served, tmp_path: Path
) -> None:
    statement(served.gateway, DROP)
    async with serving(served, tmp_path, 1.0) as (client, store, _):
        whole = await ask(client, k=30)
        clicked, old, *_ = first = ids(whole)
        early = (datetime.now(UTC) - timedelta(minutes=4)).isoformat()
        await show(client, whole, {clicked: 5, old: 5, first[3]: 2}, "impression", at=early)
        await show(client, whole, {first[4]: 1}, "dismissal")
        assert ids(await ask(client, k=30))[:2] != first[:2]
        await show(client, whole, {clicked: 1}, "click")
        back = "MATCH (o:Outcome {item_id: $item}) SET o.at = o.at - duration('P36D')"
        statement(served.gateway, back, item=old)
        answer = await ask(client, k=ALL)
        assert ids(answer)[:2] == first[:2]
        assert {i["item_id"] for i in answer["items"] if "Shown" in i["explanation"]["text"]} == {
            first[3], first[4],
        }  # fmt: skip
        diverse = await ask(client, k=20, diversity=0.7)
        check_sums(diverse)
        assert len(set(ids(diverse))) == 20
        assert ids(await ask(client, k=4, diversity=0.7)) == ids(diverse)[:4]
        batch = await client.post("/v1/recommendations/batch", json={"user_ids": ["u1"], "k": ALL})
        assert ids(batch.json()["answers"][0]) == ids(answer)
        assert store.looked > 5


async def test_without_fatigue_nothing_is_read(served: Served, tmp_path: Path) -> None:
    statement(served.gateway, DROP)
    async with serving(served, tmp_path, 0.0) as (client, store, _):
        whole = await ask(client, k=10)
        await show(client, whole, {ids(whole)[0]: 9}, "impression")
        again = await asyncio.gather(*(ask(client, k=10) for _ in range(3)))
        assert [ids(each) for each in again] == [ids(whole)] * 3
        assert store.looked == 0
        session = await client.post("/v1/recommendations", json={"evidence": [{"item_id": "i1"}]})
        await show(client, session.json(), {ids(session.json())[3]: 1}, "click")
        (row,) = statement(served.gateway, "MATCH (o:Outcome {kind: 'click'}) RETURN o {.*} AS o")
        assert (row["o"]["position"], "user_id" in row["o"]) == (4, False)
        assert all("fatigue" not in item["signals"] for item in again[0]["items"])


async def test_taking_an_event_back_takes_its_outcome_and_the_answer_is_what_it_was(
    served: Served, tmp_path: Path
) -> None:
    statement(served.gateway, DROP)
    kinds = "MATCH (o:Outcome) WHERE o.kind <> 'impression' RETURN o.kind AS kind ORDER BY kind"
    async with serving(served, tmp_path, 1.0) as (client, *_):
        whole = await ask(client, "u9", k=30)
        item, other = ids(whole)[:2]
        earlier = (datetime.now(UTC) - timedelta(minutes=4)).isoformat()
        await show(client, whole, {item: 3, other: 3}, "impression", at=earlier)
        faded = ids(await ask(client, "u9", k=30))
        assert faded.index(item) > 0
        named = {"user_id": "u9", "recommendation_id": whole["recommendation_id"]}
        events = [
            named | {"event_id": "bought", "item_id": item, "event": "Purchase"},
            named | {"event_id": "viewed", "item_id": item, "event": "view"},
            named | {"event_id": "other", "item_id": other, "event": "purchase"},
        ]
        taken_back = f"/v1/users/u9/interactions/{item}"
        try:
            assert (await client.post("/v1/events", json=events)).json()["new"] == 3
            told = [row["kind"] for row in statement(served.gateway, kinds)]
            assert told == ["Purchase", "purchase", "view"]
            assert item not in ids(await ask(client, "u9", k=30))
            back = await client.delete(taken_back, params={"event": "purchase"})
            assert back.status_code == 204
            told = [row["kind"] for row in statement(served.gateway, kinds)]
            assert told == ["purchase", "view"]
            assert (await client.delete(taken_back)).status_code == 204
            # What is sent again was known, and stays taken back with its outcome.
            assert (await client.post("/v1/events", json=events)).json()["new"] == 0
            assert statement(served.gateway, kinds) == [{"kind": "purchase"}]
            assert (await client.delete(f"/v1/users/u9/interactions/{other}")).status_code == 204
            assert ids(await ask(client, "u9", k=30)) == faded
            again = [events[0] | {"event_id": "bought again"}]
            assert (await client.post("/v1/events", json=again)).json()["new"] == 1
            assert statement(served.gateway, kinds) == [{"kind": "Purchase"}]
        finally:
            await client.delete(taken_back)
            statement(
                served.gateway, LEDGER, events=[*(e["event_id"] for e in events), "bought again"]
            )


async def test_a_list_under_a_scenario_fades_exactly_and_keeps_its_promises(
    served: Served, tmp_path: Path
) -> None:
    statement(served.gateway, DROP)
    async with serving(served, tmp_path, 0.8) as (client, *_):
        first = ids(await ask(client, k=ALL))
        rules = [
            {"kind": "pin", "item_id": first[6], "place": 3},
            {"kind": "boost", "amount": 0.4,
             "where": [{"property": "item_id", "in": first[1:60:2]}]},
            {"kind": "bury", "amount": 0.3, "where": [{"property": "item_id", "in": first[:4]}]},
            {"kind": "at_most", "count": 2, "within": 8,
             "where": [{"property": "item_id", "in": first[:12]}]},
        ]  # fmt: skip
        await client.put("/v1/scenarios/tired", json={"rules": rules})
        try:
            plain = await ask(client, k=ALL, scenario="tired")
            score = {item["item_id"]: item["score"] for item in plain["items"]}
            unseen = (await ask(client, k=ALL, exclude_seen=False))["items"]
            spread = unseen[0]["score"] - unseen[99]["score"]
            times = {ids(plain)[0]: 3, ids(plain)[2]: 2, first[1]: 1, first[9]: 4}
            await show(client, await ask(client, k=100), times, "impression")
            faded = await ask(client, k=ALL, scenario="tired")
            check_sums(faded)
            assert len(ids(faded)) == len(ids(plain)) == len(set(ids(faded)))
            for item in faded["items"]:
                lost = -0.8 * (1 - 2.0 ** -times.get(item["item_id"], 0)) * spread
                part = item["signals"].get("fatigue", 0.0)
                assert part == pytest.approx(lost, abs=1e-3 * spread)
                expected = score[item["item_id"]] + lost
                assert item["score"] == pytest.approx(expected, abs=1e-3 * spread)
            assert ids(faded)[2] == first[6]  # a pin stands whatever its score
            free = [i["score"] for i in faded["items"] if "placed_by" not in i]
            assert free == sorted(free, reverse=True)
            for k in (1, 3, 8, 20):
                assert ids(await ask(client, k=k, scenario="tired")) == ids(faded)[:k]
            checked = 0
            for user in ("u1", "u50", "u120"):
                if user != "u1":
                    shown = await ask(client, user, k=20)
                    await show(client, shown, dict.fromkeys(ids(shown)[::2], 3), "impression")
                whole = await ask(client, user, k=8, scenario="tired", explain="full")
                check_sums(whole)
                assert ids(whole) == ids(await ask(client, user, k=8, scenario="tired"))
                for item in whole["items"]:
                    if found := item["explanation"]["counterfactual"]:
                        names = [f"{each['kind']}:{each['id']}" for each in found["without"]]
                        asked = {"k": 8, "scenario": "tired", "without": names}
                        without = ids(await ask(client, user, **asked))
                        assert item["item_id"] not in without
                        assert found["replaced_by"] in without
                        checked += 1
            assert checked > 4
            diverse = await ask(client, k=20, scenario="tired", diversity=0.6)
            check_sums(diverse)
            assert ids(await ask(client, k=6, scenario="tired", diversity=0.6)) == ids(diverse)[:6]
        finally:
            await client.delete("/v1/scenarios/tired")


async def test_what_somebody_edited_breaks_no_answer_and_what_is_to_come_counts_as_now(
    served: Served, tmp_path: Path
) -> None:
    statement(served.gateway, DROP)
    plant = """
        UNWIND range(1, 6) AS n
        CREATE (o:Outcome {outcome_id: 'o' + n, user_id: 'u1', kind: 'impression', item_id: $item,
                           at: datetime()})
        SET o += CASE n WHEN 1 THEN {item_id: ['i1', 'i2']} WHEN 2 THEN {item_id: 7}
                        WHEN 3 THEN {at: 'now'} WHEN 4 THEN {kind: null} WHEN 5 THEN {kind: [1]}
                        ELSE {at: datetime({year: 99999})} END
        """
    async with serving(served, tmp_path, 0.8) as (client, *_):
        (first,) = ids(await ask(client, k=1))
        unseen = (await ask(client, k=100, exclude_seen=False))["items"]
        spread = unseen[0]["score"] - unseen[99]["score"]
        statement(served.gateway, plant, item=first)
        statement(served.gateway, "MATCH (o:Outcome {outcome_id: 'o5'}) SET o.item_id = 'i2'")
        faded = await ask(client, k=ALL)
        (item,) = [each for each in faded["items"] if each["item_id"] == first]
        assert item["signals"]["fatigue"] == pytest.approx(-0.8 * 0.5 * spread, rel=1e-3)
        assert item["explanation"]["text"].endswith(" Shown 1 time lately.")


async def test_an_item_that_came_since_the_refresh_fades(served: Served, tmp_path: Path) -> None:
    statement(served.gateway, DROP)
    statement(served.gateway, "UNWIND ['new1', 'new2'] AS id CREATE (:Item {item_id: id})")
    where = [{"property": "item_id", "in": ["new1", "new2"]}]
    document = {"rules": [{"kind": "boost", "amount": 20.0, "where": where}]}
    async with serving(served, tmp_path, 0.8) as (client, *_):
        put = await client.put("/v1/scenarios/young", json=document)
        assert put.status_code == 200, put.text
        try:
            plain = await ask(client, scenario="young")
            assert ids(plain)[:2] == ["new1", "new2"]
            unseen = (await ask(client, k=100, exclude_seen=False))["items"]
            lost = -0.8 * (1 - 2.0**-3) * (unseen[0]["score"] - unseen[99]["score"])
            await show(client, plain, {"new1": 3}, "impression")
            faded = await ask(client, scenario="young")
            check_sums(faded)
            assert ids(faded)[:2] == ["new2", "new1"]
            other, shown = faded["items"][:2]
            assert "fatigue" not in other["signals"]
            assert shown["signals"]["fatigue"] == pytest.approx(lost, rel=1e-3)
            assert shown["explanation"]["text"].endswith(" Shown 3 times lately.")
            path = "/v1/users/u1/recommendations/new1/explanation"
            alone = (await client.get(path, params={"scenario": "young"})).json()
            assert alone["rank"] == 2
            assert alone["score"] == pytest.approx(shown["score"], rel=1e-4)
            assert alone["explanation"]["text"].endswith(" Shown 3 times lately.")
            only = {"filters": [{"property": "item_id", "in": ["new2"]}]}
            assert (await client.put("/v1/scenarios/young", json=only)).status_code == 200
            left_out = (await client.get(path, params={"scenario": "young"})).json()
            assert (left_out["rank"], left_out["score"]) == (2, pytest.approx(lost, rel=1e-3))
            # Without a scenario it is listed where there are too few others.
            whole = await ask(client, k=ALL)
            check_sums(whole)
            assert ids(whole).index("new2") < ids(whole).index("new1")
            of_new = next(item for item in whole["items"] if item["item_id"] == "new1")
            assert of_new["signals"] == {"base": 0.0, "fatigue": pytest.approx(lost, rel=1e-3)}
            assert of_new["explanation"]["text"].endswith(" Shown 3 times lately.")
            scores = [item["score"] for item in whole["items"]]
            assert scores == sorted(scores, reverse=True)
            shorter = await ask(client, k=len(ids(whole)) - 1)
            assert ids(shorter) == ids(whole)[:-1]
            alone = (await client.get(path)).json()
            assert alone["rank"] == of_new["rank"]
            assert alone["score"] == pytest.approx(of_new["score"], rel=1e-3)
        finally:
            await client.delete("/v1/scenarios/young")
            gone = "MATCH (i:Item) WHERE i.item_id IN ['new1', 'new2'] DETACH DELETE i"
            statement(served.gateway, gone)
