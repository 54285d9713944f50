"""What follows what, from a graph with times to the answer, on a real Neo4j."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from loaders.gateway import Neo4jAddress, Neo4jGateway
from loaders.ingest import ingest
from loaders.local_neo4j import DEFAULT_LINE
from loaders.tables import FolderTables
from recsvc.refresh.options import RefreshOptions
from recsvc.refresh.pipeline import refresh
from recsvc.settings import load_settings
from tests.conftest import Served
from tests.integration.in_process import ask, check_sums, ids, serving

pytestmark = [
    pytest.mark.neo4j,
    pytest.mark.parametrize("neo4j_line", [DEFAULT_LINE], indirect=True),
]

ITEMS, PLACES = 60, 6
OPTIONS = RefreshOptions(
    models=("walk3", "transitions"), validation_users=60, hold_out="latest", held_out_share=0.1
)


@pytest.fixture
def walked(gateway: Neo4jGateway, neo4j_address: Neo4jAddress, tmp_path: Path) -> Served:
    """Everybody goes on from an item to the next one, at three places one after the other.

    What comes before a place is had together with it as often as what comes next.
    """
    tables, rng = tmp_path / "tables", np.random.default_rng(3)
    tables.mkdir()
    rows = [
        f"u{user:02},i{(start + step) % ITEMS:02},play,{1_600_000_000 + 3600 * (4 * place + step)}"
        for user in range(100)
        for place, start in enumerate(
            (rng.permutation(np.arange(0, ITEMS, PLACES))[:3] + rng.integers(PLACES)).tolist()
        )
        for step in range(4)
    ]
    header = "user_id,item_id,event,timestamp\n"
    (tables / "interactions.csv").write_text(header + "\n".join(rows) + "\n")
    ingest(gateway, FolderTables(tables), rejects=tmp_path / "rejects.csv", strict=True)
    home = tmp_path / "home"
    report = refresh(gateway, OPTIONS, load_settings().events, home=home)
    return Served(neo4j_address, gateway, report, home, tables)


def evidence_of(answer: dict[str, Any]) -> list[str]:
    """What adds most to the first item."""
    return [c["evidence"]["id"] for c in answer["items"][0]["explanation"]["contributions"]]


async def test_what_was_done_last_leads_on_at_once(walked: Served, tmp_path: Path) -> None:
    assert (walked.report.weights or {})["transitions"] == 1.0
    async with serving(walked, tmp_path) as (client, *_):
        before = await ask(client, "u00", k=3)
        check_sums(before)
        at, leads_to = next(
            (f"i{start:02}", f"i{start + 1:02}")
            for start in range(ITEMS - 1)
            if not {f"i{start:02}", f"i{start + 1:02}"} & {*ids(before), *_had(walked, "u00")}
        )
        event = {"event_id": "now", "user_id": "u00", "item_id": at, "event": "play"}
        told = await client.post("/v1/events", json={"events": [event]})
        assert told.status_code == 200, told.text
        after = await ask(client, "u00", k=3, explain="full")
        check_sums(after)
        assert ids(after)[0] == leads_to
        assert evidence_of(after)[0] == at
        text = after["items"][0]["explanation"]["text"]
        assert text.startswith(f"Because it is often next after {at}")
        assert ids(await ask(client, "u00", k=3, without=f"item:{at}")) == ids(before)


async def test_a_session_is_in_order_of_its_times_or_of_the_list(
    walked: Served, tmp_path: Path
) -> None:
    async with serving(walked, tmp_path) as (client, *_):

        async def asked(*evidence: dict[str, Any]) -> dict[str, Any]:
            body = {"evidence": list(evidence), "k": 2, "signal": "transitions"}
            answer = await client.post("/v1/recommendations", json=body)
            assert answer.status_code == 200, answer.text
            check_sums(answer.json())
            return answer.json()

        earlier = {"item_id": "i10", "timestamp": 1_700_000_000}
        later = {"item_id": "i25", "timestamp": "2023-11-14T23:00:00Z"}
        assert ids(await asked(earlier, later)) == ids(await asked(later, earlier))
        assert ids(await asked(earlier, later))[0] == "i26"
        assert ids(await asked({"item_id": "i10"}, {"item_id": "i25"}))[0] == "i11"
        assert ids(await asked({"item_id": "i25"}, {"item_id": "i10"}))[0] == "i26"


def _had(walked: Served, user: str) -> set[str]:
    rows = (walked.tables / "interactions.csv").read_text().splitlines()
    return {row.split(",")[1] for row in rows if row.startswith(f"{user},")}
