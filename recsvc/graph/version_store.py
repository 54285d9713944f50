"""The versions that Neo4j holds, and the arrays of them."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

from loaders.catalogue import catalogue
from loaders.gateway import Gateway, Row
from loaders.parts import Part, named_parts
from loaders.stored_json import json_object
from recsvc.errors import SnapshotError
from recsvc.graph.json_values import is_time, json_value
from recsvc.graph.rows import UNKNOWN, ActiveVersion, active_version
from recsvc.graph.transport import Transport

_JSON = ("options", "metrics", "signal_metrics")
_TIMES = ("started_at", "graph_at", "ready_at", "activated_at", "retired_at")
_VERSIONS_LIMIT = 200


class VersionStore(Transport):
    """Reads versions."""

    async def active_versions(self) -> dict[str, ActiveVersion]:
        """The active version of every model, by name.

        In a cluster all later reads see what is stored of them, whichever server answers.
        """
        before = self._committed()
        query = catalogue()["serve/active_versions"]
        rows, state = await self._run_after(query, {}, UNKNOWN, self.timeout_seconds)
        if (commits := self.address.commits) is not None:
            await asyncio.to_thread(commits.update_bookmarks, before, state)
        return {row["model"]: active_version(row) for row in rows}

    async def versions(self) -> list[Row]:
        """The newest versions of all models, as JSON-ready values."""
        rows = await self._run(catalogue()["serve/versions"], limit=_VERSIONS_LIMIT)
        return [_plain(row["properties"]) for row in rows]

    async def stored_versions(self) -> dict[int, str]:
        """SHA-256 of the stored arrays of the blend that can be served, by version."""
        rows = await self._run(catalogue()["serve/stored_versions"])
        return {row["version"]: row["sha256"] for row in rows}

    async def known_snapshots(self) -> list[tuple[int, str]]:
        """Version and SHA-256 of all arrays of the blend that this graph has or had."""
        rows = await self._run(catalogue()["serve/known_snapshots"])
        return [(row["version"], row["sha256"]) for row in rows]

    async def snapshot_parts(self, version: int) -> AsyncIterator[Part]:
        """The packed arrays of one version of the blend, part by part.

        Raises:
            SnapshotError: it has none, or others by now.
        """
        rows = await self._run(catalogue()["serve/snapshot_parts"], version=version)
        if not rows:
            raise SnapshotError(f"hybrid {version} has no stored arrays: run `recsvc refresh`")
        query = catalogue()["serve/snapshot_part"]
        for name, header in named_parts(rows):
            if header is not None:
                yield header
                continue
            stored = await self._run(
                query, version=version, entry=name.entry, number=name.number, sha256=name.sha256
            )
            if not stored:
                raise SnapshotError(f"the arrays of hybrid {version} were rewritten meanwhile")
            yield Part(name.entry, name.number, stored[0]["content"])


def all_versions(gateway: Gateway) -> list[Row]:
    """What `VersionStore.versions` gives, for a command.

    Raises:
        Neo4jError: the graph cannot be read.
    """
    rows = gateway.run(catalogue()["serve/versions"], limit=_VERSIONS_LIMIT)
    return [_plain(row["properties"]) for row in rows]


def _plain(properties: Mapping[str, Any]) -> dict[str, Any]:
    """A version's properties as JSON-ready values; the texts that hold JSON are read.

    `unreadable` names those that cannot be read, where there are any.
    """
    values = {
        name: _readable(name, value)
        for name, value in sorted(properties.items())
        if value is not None
    }
    unreadable = [name for name, value in values.items() if value is None]
    readable = {name: value for name, value in values.items() if value is not None}
    return readable | ({"unreadable": unreadable} if unreadable else {})


def _readable(name: str, value: Any) -> Any:
    """A property of a version as a JSON-ready value; None where it cannot be read."""
    if name in _JSON:
        return json_object(value)
    if name in _TIMES and not is_time(value):
        return None
    return json_value(value)
