"""Links that open to one person what is known of them, and nothing of anybody else.

    link  = "recsvc_person_" + JWT (RFC 7519) of {sub: user id, exp: Unix seconds, mark}
    signed with HMAC-SHA256 under RECSVC_HOME/person_links/secret, which is made once

The mark is random and kept in a file of its own for each person who has a link. It goes when the
person is deleted, so their links end, also where somebody of the same id comes later. A new mark
ends the links that were made before.
"""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from loaders.files import file_lock, write_bytes
from recsvc.errors import PersonLinkError
from recsvc.outcomes.recommendation_id import kept_secret

FOLDER: Final = "person_links"
"""The folder of the secret and the marks, below `RECSVC_HOME`."""

_PREFIX = "recsvc_person_"
_ALGORITHM = "HS256"
_MARK_BYTES = 16
_AGAIN = "ask for a new one where you got this one"
_NOT_OURS = (
    f"this link is not whole or not of this service, or all links were ended: copy it again, or "
    f"{_AGAIN}"
)
_EXPIRED = f"this link has expired: {_AGAIN}"
_RENEWED = f"a newer link has taken the place of this one: use that, or {_AGAIN}"
_DELETED = "whom this link is for was deleted, so it opens nothing any more"
_UNREADABLE = "the service cannot read what its links are checked with: try again later"


@dataclass(frozen=True, slots=True)
class Person:
    """Who came with a link.

    Attributes:
        user_id: whose link it is.
        expires_at: from when on it opens nothing.
    """

    user_id: str
    expires_at: datetime


def is_person_link(secret: str) -> bool:
    """Whether what somebody showed is meant as a link of a person, and so is no API key."""
    return secret.startswith(_PREFIX)


class PersonLinks:
    """The links of one `RECSVC_HOME`.

    Args:
        home: `RECSVC_HOME`.
    """

    def __init__(self, home: Path) -> None:
        self._folder = home / FOLDER

    def make(self, user_id: str, expires_at: datetime, *, renew: bool = False) -> str:
        """A link for a user.

        Args:
            user_id: the user.
            expires_at: from when on it opens nothing.
            renew: end the user's links that were made before.

        Raises:
            SettingsError: the file of the secret holds none.
            OSError: the folder cannot be read or written.
        """
        import jwt  # it takes a tenth of a second, and most commands make no link

        secret = kept_secret(self._folder / "secret")
        mark = self._kept_mark(user_id, renew=renew)
        claims = {"sub": user_id, "exp": int(expires_at.timestamp()), "mark": mark}
        return _PREFIX + jwt.encode(claims, secret, _ALGORITHM)

    def read(self, link: str) -> Person:
        """Who came with a link.

        Raises:
            PersonLinkError: it opens nothing, or nothing any more.
        """
        try:
            claims = self._claims(link.removeprefix(_PREFIX))
            mark = self._mark(claims["sub"])
        except OSError:
            raise PersonLinkError(_UNREADABLE) from None
        if mark is None:
            raise PersonLinkError(_DELETED)
        if mark != claims["mark"]:
            raise PersonLinkError(_RENEWED)
        return Person(claims["sub"], datetime.fromtimestamp(claims["exp"], UTC))

    def forget(self, user_id: str) -> None:
        """End all links of a user.

        Raises:
            OSError: the folder cannot be written.
        """
        self._mark_file(user_id).unlink(missing_ok=True)

    def _claims(self, token: str) -> dict[str, Any]:
        import jwt

        try:
            secret = (self._folder / "secret").read_bytes()
            return jwt.decode(
                token, secret, [_ALGORITHM], options={"require": ["sub", "exp", "mark"]}
            )
        except jwt.ExpiredSignatureError:
            raise PersonLinkError(_EXPIRED) from None
        except (FileNotFoundError, jwt.PyJWTError):
            raise PersonLinkError(_NOT_OURS) from None

    def _kept_mark(self, user_id: str, *, renew: bool) -> str:
        with file_lock(self._folder / "lock"):
            mark = self._mark(user_id)
            if mark is None or renew:
                mark = secrets.token_hex(_MARK_BYTES)
                write_bytes(self._mark_file(user_id), mark.encode())
                self._mark_file(user_id).chmod(0o600)
        return mark

    def _mark(self, user_id: str) -> str | None:
        try:
            return self._mark_file(user_id).read_text()
        except FileNotFoundError:
            return None

    def _mark_file(self, user_id: str) -> Path:
        return self._folder / hashlib.sha256(user_id.encode()).hexdigest()


def lasting(hours: int) -> datetime:
    """The end of a link that lasts some hours from now on."""
    return datetime.now(UTC).replace(microsecond=0) + timedelta(hours=hours)
