"""What goes out about scenarios."""

from datetime import datetime

from recsvc.scenarios.document import Scenario
from recsvc.service.documents import RecommendationsDocument
from recsvc.service.schemas import Document


class ScenarioDocument(Document):
    """A stored scenario."""

    name: str
    revision: int
    """Its number; each change makes the next one."""
    at: datetime | None
    """When it was stored."""
    scenario: Scenario | None
    """Null where somebody edited it and it cannot be read."""
    trouble: str | None
    """Then why."""
    revisions: list[int]
    """The revisions that are kept, newest first."""


class ScenariosDocument(Document):
    """All stored scenarios, without their earlier revisions."""

    scenarios: list[ScenarioDocument]


class ScenarioWrittenDocument(Document):
    """It is in Neo4j, and counts in this process from now on; in others within a second."""

    name: str
    revision: int


class MoveDocument(Document):
    """An item that a scenario moves."""

    item_id: str
    title: str | None
    before: int | None
    """Its rank without what is tried; null where it was not in the list."""
    after: int | None
    """Its rank under what is tried; null where it is not in the list."""
    why: str


class TriedDocument(Document):
    """Two lists for one user."""

    before: RecommendationsDocument
    """Under the stored scenario of this name; without any where there is none."""
    after: RecommendationsDocument
    """Under the scenario that is tried."""
    moves: list[MoveDocument]
