"""`recsvc doctor` on broken set-ups: each line that is amiss says what to do."""

import json
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from loaders.gateway import Neo4jGateway
from loaders.local_neo4j import DEFAULT_LINE
from loaders.schema import apply_schema, schema_items
from recsvc.commands import doctor
from recsvc.service import issuer_keys
from tests.conftest import running_service
from tests.oidc_issuer import running_issuer
from tests.ports import free_ports
from tests.statement import statement
from tests.waiting import PATIENCE_SECONDS

pytestmark = [
    pytest.mark.neo4j,
    pytest.mark.parametrize("neo4j_line", [DEFAULT_LINE], indirect=True, scope="session"),
]

ACTIVE = """
CREATE (v:EmbeddingVersion {
    model: 'hybrid', version: 3, status: 'active', graph_at: datetime() - duration({days: $days})
})-[:HAS_PART]->(:SnapshotPart)
"""
Ask = Callable[..., dict[str, str]]


@pytest.fixture
def amiss(
    command: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Ask:
    """What is amiss, by check, with some variables set; nothing where all is well."""
    monkeypatch.chdir(tmp_path)  # without a recsvc.toml
    monkeypatch.setenv("RECSVC_PORT", str(free_ports(1)[0]))
    monkeypatch.setattr(doctor, "_ASK_SECONDS", PATIENCE_SECONDS)
    monkeypatch.setattr(issuer_keys, "FETCH_SECONDS", PATIENCE_SECONDS)

    def ask(**variables: str) -> dict[str, str]:
        for name, value in variables.items():
            monkeypatch.setenv(f"RECSVC_{name}", value)
        code, out, err = command("doctor", "--json")
        document = json.loads(out)
        found = {each["check"]: each["said"] for each in document["checks"] if not each["ok"]}
        assert (code, document["ok"], err) == (int(bool(found)), not found, "")
        assert all("\n" not in said for said in found.values())
        return found

    return ask


def local(amiss: Ask, **variables: str) -> dict[str, str]:
    """Without an address: what is amiss with the Neo4j of this machine, of which none runs."""
    bolt, http = map(str, free_ports(2))
    given = {"NEO4J_URI": "", "NEO4J_PASSWORD": "", "BOLT_PORT": bolt, "HTTP_PORT": http}
    return amiss(**{**given, **variables})


def test_nothing_is_amiss_where_a_version_is_active(
    gateway: Neo4jGateway, amiss: Ask, command: Callable[..., tuple[int, str, str]]
) -> None:
    apply_schema(gateway)
    statement(gateway, ACTIVE, days=2)
    assert amiss() == {}
    code, out, _ = command("doctor")
    assert (code, out.count("\nok   ")) == (0, 10)
    assert "ok   versions: hybrid 3, 2 days old" in out


def test_an_old_version(gateway: Neo4jGateway, amiss: Ask) -> None:
    apply_schema(gateway)
    statement(gateway, ACTIVE, days=40)
    found = amiss()
    assert found.keys() == {"versions"}
    assert "40 days old: recsvc refresh" in found["versions"]


def test_an_empty_graph_whose_schema_lacks_something(gateway: Neo4jGateway, amiss: Ask) -> None:
    apply_schema(gateway)
    item = next(item for item in schema_items() if item.kind == "FULLTEXT")
    statement(gateway, f"DROP INDEX {item.name}")
    try:
        troubles = amiss()
    finally:
        apply_schema(gateway)
    assert troubles.keys() == {"schema", "versions"}
    said = f"{item.name} on {item} is missing: the next recsvc ingest makes what is missing"
    assert said in troubles["schema"]
    assert "recsvc refresh makes one" in troubles["versions"]


def test_a_service_that_answers_has_its_port(
    gateway: Neo4jGateway, amiss: Ask, environment: dict[str, str], tmp_path: Path
) -> None:
    apply_schema(gateway)
    log = tmp_path / "log"
    with running_service({**os.environ, **environment}, log, until="/health/live") as service:
        found = amiss(PORT=str(service.client.base_url.port))
    assert found.keys() == {"versions"}


def test_a_wrong_password(amiss: Ask) -> None:
    found = amiss(NEO4J_PASSWORD="not the password")
    assert found.keys() == {"neo4j"}
    assert "set RECSVC_NEO4J_USER and RECSVC_NEO4J_PASSWORD" in found["neo4j"]
    assert "not the password" not in found["neo4j"]


def test_an_issuer_of_tokens(amiss: Ask) -> None:
    with running_issuer() as issuer:
        given = {"OIDC__ISSUER": issuer.address, "OIDC__AUDIENCE": "recsvc"}
        assert "issuer" not in amiss(**given)
    assert f"the keys of {issuer.address} cannot be fetched" in amiss(**given)["issuer"]


def test_a_setting_that_cannot_be(amiss: Ask, tmp_path: Path) -> None:
    (tmp_path / "recsvc.toml").write_text("[refresh]\nmodles = ['ease']\n")
    found = amiss()
    assert found.keys() == {"settings"}
    assert "setting 'refresh.modles'" in found["settings"]
    for text, said in (
        (
            "prot = 8000",
            "there is no setting 'prot': did you mean 'port'? Correct it in recsvc.toml",
        ),
        ("[events.view]\nwieght = 2", "no setting 'events.view.wieght': did you mean 'weight'? "),
        (
            "[text]\nzzz = 'z'",
            "there is no setting 'text.zzz': expected one of language, because, ",
        ),
    ):
        (tmp_path / "recsvc.toml").write_text(text)
        assert said in amiss()["settings"]


def test_keys_that_are_gone(amiss: Ask, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "keys.json.made").touch()
    assert "create keys" in local(amiss)["keys"]
    (home / "keys.json").write_text("{")
    assert "put back the file" in local(amiss)["keys"]
    for name in ("keys.json", "keys.json.made"):
        (home / name).unlink()
    assert "recsvc keys create" in local(amiss, HOST="0.0.0.0")["keys"]


def test_no_neo4j_and_a_port_that_is_taken(amiss: Ask) -> None:
    assert "recsvc db up" in local(amiss)["neo4j"]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        found = local(amiss, HTTP_PORT=str(taken.getsockname()[1]))
    assert found.keys() == {"ports", "neo4j"}
    assert "choose another port with RECSVC_HTTP_PORT" in found["ports"]


def test_a_home_that_is_no_folder_and_too_little_memory(amiss: Ask, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    found = local(amiss, HOME=str(tmp_path / "file" / "home"), NEO4J_HEAP_MEGABYTES="9999999")
    assert {"disk", "machine"} <= found.keys()
    assert "RECSVC_HOME" in found["disk"]
    assert "lower RECSVC_NEO4J_HEAP_MEGABYTES" in found["machine"]
