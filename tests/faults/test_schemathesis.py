"""Requests that schemathesis makes from the OpenAPI document: such as it describes, and others."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from loaders.gateway import Neo4jAddress, Neo4jGateway
from recsvc.refresh.options import RefreshOptions
from recsvc.service.keys import KeyFile, Scope
from tests.conftest import CHECKOUT, Served, Service, refreshed, running_service
from tests.odd_shop import odd_shop

pytestmark = [pytest.mark.neo4j, pytest.mark.long]

MODELS = RefreshOptions(models=("fastrp", "mf", "walk3"), validation_users=60)
OPTIONS = (
    "--checks", "all",
    # `valid_data_is_taken` of the hooks is in its place.
    "--exclude-checks", "positive_data_acceptance",
    # The key is given: one that schemathesis makes up beside it is no finding.
    "--generation-with-security-parameters", "false",
    "--max-examples", "20", "--seed", "7", "--continue-on-failure", "--no-color",
)  # fmt: skip
KEYS = {
    "no key": (),
    "read": (),
    # A refresh that begins is a process that trains for minutes, beside all other requests.
    "admin": ("--exclude-operation-id", "begin_refresh"),
}


@pytest.fixture(scope="module")
def shop(
    neo4j_address: Neo4jAddress,
    session_gateway: Neo4jGateway,
    tmp_path_factory: pytest.TempPathFactory,
) -> Served:
    def write_tables(folder: Path) -> None:
        odd_shop(folder, 0, "--clean")

    return refreshed(neo4j_address, session_gateway, tmp_path_factory, MODELS, write_tables)


@pytest.fixture(scope="module")
def keys(shop: Served) -> dict[str, str]:
    """A key of each scope."""
    file = KeyFile(shop.home / "keys.json")
    return {scope.value: file.create(scope.value, scope) for scope in Scope}


@pytest.fixture
def service(shop: Served, keys: dict[str, str], tmp_path: Path) -> Iterator[Service]:
    # A 503 is a finding here, and the machine may be busy.
    environment = shop.environment | {"RECSVC_REQUEST_TIMEOUT_SECONDS": "20"}
    log = tmp_path / "serve.log"
    with running_service(environment, log) as service:
        yield service
        assert service.process.poll() is None
    assert "the request failed" not in log.read_text()


@pytest.mark.parametrize("key", KEYS)
def test_no_request_finds_a_fault(
    service: Service, keys: dict[str, str], key: str, tmp_path: Path
) -> None:
    header = ["--header", f"X-API-Key:{keys[key]}"] if key in keys else []
    ended = subprocess.run(
        [
            *(Path(sys.executable).with_name("st"), "run"),
            *(f"{service.client.base_url}/openapi.json", *OPTIONS, *KEYS[key], *header),
        ],
        cwd=tmp_path,
        env={
            **os.environ,
            "PYTHONPATH": str(CHECKOUT),
            "SCHEMATHESIS_HOOKS": "tests.faults.schemathesis_hooks",
        },
        capture_output=True,
        text=True,
        timeout=1500,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "Tested: 3" in ended.stdout  # all operations, in each of its phases
