"""What goes in and out where somebody looks at themselves by a link."""

from datetime import datetime
from typing import Any

from recsvc.service.schemas import Document, EvidenceName, Id, Kind, RequestBody


class MeDocument(Document):
    """Who a link is for."""

    user_id: str
    expires_at: datetime
    """From when on the link opens nothing."""
    properties: dict[str, Any]
    """What the shop stored of them, such as a name."""


class TakeBackOptions(Document):
    """Which piece of evidence is taken back."""

    evidence: EvidenceName
    """Such as `item:55`, `user:7` or `category:24`: all that they did with an item, that they
    follow somebody, that they prefer a category."""
    event: Kind | None = None
    """Of an item, the kind of event that is taken back; left out, all kinds."""


class HideRequest(RequestBody):
    """An item that is to be hidden."""

    item_id: Id


class HiddenDocument(Document):
    """An item that is hidden."""

    item_id: str
