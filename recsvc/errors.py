"""Every error this package raises on purpose.

    RecsvcError
    ├── SettingsError         a setting is wrong
    ├── ApiKeyError           the API keys cannot be read, or not be changed like that
    ├── TokenError            a token of an OIDC issuer is not to be trusted
    ├── IssuerAwayError       the OIDC issuer cannot say whether a token is
    ├── PersonLinkError       a link of a person opens nothing, or nothing any more
    ├── BusyError             too much is asked for at the same time
    ├── TooMuchError          one request asks for more than can be answered in time
    ├── NotFoundError         a user, item, model or version does not exist
    ├── RecommendationIdError  an id names no answer of this service, or none with that item
    ├── ChangesGoneError      what is asked of the feed of changes is not kept any more
    ├── StreamError           Kafka does not answer, or cannot do what is asked of it
    ├── BackupError           a backup cannot be made or put back
    ├── ProofError            what an answer states as its proof cannot be one
    ├── TrainingError         a model cannot be fitted on this data, or its loss went wrong
    ├── RefreshError          a refresh could not be completed
    │   ├── GateError           its version is not good enough to become active
    │   └── RefreshRunningError  another one is at work
    ├── ExperimentRunningError  one runs that does not go with what is asked
    ├── RevisionError         somebody else stored another revision meanwhile
    ├── ActivationError       a version or a revision cannot be made active as things are
    ├── SnapshotError         no version is active, or its arrays cannot be read
    ├── ShardAwayError        a shard does not answer, or holds other items
    └── DeletionPendingError  a node is gone, and some stored arrays still name it

Each message says what came, what was expected and what to do. None holds a secret.
"""

import errno
from collections.abc import Collection
from typing import Final

FOLDER_ERRNOS: Final = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.EFBIG}
)
"""What is wrong with a folder or its disk, and not with what is written there."""


def file_error(error: OSError) -> str:
    """What a file system refused, in one line with what to do."""
    where = str(error.filename) if error.filename is not None else "a file"
    why = error.strerror or str(error)
    another = "name another place that can be written: RECSVC_HOME moves what recsvc keeps"
    cures = {
        errno.ENOSPC: f"make room on that disk, or {another}",
        errno.EDQUOT: f"make room on that disk, or {another}",
        errno.EFBIG: f"allow larger files there, or {another}",
        errno.EROFS: another,
        errno.EACCES: f"let this user use it, or {another}",
    }
    cure = cures.get(error.errno or 0, "see that it is there and can be used, and try again")
    return " ".join(f"{where} cannot be used ({why}): {cure}".split())


class RecsvcError(Exception):
    """Base of every expected failure in `recsvc`."""


class SettingsError(RecsvcError):
    """A setting has a value that cannot be used."""


class ApiKeyError(RecsvcError):
    """The API keys cannot be read, or not be changed as it was asked for."""


class TokenError(RecsvcError):
    """A token of an OIDC issuer is not to be trusted; no message holds anything of it.

    Args:
        reason: why.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(f"that token is not taken: {reason}; get another from its issuer")


class IssuerAwayError(RecsvcError):
    """The keys of an OIDC issuer cannot be fetched."""


class PersonLinkError(RecsvcError):
    """A link of a person opens nothing, or nothing any more."""


class BusyError(RecsvcError):
    """Too much is asked for at the same time."""


class TooMuchError(RecsvcError):
    """One request asks for more than can be answered in time."""


class NotFoundError(RecsvcError):
    """A user, item, model or version that does not exist."""


class RecommendationIdError(RecsvcError):
    """An id names no answer of this service, or one that has not what is said of it.

    Attributes:
        field: what of the outcome that is told is at fault.
    """

    def __init__(self, message: str, field: str = "recommendation_id") -> None:
        super().__init__(message)
        self.field = field


class ChangesGoneError(RecsvcError):
    """Changes that are asked for are older than the feed keeps them."""

    def __init__(self, after: int, pruned: int) -> None:
        super().__init__(
            f"the changes after {after} are not kept any more, up to {pruned}: read what is in the "
            f"graph, and go on after {pruned}"
        )


class StreamError(RecsvcError):
    """Kafka does not answer, or cannot do what is asked of it."""


class BackupError(RecsvcError):
    """A backup cannot be made or put back."""


class ProofError(RecsvcError):
    """What an answer states as its proof cannot be one."""


class TrainingError(RecsvcError):
    """A model cannot be fitted on this data, or its loss is no longer finite."""


class RefreshError(RecsvcError):
    """A refresh could not be completed; what was active stays active."""


class GateError(RefreshError):
    """A new version is not good enough to take the place of the active one."""


class RefreshRunningError(RefreshError):
    """A refresh is wanted while another is at work."""


class ExperimentRunningError(RecsvcError):
    """An experiment runs for the same lists, or makes lists by what is to be deleted."""


class RevisionError(RecsvcError):
    """A document is to take the place of a revision that is not the newest."""

    def __init__(self, what: str, seen: int, stored: int) -> None:
        there = f"revision {stored} is stored" if stored else "none is stored"
        wanted = f"revision {seen} was seen" if seen else "none was"
        super().__init__(f"{what}: {there}, and {wanted}: look at what is there, and put it again")


class ActivationError(RecsvcError):
    """A version, or a revision of a scenario, cannot be used: it is gone or cannot be read."""


class SnapshotError(RecsvcError):
    """No version is active, or the arrays of the active one cannot be read."""


class ShardAwayError(RecsvcError):
    """A shard does not answer in time, or holds the items of another version."""


class DeletionPendingError(RecsvcError):
    """Nodes are gone from the graph, and stored arrays that could not be rewritten name them.

    Attributes:
        reason: what stopped it, without any id.
        pending: digests of these nodes.
        noted: digests of all nodes whose deletion was worked on.
        versions: the versions of the blend that could not be rewritten.
    """

    def __init__(
        self,
        reason: str,
        *,
        pending: Collection[str],
        noted: Collection[str] = (),
        versions: Collection[int] = (),
    ) -> None:
        super().__init__(
            "what was to be deleted is gone from the graph, and stored arrays still name it: "
            f"{reason}; a running service tries again by itself, so does the next deletion or "
            "refresh"
        )
        self.reason = reason
        self.pending = frozenset(pending)
        self.noted = frozenset(noted)
        self.versions = frozenset(versions)
