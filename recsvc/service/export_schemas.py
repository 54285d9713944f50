"""What is known of a user, as the OpenAPI document describes it."""

from datetime import datetime
from typing import Any

from recsvc.service.documents import RecommendationsDocument
from recsvc.service.schemas import Document


class VectorDocument(Document):
    """What a model made of a user."""

    name: str
    """Of the property of the node."""
    model: str | None
    version: int | None
    """Both are null where the version is not there any more."""
    vector: Any
    """Its numbers, or whatever is there where somebody edited it."""


class MeasuredDocument(Document):
    """How good a version of the blend was for a user while it was being measured."""

    version: int
    ndcg: float


class ExportDocument(Document):
    """All that is known of and derived from a user. Lists are whole, however long they are."""

    user_id: str
    exported_at: datetime
    user: dict[str, Any]
    """Their properties."""
    vectors: list[VectorDocument]
    measured: list[MeasuredDocument]
    recommendations: RecommendationsDocument | None
    """The list of ten that they get now; null where nothing has been refreshed yet."""
    interactions: list[dict[str, Any]]
    follows: list[dict[str, Any]]
    followers: list[dict[str, Any]]
    preferences: list[dict[str, Any]]
    events: list[dict[str, Any]]
    """The ledger: each event that came over HTTP."""
    outcomes: list[dict[str, Any]]
