"""Fetching data sets from where their own authors publish them, with a checksum for each file.

Archives are kept as they come: they are read without being unpacked.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import cast
from urllib.parse import urlsplit

import pooch
import pooch.typing
import requests

from loaders.errors import TableError
from loaders.tables import Tables

Progress = Callable[[str, int, int | None], None]
"""Told what is being fetched, how many bytes of it there are, and of how many where known."""

_RETRIES = 2
_TIMEOUT_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Publication:
    """Where a data set is published.

    Attributes:
        page: the page of its authors, for people.
        files: checksum of each file by its address (SHA-256, or `md5:…`); empty where none is
            known, and nothing is fetched without one.
    """

    page: str
    files: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class DataSet:
    """A named data set.

    Attributes:
        read: takes the folder with its files.
        publication: where these come from.
    """

    read: Callable[[Path], Tables]
    publication: Publication


def download(name: str, publication: Publication, folder: Path, progress: Progress) -> None:
    """Fetch a data set's files into a folder; those that are there and sound are kept.

    A file that breaks off is fetched again, and only stands in the folder once its checksum is
    right.

    Args:
        name: the data set, for errors.
        publication: where it is published.
        folder: where the files are to be; made where it is missing.
        progress: told what is done.

    Raises:
        TableError: no checksum is known, the server does not answer, or a checksum is wrong.
    """
    by_hand = f"fetch it by hand from {publication.page} and name its folder (--from DIR)"
    if not publication.files:
        raise TableError(f"no checksum of {name} is known, so it is not downloaded: {by_hand}")
    pooch.get_logger().setLevel("ERROR")
    for url, checksum in publication.files.items():
        file = PurePosixPath(urlsplit(url).path).name
        fetcher = pooch.create(
            folder, "", registry={file: checksum}, urls={file: url}, retry_if_failed=_RETRIES
        )
        bar = cast(bool, _Bar(file, progress))
        http = pooch.HTTPDownloader(progressbar=bar, timeout=_TIMEOUT_SECONDS)
        # Its own protocol for downloaders has other parameter names than its downloaders.
        downloader = cast(pooch.typing.Downloader, http)
        try:
            fetcher.fetch(file, downloader=downloader)
        except requests.exceptions.RequestException as error:
            raise TableError(
                f"{url} could not be fetched: {error}: try again, or {by_hand}"
            ) from error
        except ValueError as error:
            raise TableError(
                f"{url} is not the file that was published, nothing of it was kept: {error}: "
                f"try again, or {by_hand}"
            ) from error
        except OSError as error:
            raise TableError(f"{url} cannot be stored in {folder}: {error}") from error


class _Bar:
    """What pooch takes for a progress bar, passed on."""

    def __init__(self, file: str, progress: Progress) -> None:
        self.total = 0
        self._file = file
        self._done = 0
        self._progress = progress

    def update(self, count: int) -> None:
        """So many bytes more."""
        self._done += count
        done = min(self._done, self.total) if self.total else self._done
        self._progress(self._file, done, self.total or None)

    def reset(self) -> None:
        """Begin again."""
        self._done = 0

    def close(self) -> None:
        """Nothing is held open."""
