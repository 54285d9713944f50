"""Whether a service can answer, and what its answers lack."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

PARTS: Final = ("neo4j", "snapshot", "shards", "writes", "schema", "scenario", "experiment")
"""What may be amiss."""


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether a service can answer at all, and what is amiss, by part and for anybody to read.

    Attributes:
        missing: what keeps it from answering; empty when nothing does.
        degraded: what its answers or writes lack; empty when they lack nothing.
    """

    missing: Mapping[str, str] = field(default_factory=dict[str, str])
    degraded: Mapping[str, str] = field(default_factory=dict[str, str])
