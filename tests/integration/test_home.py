"""The home of a user on the command line."""

import json

import pytest

from tests.conftest import QUICK, Served

pytestmark = pytest.mark.neo4j

REFRESH_OPTIONS = QUICK


def test_the_command_shows_the_rows_of_the_service(served: Served) -> None:
    rows = json.loads(served.run("home", "u1", "--json").stdout)["rows"]
    listed = [item["item_id"] for row in rows for item in row["items"]]
    assert rows[0]["kind"] == "because"
    assert len(set(listed)) == len(listed) >= 3
    told = served.run("home", "u1").stdout
    assert all(row["title"] in told for row in rows)
    gone = served.run("home", "nobody")
    assert (gone.returncode, "no user 'nobody'" in gone.stderr) == (1, True)
