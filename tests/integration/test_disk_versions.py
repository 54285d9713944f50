"""Versions in a folder are those that Neo4j would keep: both answer the same."""

from pathlib import Path
from typing import Any

import pytest

from loaders.catalogue import catalogue
from loaders.disk_versions import DiskVersions
from loaders.gateway import Neo4jGateway, Row

pytestmark = pytest.mark.neo4j

MEASURED = {
    "sha256": "s", "metrics": "{}", "weights": "{}", "signal_metrics": "{}", "seconds": 1.5,
    "validation_users": [1, 2], "validation_ndcg": [0.5, 0.25], "validation_asked": [3, 4],
    "below_popularity": ["1"],
}  # fmt: skip


def begun(model: str, run: str) -> tuple[str, dict[str, Any]]:
    return "writeback/begin_version", {"model": model, "run": run, "seed": 1, "options": "{}"}


def part(version: int, sha256: str) -> tuple[str, dict[str, Any]]:
    row = {"entry": "e", "number": 0, "sha256": sha256, "content": b"x"}
    return "writeback/snapshot_parts", {"version": version, "parts": [row]}


def ready(*named: tuple[str, int, str]) -> tuple[str, dict[str, Any]]:
    rows = [
        {"model": model, "version": number, "properties": {**MEASURED, "sha256": sha256}}
        for model, number, sha256 in named
    ]
    return "writeback/versions_ready", {"versions": rows}


def activated(*named: tuple[str, int], statuses: tuple[str, ...] = ("ready",)) -> tuple[str, Any]:
    versions = [{"model": model, "version": number} for model, number in named]
    return "writeback/activate", {
        "versions": versions, "statuses": list(statuses), "overridden": None,
    }  # fmt: skip


ASKED: list[tuple[str, dict[str, Any]]] = [
    ("serve/active_versions", {}), ("serve/stored_versions", {}), ("serve/known_snapshots", {}),
    ("writeback/unfinished_runs", {}), ("writeback/active_blend", {}),
    ("writeback/active_validation", {}), ("writeback/version_before", {"model": "lightgcn"}),
    ("writeback/run_of_version", {"model": "hybrid", "version": 1}),
    ("writeback/version_of_run", {"model": "hybrid", "run": "r2"}),
    ("serve/snapshot_parts", {"version": 1}), ("delete/stored_snapshots", {}),
    ("serve/snapshot_part", {"version": 2, "entry": "e", "number": 0, "sha256": "p2"}),
    ("serve/versions", {"limit": 10}),
]  # fmt: skip
STEPS: list[tuple[str, dict[str, Any]]] = [
    begun("hybrid", "r1"), begun("lightgcn", "r1"), part(1, "p1"),
    ready(("hybrid", 1, "a"), ("lightgcn", 1, "")), activated(("hybrid", 1), ("lightgcn", 1)),
    begun("hybrid", "r2"), begun("lightgcn", "r2"), part(2, "p2"),
    ready(("hybrid", 2, "b"), ("lightgcn", 2, "")), activated(("hybrid", 2), ("lightgcn", 2)),
    activated(("hybrid", 1), ("lightgcn", 1), statuses=("retired",)),
    begun("hybrid", "r3"), part(3, "p3"),
    ("writeback/fail_unfinished", {"run": "r4", "reason": "why"}),
    ("writeback/failed_slots", {}), ("delete/drop_failed_parts", {}),
    ("writeback/leave_slot", {"model": "lightgcn", "slot": "a"}),
    ("writeback/drop_parts", {"keep": 1}), ("writeback/drop_versions", {"keep": 1}),
]  # fmt: skip


def without_times(rows: list[Row]) -> list[Row]:
    return [
        {
            name: without_times([value])[0]
            if isinstance(value, dict)
            else sorted(value)
            if name == "runs"
            else value
            for name, value in sorted(row.items())
            if not name.endswith("_at") and value is not None
        }
        for row in rows
    ]


def test_a_folder_answers_as_neo4j_does(gateway: Neo4jGateway, tmp_path: Path) -> None:
    disk = DiskVersions(tmp_path)
    for step, given in STEPS:
        there = gateway.run(catalogue()[step], **given)
        here = disk.run(step, given)
        if step not in ("delete/drop_failed_parts", "writeback/drop_parts"):
            assert without_times(here) == without_times(there), step
        for asked, parameters in ASKED:
            there = without_times(gateway.run(catalogue()[asked], **parameters))
            here = without_times(disk.run(asked, parameters))
            key = str
            assert sorted(here, key=key) == sorted(there, key=key), (step, given, asked)


def test_the_lease_in_a_folder_keeps_a_second_holder_out(tmp_path: Path) -> None:
    disk = DiskVersions(tmp_path)
    take = {"milliseconds": 60_000, "silent_since": "", "force": False}
    (first,) = disk.run("lease/take", {**take, "holder": "one"})
    (second,) = disk.run("lease/take", {**take, "holder": "two"})
    assert (first["taken"], second["taken"], second["holder"]) == (True, False, "one")
    (forced,) = disk.run("lease/take", {**take, "holder": "two", "force": True})
    assert (forced["taken"], forced["fence"]) == (True, 2)
    assert disk.run("lease/renew", {"holder": "one", "fence": 1, "milliseconds": 1}) == [
        {"renewed": False}
    ]
    assert disk.run("lease/hold", {"holder": "two", "fence": 2}) == [{"held": True}]
    assert disk.run("lease/release", {"holder": "two", "fence": 2}) == [{"released": True}]
    assert disk.run("lease/holder", {}) == []
