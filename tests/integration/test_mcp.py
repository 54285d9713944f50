"""The tools for agents, by the protocol's own client, on a real Neo4j."""

import asyncio
import json
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

from recsvc.service.keys import KeyFile, Scope
from tests.conftest import Served
from tests.ports import free_ports
from tests.waiting import PATIENCE_SECONDS, until_then

pytestmark = pytest.mark.neo4j

READS = {"recommend", "what_if", "explain", "similar", "evidence", "search", "versions", "path_try"}
WRITES = {"record", "take_back"}


@asynccontextmanager
async def over_stdio(served: Served, **more: str) -> AsyncGenerator[Client]:
    command = StdioServerParameters(
        command=sys.executable,
        args=["-m", "recsvc", "mcp"],
        env={**served.environment, **more},
    )
    async with Client(command, read_timeout_seconds=600) as client:
        yield client


@asynccontextmanager
async def listening(served: Served, **more: str) -> AsyncGenerator[str]:
    """The address of the tools over HTTP."""
    (port,) = free_ports(1)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "recsvc", "mcp", "--http", "--port", str(port),
        env={**served.environment, **more},
    )  # fmt: skip

    def answers() -> bool:
        try:
            httpx2.get(f"http://127.0.0.1:{port}/mcp", timeout=PATIENCE_SECONDS)
        except httpx2.TransportError:
            return False
        return True

    try:
        await until_then(answers)
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        process.terminate()
        assert await asyncio.wait_for(process.wait(), PATIENCE_SECONDS) in (0, -15)


@asynccontextmanager
async def over_http(address: str, key: str | None = None) -> AsyncGenerator[Client]:
    headers = {"X-API-Key": key} if key else {}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=PATIENCE_SECONDS) as http,
        Client(streamable_http_client(address, http_client=http)) as client,
    ):
        yield client


async def called(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    answer = await client.call_tool(tool, arguments)
    assert not answer.is_error, answer.content
    assert answer.structured_content is not None
    return answer.structured_content


async def refused(client: Client, tool: str, **arguments: Any) -> str:
    answer = await client.call_tool(tool, arguments)
    assert answer.is_error, answer.content
    return answer.content[0].text  # pyright: ignore


async def assert_what_is_wrong_is_said_and_bounded(client: Client) -> None:
    assert "404" in await refused(client, "recommend", user_id="nobody")
    assert "50" in await refused(client, "recommend", user_id="u3", k=51)
    assert "512" in await refused(client, "recommend", user_id="x" * 513)
    told = await refused(client, "what_if", user_id="u3", without=["artist:1"])
    assert "(item|user|category):" in told
    assert "a key for write" in await refused(
        client, "record", user_id="u3", item_id="i1", event="interaction"
    )
    told = await refused(client, "path_try", name="item_x", cypher="MATCH (n) DELETE n")
    assert "item_x.cypher" in told
    odd = "a/b?c#d%2F é\\ \n"
    assert "404" in await refused(client, "explain", user_id=odd, item_id=odd)


async def test_what_an_agent_is_told_adds_up_and_what_is_wrong_is_said(served: Served):
    async with over_stdio(served) as client:
        await assert_what_is_wrong_is_said_and_bounded(client)
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert set(tools) == READS | WRITES
        hints = {name: tool.annotations for name, tool in tools.items()}
        assert {name for name, hint in hints.items() if hint and hint.read_only_hint} == READS
        answer = await called(client, "recommend", user_id="u3", k=5)
        assert len(answer["items"]) == 5
        for item in answer["items"]:
            said = item["explanation"]
            assert said["text"]
            terms = sum(each["value"] for each in said["contributions"]) + said["remainder"]
            assert terms == pytest.approx(item["score"], rel=1e-4)
        for first in answer["items"]:
            why = await called(client, "explain", user_id="u3", item_id=first["item_id"])
            if why["explanation"]["counterfactual"]:
                break
        assert why["score"] == pytest.approx(first["score"], rel=1e-4)
        removed = [
            f"{e['kind']}:{e['id']}" for e in why["explanation"]["counterfactual"]["without"]
        ]
        told = await called(client, "what_if", user_id="u3", without=removed, k=5)
        assert first["item_id"] not in [item["item_id"] for item in told["answer"]["items"]]
        assert first["item_id"] in told["leaves"]
        assert len(told["leaves"]) == len(told["comes"])
        evidence = await called(client, "evidence", user_id="u3", limit=3)
        weights = [abs(each["weight"]) for each in evidence["evidence"]]
        assert (len(weights), weights) == (3, sorted(weights, reverse=True))
        assert evidence["left_out"] > 0
        near = await called(client, "similar", item_id=first["item_id"], k=3)
        assert len(near["items"]) == 3
        hits = await called(client, "search", kind="items", text=first["item_id"])
        assert first["item_id"] in [each["id"] for each in hits["found"]]
        (blend,) = [
            each
            for each in (await called(client, "versions"))["versions"]
            if each["model"] == "hybrid"
        ]
        assert blend["version"] == (served.report.versions or {})["hybrid"]
        assert "embedding_" not in json.dumps([answer, why, told, evidence, near, hits])


@pytest.mark.long
async def test_a_key_says_what_an_agent_may_do(served: Served, tmp_path_factory: Any):
    keys = tmp_path_factory.mktemp("keys") / "keys.json"
    secrets = {scope: KeyFile(keys).create(scope, scope) for scope in Scope}
    own = {"RECSVC_KEYS_FILE": str(keys)}
    did = {"user_id": "u3", "item_id": "i150", "event": "interaction"}
    async with listening(served, **own) as address:
        async with httpx2.AsyncClient() as stranger:
            answer = await stranger.post(address, json={})
            assert answer.status_code == 401
            page = {"Origin": "https://elsewhere.example", "X-API-Key": secrets[Scope.ADMIN]}
            assert (await stranger.post(address, json={}, headers=page)).status_code == 403
            name = {"Host": "elsewhere.example", "X-API-Key": secrets[Scope.ADMIN]}
            assert (await stranger.post(address, json={}, headers=name)).status_code >= 400
        async with over_http(address, secrets[Scope.READ]) as client:
            before = await called(client, "recommend", user_id="u3", k=10)
            assert "a key for write" in await refused(client, "record", **did)
            assert "a key for admin" in await refused(
                client, "path_try", name="item_x", cypher="MATCH (n) RETURN n"
            )
        async with over_http(address, secrets[Scope.WRITE]) as client:
            assert (await called(client, "record", **did))["new"] == 1
            after = await called(client, "recommend", user_id="u3", k=10)
            assert after["items"] != before["items"]
            await called(client, "take_back", user_id="u3", item_id="i150")
            again = await called(client, "recommend", user_id="u3", k=10)
            assert _scores(again) == _scores(before)
    async with over_stdio(served, **own) as client:
        assert "401" in await refused(client, "recommend", user_id="u3")
        assert "a key for read" in await refused(client, "versions")
    async with over_stdio(served, RECSVC_API_KEY=secrets[Scope.READ], **own) as client:
        assert (await called(client, "recommend", user_id="u3", k=3))["items"]
        assert "a key for write" in await refused(client, "record", **did)


def _scores(answer: dict[str, Any]) -> list[tuple[str, float]]:
    return [(item["item_id"], round(item["score"], 4)) for item in answer["items"]]
