"""API keys: who may ask the service for what.

A key is 256 random bits after `recsvc_`. There is nothing in it to guess, so a file keeps its
SHA-256 as it is. As soon as a key was made, every request needs one: also when none is left, when
the file is gone or damaged, and after another start. A mark beside it says that there was one.
"""

import hashlib
import os
import secrets
import stat
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import structlog
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
)

from loaders.files import file_lock, write_bytes
from loaders.repeated_names import repeated_names
from recsvc.errors import ApiKeyError
from recsvc.settings import Settings

MAX_KEYS: Final = 1000
_MARK = """\
API keys were made here. While this file is there, the service answers nobody without a key, also
when the file of the keys is gone. To do without keys again: end the service, remove both files,
start it.
"""
_PREFIX = "recsvc_"
_BYTES = 32
_MOST_BYTES = 1_000 * MAX_KEYS

_log = structlog.get_logger()


class Scope(StrEnum):
    """What a key is for; each covers those before it."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"

    def covers(self, wanted: "Scope") -> bool:
        """Whether a key of this scope may do what needs the other."""
        scopes = list(Scope)
        return scopes.index(self) >= scopes.index(wanted)


class ApiKey(BaseModel):
    """What is kept of a key."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[\w.@ -]+$")]
    """Who has it; shown in lists and in the log."""
    scope: Scope
    created_at: datetime
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", repr=False)]


def _no_name(name: str) -> ApiKeyError:
    return ApiKeyError(
        f"{name!r} cannot be the name of a key: expected up to 100 letters, digits, spaces and "
        ". @ _ -, and not spaces only"
    )


def _each_once(keys: list[ApiKey]) -> list[ApiKey]:
    for values in ([each.name for each in keys], [each.sha256 for each in keys]):
        if len(set(values)) < len(values):
            raise ValueError("expected each name and each hash once")
    return keys


_KEYS = TypeAdapter(Annotated[list[ApiKey], Field(max_length=MAX_KEYS), AfterValidator(_each_once)])


class KeyFile:
    """The keys of a service, in a file that is written whole or not at all."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.mark = path.with_name(f"{path.name}.made")

    @property
    def was_made(self) -> bool:
        """Whether there ever was a key, as far as can be told."""
        return _is_there(self.path) or _is_there(self.mark)

    def leave_mark(self) -> None:
        """Note that there are keys; left out where nothing can be written beside them."""
        with suppress(OSError):
            if not self.mark.exists():
                self.mark.write_text(_MARK)

    def keys(self) -> list[ApiKey] | None:
        """All keys in the order of their making, or None where there never was one.

        Raises:
            ApiKeyError: the file cannot be read.
        """
        try:
            content = _content(self.path)
            if twice := repeated_names(content):
                raise self._unreadable(f"a key has {twice[0]!r} twice")
            return _KEYS.validate_json(content)
        except FileNotFoundError:
            return None
        except (OSError, ValidationError) as error:
            raise self._unreadable(_why(error)) from None

    def create(self, name: str, scope: Scope) -> str:
        """Make a key, which is shown here and never again.

        Raises:
            ApiKeyError: the name is taken or none, or there are too many keys.
        """
        secret = _PREFIX + secrets.token_urlsafe(_BYTES)
        created_at = datetime.now(UTC).replace(microsecond=0)
        try:
            key = ApiKey(name=name, scope=scope, created_at=created_at, sha256=_sha256(secret))
        except ValidationError:
            raise _no_name(name) from None
        if not name.strip():
            raise _no_name(name)
        with self._changed() as keys:
            if any(each.name == name for each in keys):
                raise ApiKeyError(f"there is a key {name!r} already: revoke it, or name another")
            if len(keys) == MAX_KEYS:
                raise ApiKeyError(f"there are {MAX_KEYS} keys already: revoke one")
            keys.append(key)
        return secret

    def revoke(self, name: str) -> int:
        """End a key; how many are left.

        Raises:
            ApiKeyError: there is no such key.
        """
        with self._changed() as keys:
            left = [each for each in keys if each.name != name]
            if len(left) == len(keys):
                raise ApiKeyError(f"there is no key {name!r}: `recsvc keys list` names them")
            keys[:] = left
        return len(left)

    def _unreadable(self, why: str) -> ApiKeyError:
        return ApiKeyError(
            f"the API keys in {self.path} cannot be read ({why}): put back the file as it was, or "
            "remove it and create all keys again; until then nobody is answered"
        )

    @contextmanager
    def _changed(self) -> Generator[list[ApiKey]]:
        """The keys, written as they are left; one after the other where several change them."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with file_lock(self.path.with_name(f"{self.path.name}.lock")):
            keys = self.keys() or []
            yield keys
            write_bytes(self.path, _KEYS.dump_json(keys, indent=1))
            self.leave_mark()  # where no key could be kept, there was none


class KeyRing:
    """The keys as a service looks them up; a change of their file counts for the next request.

    Where there were keys and they are gone or cannot be read, there is no key that fits.

    Args:
        file: the keys.
        always: whether a request needs one even where none was ever made.

    Raises:
        ApiKeyError: the file cannot be read.
    """

    def __init__(self, file: KeyFile, *, always: bool = False) -> None:
        self._file = file
        self._always = always
        self._stamp = _stamp(file.path)
        keys = file.keys()
        self._keys = _by_sha256(keys or [])
        self._closed = file.was_made
        if keys is not None:
            file.leave_mark()
        elif self._closed:
            _log.error("the API keys are gone: nobody is answered", file=str(file.path))

    @property
    def needed(self) -> bool:
        """Whether a request needs a key."""
        self._look()
        self._closed = self._closed or self._file.was_made
        return self._always or self._closed

    def find(self, secret: str) -> ApiKey | None:
        """The key that somebody showed, if it is one."""
        self._look()
        return self._keys.get(_sha256(secret))

    def _look(self) -> None:
        """Read the file again where it is another one."""
        stamp = _stamp(self._file.path)
        if stamp == self._stamp:
            return
        self._stamp, self._closed, self._keys = stamp, True, {}
        try:
            keys = self._file.keys()
        except ApiKeyError as error:
            _log.error("the API keys were changed and cannot be read", reason=str(error))
            return
        if keys is None:
            _log.error("the API keys are gone: nobody is answered", file=str(self._file.path))
        self._keys = _by_sha256(keys or [])


def key_file(settings: Settings) -> KeyFile:
    """The keys of the service on this machine."""
    return KeyFile(settings.keys_file or settings.home / "keys.json")


def key_ring(settings: Settings) -> KeyRing:
    """The keys as the service looks them up: always needed where it listens for others.

    Raises:
        ApiKeyError: their file cannot be read.
    """
    return KeyRing(key_file(settings), always=not settings.host.is_loopback)


def _by_sha256(keys: Sequence[ApiKey]) -> dict[str, ApiKey]:
    return {each.sha256: each for each in keys}


def _why(error: OSError | ValidationError) -> str:
    """What is wrong with the file, without what it holds."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    where = ".".join(map(str, first["loc"]))
    return f"{where}: {first['msg']}" if where else first["msg"]


def _content(path: Path) -> bytes:
    """What a regular file holds: a pipe or a device in its place would be waited for without end.

    Raises:
        OSError: it is none, is too large, or cannot be read.
    """
    file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(file, "rb") as opened:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode) or status.st_size > _MOST_BYTES:
            raise OSError(f"expected a file of at most {_MOST_BYTES:,} bytes")
        return opened.read(_MOST_BYTES)


def _is_there(path: Path) -> bool:
    """Whether there is a file; where nobody can tell, there is."""
    try:
        path.stat()
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return True


def _stamp(path: Path) -> tuple[int, int, int, int] | None:
    """What changes with the file: each writing makes another one, and a mode says who may read."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size, status.st_mode


def _sha256(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
