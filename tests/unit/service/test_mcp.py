"""The tools for agents: what they take, and what bounds their answers."""

import json
import re
from pathlib import Path

import pytest
from fastapi import FastAPI
from mcp import Client
from mcp.server.mcpserver.exceptions import ToolError
from typer.testing import CliRunner

from recsvc.cli import app as command_line
from recsvc.commands.agents import API_KEY
from recsvc.service.mcp import MOST_CHARACTERS, bounded, mcp_server, strongest
from tests.unit.service.fake_engine import FakeEngine

GUIDE = Path(__file__).parents[3] / "docs" / "agents.md"


async def test_the_guide_lists_every_tool_with_what_it_takes(app: FastAPI):
    tools = await mcp_server(app).list_tools()
    has = {tool.name: list(tool.input_schema["properties"]) for tool in tools}
    rows = re.findall(r"^\| `(\w+)` \|(.*?)\| .+ \|$", GUIDE.read_text(), re.MULTILINE)
    assert {name: re.findall(r"`(\w+)`", takes) for name, takes in rows} == has


def test_what_a_client_is_told_is_a_command_that_is_there():
    (told,) = re.findall(r"^```json\n(.*?)^```", GUIDE.read_text(), re.DOTALL | re.MULTILINE)
    (server,) = json.loads(told)["mcpServers"].values()
    assert server["command"] == "recsvc"
    assert server["env"].keys() == {API_KEY}
    assert CliRunner().invoke(command_line, [*server["args"], "--help"]).exit_code == 0


async def test_what_breaks_inside_tells_an_agent_nothing_of_the_inside(
    app: FastAPI, fake: FakeEngine
):
    fake.error = RuntimeError("password of Neo4j: hunter2")
    async with Client(mcp_server(app)) as client:
        answer = await client.call_tool("recommend", {"user_id": "2"})
    assert answer.is_error
    assert "500" in str(answer.content)
    assert "hunter2" not in str(answer.content)


def test_an_answer_that_is_too_large_is_refused_with_what_to_do():
    bounded({"a": "x" * (MOST_CHARACTERS - 100)})
    with pytest.raises(ToolError, match=f"{MOST_CHARACTERS:,} are the most: ask for less"):
        bounded({"a": "x" * MOST_CHARACTERS})


def test_the_strongest_evidence_comes_first_and_the_rest_is_counted():
    pieces = [{"id": n, "weight": w} for n, w in [("a", 0.5), ("b", -3.0), ("c", 1.0)]]
    known = strongest({"user_id": "u", "evidence": pieces}, 2)
    assert [each["id"] for each in known["evidence"]] == ["b", "c"]
    assert (known["left_out"], known["user_id"]) == (1, "u")
