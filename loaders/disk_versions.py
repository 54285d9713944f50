"""Versions of a graph that is not written: kept in a folder instead of in Neo4j.

`[graph] writes = "none"` is for a user who may only read, or a replica. The queries that keep books
of ours, `writeback/begin_version` and the like, are answered from a file of JSON and a folder of
parts. Vectors and `SIMILAR` are not written at all.
"""

import json
import re
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import neo4j.time

from loaders.files import file_lock, write_bytes

Row = dict[str, Any]
Version = dict[str, Any]

_TIMES = ("started_at", "ready_at", "activated_at", "retired_at", "graph_at")
_VECTORS = re.compile(r"writeback/\w+_vector(s|_index)\[")
"""Queries of vectors, which are not kept."""
_PER_USER = ("validation_users", "validation_ndcg", "validation_asked")
_STORED = ("ready", "active", "retired")


class DiskVersions:
    """Answers the queries of versions, their parts and the lease from a folder.

    Args:
        folder: of the books and the parts; made when something is written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @staticmethod
    def answers(name: str) -> bool:
        """Whether a query is answered here, and not by Neo4j."""
        return name in _ANSWERS or _VECTORS.match(name) is not None

    def run(self, name: str, parameters: Mapping[str, Any]) -> list[Row]:
        """The rows of a query.

        Raises:
            OSError: the folder cannot be written or read.
        """
        if _VECTORS.match(name):
            return [{"written": 0, "cleared": 0}]
        answer, writes = _ANSWERS[name]
        if not writes and not self._folder.is_dir():
            return answer(_Books({"versions": [], "lease": {}}, self._folder), parameters)
        with self._books(writes=writes) as books:
            return answer(books, parameters)

    @contextmanager
    def _books(self, *, writes: bool) -> "Generator[_Books]":
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / "versions.json"
        with file_lock(self._folder):
            text = path.read_bytes() if path.exists() else b'{"versions": [], "lease": {}}'
            contents = json.loads(text)
            yield _Books(contents, self._folder)
            if writes:
                write_bytes(path, json.dumps(contents, default=_as_json).encode())


def _as_json(value: Any) -> str:
    return value.isoformat()


def _now() -> str:
    return datetime.now(UTC).isoformat()


def _time(text: str | None) -> neo4j.time.DateTime | None:
    return None if text is None else neo4j.time.DateTime.from_native(datetime.fromisoformat(text))


class _Books:
    """What is in the file."""

    def __init__(self, contents: dict[str, Any], folder: Path) -> None:
        self.versions: list[Version] = contents["versions"]
        self.lease: dict[str, Any] = contents["lease"]
        self._folder = folder

    def of(self, model: str = "", *statuses: str) -> list[Version]:
        """Versions of a model, or of all, in one of some statuses, or in any."""
        return [
            version for version in self.versions
            if (not model or version["model"] == model)
            and (not statuses or version["status"] in statuses)
        ]  # fmt: skip

    def find(self, model: str, number: int) -> Version | None:
        """A version."""
        return next((version for version in self.of(model) if version["version"] == number), None)

    def part(self, sha256: str) -> Path:
        """Where the content of a part is."""
        return self._folder / "parts" / sha256

    def drop_parts(self, version: Version) -> int:
        """Remove the parts of a version that no other has; how many they were."""
        parts = version.pop("parts", [])
        in_use = {part[2] for version in self.versions for part in version.get("parts", ())}
        for _, _, sha256 in parts:
            if sha256 not in in_use:
                self.part(sha256).unlink(missing_ok=True)
        return len(parts)


# --- versions ---------------------------------------------------------------------------------


def _begin(books: _Books, given: Mapping[str, Any]) -> list[Row]:
    model = given["model"]
    active = next((version["slot"] for version in books.of(model, "active")), None)
    slot = None if model == "hybrid" else "b" if active == "a" else "a"
    for version in books.of(model):
        version["slot"] = None if version["slot"] == slot else version["slot"]
    number = max((version["version"] for version in books.of(model)), default=0) + 1
    new = dict(given) | {"version": number, "slot": slot, "status": "building"}
    new["started_at"] = _now()
    books.versions.append(new)
    return [_named(new)]


def _named(version: Version) -> Row:
    return {key: version[key] for key in ("version", "slot", "status")}


def _of_run(books: _Books, given: Mapping[str, Any]) -> list[Row]:
    return [
        _named(version) for version in books.of(given["model"]) if version["run"] == given["run"]
    ]


def _unfinished(books: _Books, _given: Mapping[str, Any]) -> list[Row]:
    return [
        {"runs": [version["run"] for version in books.of("hybrid", "building", "ready", "active")]}
    ]


def _fail(books: _Books, given: Mapping[str, Any], *, own: bool) -> list[Row]:
    failed = [
        version
        for version in books.of("", "building", "ready")
        if (version["run"] == given["run"]) == own
    ]
    for version in failed:
        version |= {"status": "failed", "reason": given["reason"]}
    return [{"failed": len(failed)}]


def _failed_slots(books: _Books, _given: Mapping[str, Any]) -> list[Row]:
    failed = {(version["model"], version["slot"]) for version in books.of("", "failed")}
    others = {(e["model"], e["slot"]) for e in books.versions if e["status"] != "failed"}
    return [{"model": m, "slot": slot} for m, slot in sorted(failed - others, key=str) if slot]


def _leave_slot(books: _Books, given: Mapping[str, Any]) -> list[Row]:
    versions = [e for e in books.of(given["model"], "failed") if e["slot"] == given["slot"]]
    for version in versions:
        version["slot"] = None
    return [{"left": len(versions)}]


def _drop_failed(books: _Books, _given: Mapping[str, Any]) -> list[Row]:
    return [{"dropped": sum(map(books.drop_parts, books.of("hybrid", "failed")))}]


def _ready(books: _Books, given: Mapping[str, Any]) -> list[Row]:
    marked = 0
    for wanted in given["versions"]:
        version = books.find(wanted["model"], wanted["version"])
        if version is not None and version["status"] == "building":
            version |= {**wanted["properties"], "status": "ready", "ready_at": _now()}
            marked += 1
    return [{"marked": marked}]


def _activate(books: _Books, given: Mapping[str, Any]) -> list[Row]:
    activation = max((version.get("activation", 0) for version in books.versions), default=0) + 1
    activated = 0
    for wanted in given["versions"]:
        new = books.find(wanted["model"], wanted["version"])
        if new is None or new["status"] not in ("active", *given["statuses"]):
            continue
        activated += 1
        for old in books.of(wanted["model"], "active"):
            if old is not new:
                old |= {"status": "retired", "retired_at": _now()}
        if new["status"] != "active":
            new |= {"activation": activation, "activated_at": _now()}
        new |= {"status": "active", "retired_at": None}
        if given["overridden"] is not None:
            new["overridden"] = given["overridden"]
    return [{"activated": activated}]


def _drop_parts(books: _Books, given: Mapping[str, Any]) -> list[Row]:
    order = sorted(books.of("hybrid"), key=lambda version: (
        version["status"] != "active", version["status"] == "failed", -version.get("activation", 0),
        -version["version"],
    ))  # fmt: skip
    old = [version for version in order if version["status"] != "building"][given["keep"] :]
    return [{"dropped": sum(map(books.drop_parts, old))}]


def _drop_versions(books: _Books, given: Mapping[str, Any]) -> list[Row]:
    old: list[Version] = []
    for model in {version["model"] for version in books.versions}:
        newest = sorted(books.of(model), key=lambda version: -version["version"])
        old += [
            version for version in newest[given["keep"] :]
            if version["status"] in ("retired", "failed")
            and not version["slot"] and not version.get("parts")
        ]  # fmt: skip
    for version in old:
        books.versions.remove(version)
    return [{"dropped": len(old)}]


def _active(books: _Books, _given: Mapping[str, Any]) -> list[Row]:
    return [
        {
            **{key: version.get(key) for key in ("model", "version", "slot", "sha256", "metrics")},
            "seconds": version.get("seconds"), "activated_at": _time(version["activated_at"]),
        }
        for version in sorted(books.of("", "active"), key=lambda version: version["model"])
    ]  # fmt: skip


def _all_versions(books: _Books, given: Mapping[str, Any]) -> list[Row]:
    rows: list[Row] = []
    for version in sorted(books.versions, key=lambda one: (one["model"], -one["version"])):
        shown = {k: v for k, v in version.items() if k not in (*_PER_USER, "kinds", "parts")}
        shown |= {name: _time(shown.get(name)) for name in _TIMES}
        if version["model"] == "hybrid":
            shown["stored"] = bool(version.get("parts"))
        rows.append({"properties": shown})
    return rows[: given["limit"]]


def _active_blend(books: _Books, _given: Mapping[str, Any]) -> list[Row]:
    return [
        {
            "version": version["version"], "sha256": version["sha256"],
            "weights": version.get("weights"), "metrics": version.get("signal_metrics"),
            "below_popularity": version.get("below_popularity", []),
        }
        for version in books.of("hybrid", "active")
    ]  # fmt: skip


def _validation(books: _Books, _given: Mapping[str, Any]) -> list[Row]:
    return [
        {
            "version": version["version"], "run": version["run"], "sha256": version["sha256"],
            **{name.removeprefix("validation_"): version[name] for name in _PER_USER},
        }
        for version in books.of("hybrid", "active")
        if all(name in version for name in _PER_USER)
    ]  # fmt: skip


def _same_run(books: _Books, given: Mapping[str, Any]) -> list[Row]:
    version = books.find(given["model"], given["version"])
    return [
        {
            **{key: other.get(key) for key in ("model", "version", "slot", "status", "sha256")},
            "options": other.get("options"), "parts": len(other.get("parts", ())),
        }
        for other in sorted(books.versions, key=lambda other: other["model"])
        if version is not None and other["run"] == version["run"]
    ]  # fmt: skip


def _before(books: _Books, given: Mapping[str, Any]) -> list[Row]:
    active = next((version["version"] for version in books.of("hybrid", "active")), None)
    old = [e for e in books.of("hybrid", "retired") if active is not None and e["version"] < active]
    old.sort(key=lambda version: (-version.get("activation", 0), -version["version"]))
    before = old[0]["version"] if old else None
    return [{"known": bool(books.of(given["model"])), "active": active, "before": before}]


def _stored(books: _Books, *statuses: str) -> list[Row]:
    return [
        {"version": version["version"], "sha256": version["sha256"]}
        for version in books.of("hybrid", *statuses)
        if version.get("parts") and version.get("sha256")
    ]


def _known(books: _Books, _given: Mapping[str, Any]) -> list[Row]:
    return [
        {"version": version["version"], "sha256": version["sha256"]}
        for version in books.of("hybrid")
        if version.get("sha256")
    ]


# --- parts ------------------------------------------------------------------------------------


def _clear_parts(books: _Books, given: Mapping[str, Any]) -> list[Row]:
    version = books.find("hybrid", given["version"])
    return [{"dropped": books.drop_parts(version) if version is not None else 0}]


def _put_parts(books: _Books, given: Mapping[str, Any]) -> list[Row]:
    version = books.find("hybrid", given["version"])
    if version is not None:
        for part in given["parts"]:
            path = books.part(part["sha256"])
            path.parent.mkdir(exist_ok=True)
            write_bytes(path, part["content"])
            named = [part["entry"], part["number"], part["sha256"]]
            version.setdefault("parts", []).append(named)
    return []


def _parts(books: _Books, given: Mapping[str, Any]) -> list[Row]:
    version = books.find("hybrid", given["version"]) or {}
    return [
        {"entry": entry, "number": number, "sha256": sha256, "header": None}
        for entry, number, sha256 in version.get("parts", ())
    ]


def _part(books: _Books, given: Mapping[str, Any]) -> list[Row]:
    path = books.part(given["sha256"])
    return [{"content": path.read_bytes()}] if path.exists() else []


# --- the lease --------------------------------------------------------------------------------


def _take(books: _Books, given: Mapping[str, Any]) -> list[Row]:
    lease, now = books.lease, datetime.now(UTC).timestamp()
    before = {name: lease.get(name) for name in ("holder", "heartbeat", "acquired_at")}
    taken = (
        given["force"]
        or before["holder"] is None
        or now >= lease.get("expires_at", 0.0)
        or before["heartbeat"] == given["silent_since"]
    )
    if taken:
        lease |= {
            "fence": lease.get("fence", 0) + 1, "holder": given["holder"], "acquired_at": _now(),
            "heartbeat": _now(), "expires_at": now + given["milliseconds"] / 1000,
        }  # fmt: skip
    return [{"taken": taken, "fence": lease["fence"], **before}]


def _holds(books: _Books, given: Mapping[str, Any]) -> bool:
    return (books.lease.get("holder"), books.lease.get("fence")) == (
        given["holder"], given["fence"])  # fmt: skip


def _renew(books: _Books, given: Mapping[str, Any]) -> list[Row]:
    held = _holds(books, given)
    if held:
        expires_at = datetime.now(UTC).timestamp() + given["milliseconds"] / 1000
        books.lease |= {"heartbeat": _now(), "expires_at": expires_at}
    return [{"renewed": held}]


def _release(books: _Books, given: Mapping[str, Any]) -> list[Row]:
    held = _holds(books, given)
    if held:
        books.lease["holder"] = None
    return [{"released": held}]


def _holder(books: _Books, _given: Mapping[str, Any]) -> list[Row]:
    lease = books.lease
    held = lease.get("holder") and datetime.now(UTC).timestamp() < lease["expires_at"]
    return [{"holder": lease["holder"], "acquired_at": _time(lease["acquired_at"])}] if held else []


_Answer = Callable[[_Books, Mapping[str, Any]], list[Row]]


def _always(*rows: Row) -> tuple[_Answer, bool]:
    return (lambda _books, _given: [dict(row) for row in rows]), False


_ANSWERS: Mapping[str, tuple[_Answer, bool]] = {
    "lease/take": (_take, True),
    "lease/hold": (lambda books, given: [{"held": _holds(books, given)}], False),
    "lease/renew": (_renew, True),
    "lease/release": (_release, True),
    "lease/holder": (_holder, False),
    "writeback/begin_version": (_begin, True),
    "writeback/version_of_run": (_of_run, False),
    "writeback/unfinished_runs": (_unfinished, False),
    "writeback/fail_versions": (lambda books, given: _fail(books, given, own=True), True),
    "writeback/fail_unfinished": (lambda books, given: _fail(books, given, own=False), True),
    "writeback/failed_slots": (_failed_slots, False),
    "writeback/leave_slot": (_leave_slot, True),
    "writeback/versions_ready": (_ready, True),
    "writeback/activate": (_activate, True),
    "writeback/active_blend": (_active_blend, False),
    "writeback/active_validation": (_validation, False),
    "writeback/run_of_version": (_same_run, False),
    "writeback/version_before": (_before, False),
    "writeback/drop_parts": (_drop_parts, True),
    "writeback/drop_versions": (_drop_versions, True),
    "writeback/drop_validation": _always({"dropped": 0}),
    "writeback/clear_parts": (_clear_parts, True),
    "writeback/snapshot_parts": (_put_parts, True),
    "writeback/similar": _always({"written": 0}),
    "serve/active_versions": (_active, False),
    "serve/versions": (_all_versions, False),
    "serve/known_snapshots": (_known, False),
    "serve/stored_versions": (lambda books, _given: _stored(books, "active", "retired"), False),
    "serve/snapshot_parts": (_parts, False),
    "serve/snapshot_part": (_part, False),
    "delete/stored_snapshots": (lambda books, _given: _stored(books, *_STORED), False),
    "delete/deletions": _always({"notes": [], "unread": []}),
    "delete/drop_failed_parts": (_drop_failed, True),
    "delete/drop_left_parts": _always({"dropped": 0}),
    "delete/end_deletions": _always({"ended": 0}),
    "ingest/write_lock": _always(),
}
