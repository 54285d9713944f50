"""`recommendation_id`: what an answer was, in a signed text that every worker can read.

    id      = base64url(payload ‖ HMAC-SHA256(secret, payload)[:16]), without padding
    payload = form (1 byte) ‖ Unix seconds (4) ‖ nonce (9) ‖ n (1) ‖ n fingerprints (3 each) ‖ JSON
              ‖ 0 (1) ‖ id of the user (UTF-8) ‖ explored

A fingerprint is BLAKE2b of an item's id under the same secret, of three bytes; the items are the
first 100 of the list, in their order. The JSON has the version of the blend, and where there is one
how many bytes the id of the user has, the scenario with its revision, the experiment with its
revision and variant, and names of what was known of items that were tried out. Where something may
be tried out there is

    explored = m (1 byte) ‖ m propensities (float64) ‖ n numbers of propensities (1 each)
               ‖ t (1) ‖ t places (1 each) ‖ what was known of their items (float16, t rows at most)

Nothing is stored when an answer is made. The id can be read by those who have it: it is signed, not
secret.
"""

import binascii
import hmac
import secrets
import time
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from pathlib import Path
from struct import Struct
from typing import Final

import numpy as np
import orjson

from loaders.files import file_lock, write_bytes
from recsvc.errors import RecommendationIdError, SettingsError

MAX_PLACES: Final = 100
"""How many items of a list an id knows."""
MAX_ID_CHARACTERS: Final = 8_192
"""Most characters of an id. What would not fit of what was known of items is left out, those of
the last places first; all else takes less than 6,500, whatever the names and ids are."""
MIN_SECRET_BYTES: Final = 16

_FORM = 2
_HEAD = Struct(">BI9s")
_MAC_BYTES = 16
_SECRET_BYTES = 32
_MARK_BYTES = 3
_MOST_CONTENTS = MAX_ID_CHARACTERS * 3 // 4 - _HEAD.size - _MAC_BYTES
_CHANCE = np.dtype("<f8")
_KNOWN = np.dtype("<f2")
_MOST_KNOWN = float(np.finfo(_KNOWN).max)


@dataclass(frozen=True, slots=True)
class Origin:
    """What made an answer, and for whom.

    Attributes:
        version: of the blend.
        user_id: who asked; None for a session.
        scenario: name of the scenario; None where there was none.
        revision: of the scenario.
        experiment: name of the experiment; None where there was none.
        experiment_revision: of the experiment.
        variant: the one the user has in it.
        propensities: by place from 1, the chance with which its item was put there, 0 where that
            is not known; all others have 1.
        tried: by place from 1, what was known of the item that was tried out there, by name: the
            same names at each place, the values those of a float16, see `stored_feature`. Empty
            where an id has no room for it.
    """

    version: int
    user_id: str | None = None
    scenario: str | None = None
    revision: int | None = None
    experiment: str | None = None
    experiment_revision: int | None = None
    variant: str | None = None
    propensities: Mapping[int, float] = field(default_factory=dict[int, float])
    tried: Mapping[int, Mapping[str, float]] = field(default_factory=dict[int, Mapping[str, float]])


@dataclass(frozen=True, slots=True)
class Recommendation:
    """An answer, as its id tells it.

    Attributes:
        name: a short text that no other answer has.
        at: when it was sent, in Unix seconds.
        origin: what made it.
        fingerprints: of its items, in their order.
    """

    name: str
    at: int
    origin: Origin
    fingerprints: tuple[bytes, ...]


class RecommendationIds:
    """Makes ids under a secret, and reads those that were made under it.

    Args:
        secret: `MIN_SECRET_BYTES` or more; a new one where none is given, so that only this
            process can read its ids.
    """

    def __init__(self, secret: bytes | None = None) -> None:
        self._secret = secret or secrets.token_bytes(_SECRET_BYTES)
        self._fingerprint = blake2b(key=self._secret[:64], digest_size=_MARK_BYTES)

    def contents(self, origin: Origin, item_ids: Sequence[str]) -> bytes:
        """What all ids of the same list have in common; `issue` makes one of it."""
        marks = b"".join(map(self.mark, item_ids[:MAX_PLACES]))
        n = len(marks) // _MARK_BYTES
        whole = bytes([n]) + marks + _written(origin) + _explored(origin, n)
        if (over := len(whole) - _MOST_CONTENTS) <= 0:
            return whole
        row = _KNOWN.itemsize * len(_names_known(origin))
        rows = len(origin.tried) - -(-over // row)  # they come last
        if rows > 0:
            return whole[: len(whole) - row * (len(origin.tried) - rows)]
        return self.contents(replace(origin, tried={place: {} for place in origin.tried}), item_ids)

    def issue(self, contents: bytes) -> str:
        """A new id for an answer that is sent now, given its `contents`."""
        payload = _HEAD.pack(_FORM, int(time.time()), secrets.token_bytes(9)) + contents
        return urlsafe_b64encode(payload + self._mac(payload)).rstrip(b"=").decode()

    def read(self, recommendation_id: str) -> Recommendation:
        """What an id tells.

        Raises:
            RecommendationIdError: it was not made under this secret.
        """
        whole = _decoded(recommendation_id)
        payload, mac = whole[:-_MAC_BYTES], whole[-_MAC_BYTES:]
        signed = len(payload) > _HEAD.size and hmac.compare_digest(mac, self._mac(payload))
        if not signed or payload[0] != _FORM:
            raise RecommendationIdError(
                "expected a recommendation_id of an answer of this service: this is none, or it "
                "was changed, or another service made it"
            )
        _, at, nonce = _HEAD.unpack_from(payload)
        count = payload[_HEAD.size]
        begin = _HEAD.size + 1
        end = begin + _MARK_BYTES * count
        marks = tuple(
            payload[place : place + _MARK_BYTES] for place in range(begin, end, _MARK_BYTES)
        )
        return Recommendation(
            urlsafe_b64encode(nonce).decode(), at, _origin(payload[end:], count), marks
        )

    def place(self, shown: Recommendation, item_id: str, stated: int | None = None) -> int:
        """The place of an item in an answer, from 1.

        Args:
            shown: the answer.
            item_id: of the item.
            stated: the place that is said to be the item's, if any.

        Raises:
            RecommendationIdError: the item was not there, or not at that place.
        """
        mark = self.mark(item_id)
        if mark not in shown.fingerprints:
            raise RecommendationIdError(
                f"expected an item of this answer: {item_id!r} is not among its "
                f"{len(shown.fingerprints)} first",
                "item_id",
            )
        if stated is None:
            return shown.fingerprints.index(mark) + 1
        if stated > len(shown.fingerprints) or shown.fingerprints[stated - 1] != mark:
            raise RecommendationIdError(
                f"expected the place of {item_id!r} in this answer, "
                f"{shown.fingerprints.index(mark) + 1}, or none: came {stated}",
                "position",
            )
        return stated

    def mark(self, item_id: str) -> bytes:
        """The fingerprint of an item."""
        hashed = self._fingerprint.copy()
        hashed.update(item_id.encode("utf-8", "surrogatepass"))
        return hashed.digest()

    def _mac(self, payload: bytes) -> bytes:
        return hmac.digest(self._secret, payload, "sha256")[:_MAC_BYTES]


def contents_of(recommendation_id: str) -> bytes:
    """The `RecommendationIds.contents` of an id that this process has made."""
    return _decoded(recommendation_id)[_HEAD.size : -_MAC_BYTES]


def kept_secret(path: Path) -> bytes:
    """The secret of a file, which is made where it is missing.

    Raises:
        SettingsError: the file holds none.
        OSError: it cannot be read or made.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with file_lock(path.with_name(f"{path.name}.lock")):
            if not path.exists():
                write_bytes(path, secrets.token_bytes(_SECRET_BYTES))
                path.chmod(0o600)
    secret = path.read_bytes()
    if len(secret) < MIN_SECRET_BYTES:
        raise SettingsError(
            f"{path} holds {len(secret)} bytes, expected at least {MIN_SECRET_BYTES}: remove it, "
            "and another is made; what was signed with it before is refused then"
        )
    return secret


_NAMES: Final = {
    "v": "version", "s": "scenario", "r": "revision", "e": "experiment",
    "f": "experiment_revision", "w": "variant",
}  # fmt: skip


def _written(origin: Origin) -> bytes:
    values = {short: getattr(origin, name) for short, name in _NAMES.items()}
    document = {short: value for short, value in values.items() if value is not None}
    user = b""
    if origin.user_id is not None:
        user = origin.user_id.encode()
        document["u"] = len(user)
    if origin.tried:
        document["x"] = _names_known(origin)
    return orjson.dumps(document) + b"\0" + user


def _names_known(origin: Origin) -> list[str]:
    return [*next(iter(origin.tried.values()), ())]


def _explored(origin: Origin, n: int) -> bytes:
    """What an id says of exploration at its n places; nothing where nothing may be tried out."""
    if not origin.propensities and not origin.tried:
        return b""
    chances = [origin.propensities.get(place, 1.0) for place in range(1, n + 1)]
    several, names = sorted(set(chances)), _names_known(origin)
    known = np.array([[own[name] for name in names] for own in origin.tried.values()], _KNOWN)
    return b"".join((
        bytes([len(several)]), np.array(several, _CHANCE).tobytes(),
        bytes(map(several.index, chances)), bytes([len(known)]), bytes(origin.tried),
        known.tobytes(),
    ))  # fmt: skip


def _origin(written: bytes, n: int) -> Origin:
    text, _, rest = written.partition(b"\0")  # JSON has no such byte
    document = orjson.loads(text)
    names, size = document.pop("x", ()), document.pop("u", None)
    user_id = None if size is None else rest[:size].decode()
    named = {_NAMES[short]: value for short, value in document.items()}
    explored = rest[size or 0 :]
    if not explored:
        return Origin(**named, user_id=user_id)
    at = 1 + _CHANCE.itemsize * explored[0]
    several = np.frombuffer(explored[1:at], _CHANCE).tolist()
    chances = enumerate((several[number] for number in explored[at : at + n]), start=1)
    at += n
    end = at + 1 + explored[at]
    tried: dict[int, Mapping[str, float]] = {place: {} for place in explored[at + 1 : end]}
    rows = np.frombuffer(explored[end:], _KNOWN).reshape(-1, max(1, len(names)))
    for place, row in zip(tried, rows, strict=False):  # there may be no room for all of them
        tried[place] = dict(zip(names, map(stored_feature, row), strict=True))
    propensities = {place: chance for place, chance in chances if chance < 1.0}
    return Origin(**named, user_id=user_id, propensities=propensities, tried=tried)


def stored_feature(value: float) -> float:
    """What an id keeps of a value: three digits, and at most 65,504 either way."""
    stored = np.float16(np.clip(value, -_MOST_KNOWN, _MOST_KNOWN))
    return float(str(stored))  # the shortest number that is this one as a float16


def _decoded(recommendation_id: str) -> bytes:
    """The bytes of an id, nothing where it is no base64url as it is written here."""
    text = recommendation_id.translate(_TO_BASE64)
    try:
        whole = binascii.a2b_base64(text + "=" * (-len(text) % 4), strict_mode=True)
    except ValueError:
        return b""
    same = urlsafe_b64encode(whole).rstrip(b"=").decode() == recommendation_id
    return whole if same else b""


_TO_BASE64 = str.maketrans("-_", "+/")
