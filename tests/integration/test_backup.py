"""`recsvc backup` and `recsvc restore`, of a real local Neo4j that is wiped in between."""

import errno
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest

from loaders.gateway import Neo4jGateway
from loaders.ingest import ingest
from loaders.local_neo4j import LocalNeo4j
from loaders.tables import FolderTables
from recsvc.commands import backup
from recsvc.refresh.options import RefreshOptions
from recsvc.refresh.pipeline import refresh
from recsvc.service.keys import KeyFile, Scope
from recsvc.settings import load_settings
from tests.conftest import recsvc, running_service
from tests.faults.small_disk import small_disk
from tests.graph_hash import graph_hash
from tests.neo4j_servers import command_server
from tests.statement import statement
from tests.taste_tables import write_tables
from tests.waiting import until

pytestmark = [pytest.mark.neo4j, pytest.mark.slow, pytest.mark.long]

QUICK = RefreshOptions(models=("fastrp",), validation_users=60)
SETTINGS = "[events.borrowed]\nweight = 1.0\n"


@dataclass(frozen=True)
class Shop:
    """A local Neo4j with a graph that was refreshed.

    Attributes:
        server: the Neo4j.
        folder: where commands run, with their settings.
        sha256: of the whole graph.
    """

    server: LocalNeo4j
    folder: Path
    sha256: str

    @property
    def home(self) -> Path:
        return self.server.folder.parent

    def now(self) -> str:
        with Neo4jGateway(self.server.address()) as gateway:
            return graph_hash(gateway)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    folder = tmp_path_factory.mktemp("shop")
    with command_server() as server, pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        (folder / "recsvc.toml").write_text(SETTINGS)
        (folder / "tables").mkdir()
        write_tables(folder / "tables")
        with Neo4jGateway(server.address()) as gateway:
            ingest(gateway, FolderTables(folder / "tables"), rejects=folder / "no", strict=True)
            refresh(gateway, QUICK, load_settings().events, home=server.folder.parent)
            yield Shop(server, folder, graph_hash(gateway))


@pytest.fixture(scope="module")
def saved(shop: Shop) -> Path:
    """A backup of it."""
    done = recsvc("backup", str(shop.folder / "saved"))
    assert done.returncode == 0, done.stderr
    return shop.folder / "saved"


@contextmanager
def started(*arguments: str) -> Iterator[psutil.Popen]:
    """A command in a process of its own, which is killed with all that it started."""
    process = psutil.Popen(
        [sys.executable, "-m", "recsvc", *arguments], stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.is_running():
            kill(process)
        process.communicate()


def kill(process: psutil.Popen) -> None:
    for each in (process, *process.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            each.kill()
    process.wait()


def answer() -> dict[str, object]:
    document = json.loads(recsvc("recommend", "u1", "--json").stdout)
    return {name: document[name] for name in ("versions", "items")}


def test_what_is_wiped_comes_back_the_same(shop: Shop, tmp_path: Path) -> None:
    server, home, folder = shop.server, shop.home, tmp_path / "kept" / "first"
    settings = shop.folder / "recsvc.toml"
    key = KeyFile(home / "keys.json").create("shop", Scope.READ)
    before, whole = answer(), shop.sha256
    told = recsvc("backup", str(folder), "--json")
    assert told.returncode == 0, told.stderr
    made = json.loads(told.stdout)
    assert {"neo4j.dump", "keys.json", "recsvc.toml"} <= set(made["files"])
    assert made["away_seconds"] > 0
    assert recsvc("backup", str(folder)).returncode == 1  # it is there

    with Neo4jGateway(server.address()) as gateway:
        statement(gateway, "CREATE (:User {user_id: 'after'})")
    refused = recsvc("restore", str(folder))
    assert (refused.returncode, "--force" in refused.stderr) == (1, True)
    for name in ("keys.json", "keys.json.made", "recommendation_ids"):
        (home / name).unlink(missing_ok=True)
    shutil.rmtree(home / "snapshots", ignore_errors=True)
    settings.unlink()
    restored = recsvc("restore", str(folder), "--force", "--json")
    assert restored.returncode == 0, restored.stderr
    assert shop.now() == whole
    assert answer() == before
    assert [each.name for each in KeyFile(home / "keys.json").keys() or ()] == ["shop"]
    assert key not in told.stdout + told.stderr
    assert settings.read_text() == SETTINGS

    manifest = folder / "backup.json"
    written = manifest.read_text()
    manifest.write_text(json.dumps(json.loads(written) | {"neo4j": "9999.1.0"}))
    later = recsvc("restore", str(folder), "--force")
    assert (later.returncode, "9999.1.0, which" in later.stderr) == (1, True)
    manifest.write_text(written)
    assert sorted(each.name for each in folder.parent.iterdir()) == ["first"]

    dump = folder / "neo4j.dump"
    with dump.open("r+b") as file:
        file.seek(dump.stat().st_size // 2)
        file.write(b"damaged")
    damaged = recsvc("restore", str(folder), "--force")
    assert (damaged.returncode, "is not what was written" in damaged.stderr) == (1, True)
    assert shop.now() == whole
    for name in ("keys.json", "keys.json.made"):
        (home / name).unlink()


def test_a_restore_that_is_killed_leaves_a_mark_and_the_next_completes_it(
    shop: Shop, saved: Path
) -> None:
    mark = shop.server.folder / "half-loaded"
    with started("restore", str(saved), "--force") as process:
        until(mark.exists)
        kill(process)
    assert mark.exists()
    for command in (("db", "up"), ("backup", str(shop.folder / "half")), ("recommend", "u1")):
        refused = recsvc(*command)
        assert (refused.returncode, "half loaded" in refused.stderr) == (1, True), refused.stderr
    assert not (shop.folder / "half").exists()
    restored = recsvc("restore", str(saved))  # without --force: there is nothing to lose
    assert restored.returncode == 0, restored.stderr
    assert not mark.exists()
    assert shop.now() == shop.sha256


def test_a_full_disk_before_the_keys_are_back_leaves_the_mark(
    shop: Shop, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The graph is there by then, and without its keys it would be open to any program."""

    def full(source: Path, target: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))

    mark = shop.server.folder / "half-loaded"
    with monkeypatch.context() as patch:
        patch.setattr(backup, "_copy_if_there", full)
        with pytest.raises(OSError, match="No space"):
            backup.restore(saved, force=True)
    assert mark.exists()
    refused = recsvc("recommend", "u1")
    assert (refused.returncode, "half loaded" in refused.stderr) == (1, True), refused.stderr
    assert recsvc("restore", str(saved)).returncode == 0
    assert not mark.exists()
    assert shop.now() == shop.sha256


def test_a_backup_that_is_killed_leaves_the_graph_as_it_is(shop: Shop) -> None:
    parent = shop.folder / "killed"
    with started("backup", str(parent / "first")) as process:
        until(lambda: list(parent.glob(".recsvc-backup-*/*.dump")))
        kill(process)
    assert not (parent / "first").exists()
    assert recsvc("db", "up").returncode == 0
    assert shop.now() == shop.sha256
    (left,) = parent.glob(".recsvc-backup-*")
    os.utime(left, (0, 0))
    assert recsvc("backup", str(parent / "first")).returncode == 0
    assert [each.name for each in parent.iterdir()] == ["first"]


def test_of_two_backups_into_one_folder_one_is_made_whole(shop: Shop) -> None:
    folder = shop.folder / "both"
    with started("backup", str(folder)) as one, started("backup", str(folder)) as other:
        ends = [(process.communicate()[1], process.returncode) for process in (one, other)]
    assert sorted(code for _, code in ends) == [0, 1], ends
    (said,) = [text for text, code in ends if code]
    assert "is there already" in said
    assert recsvc("restore", str(folder), "--force").returncode == 0
    assert shop.now() == shop.sha256


def test_a_full_disk_leaves_no_backup_and_the_graph_runs(shop: Shop, tmp_path: Path) -> None:
    with small_disk(tmp_path, 4) as disk:
        disk.fill(leave_bytes=20_000)
        full = recsvc("backup", str(disk.folder / "backup"))
        assert (full.returncode, "could not dump" in full.stderr) == (1, True), full.stderr
        assert [each.name for each in disk.folder.iterdir()] == ["filler"]
        assert shop.now() == shop.sha256
        disk.make_room()
        assert recsvc("backup", str(disk.folder / "backup")).returncode == 0


def test_a_service_goes_on_and_then_serves_what_was_restored(
    shop: Shop, saved: Path, tmp_path: Path
) -> None:
    before = answer()
    environment = {**os.environ, "RECSVC_ANSWER_CACHE_SECONDS": "60"}
    with running_service(environment, tmp_path / "log") as service:
        client = service.client
        asked = {"event_id": "e", "user_id": "u1", "item_id": "i1", "event": "borrowed"}
        client.post("/v1/events", json={"events": [asked]}).raise_for_status()
        client.put("/v1/users/after", json={}).raise_for_status()
        with Neo4jGateway(shop.server.address()) as gateway:
            refresh(gateway, QUICK, load_settings().events, home=shop.home, force=True)
        until(lambda: listed(client)["versions"] != before["versions"])
        with started("restore", str(saved), "--force") as process:
            statuses: Counter[int] = Counter()
            while process.poll() is None:
                path = f"/v1/users/u{statuses.total() % 40}/recommendations"
                statuses[client.get(path).status_code] += 1
        assert process.returncode == 0
        assert statuses.keys() == {200}
        until(lambda: not client.get("/health/ready").json()["degraded"])
        until(lambda: listed(client)["versions"] == before["versions"])
        assert listed(client) == before
        assert client.get("/v1/users/after").status_code == 404
        sent = client.post("/v1/events", json={"events": [asked]}).json()
        assert sent["new"] == 1, sent


def listed(client: httpx.Client) -> dict[str, object]:
    document = client.get("/v1/users/u1/recommendations").json()
    return {name: document[name] for name in ("versions", "items")}
