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

Progress = Callable[[str, int, int | None], None]
"""Told what is being fetched, how many bytes of it there are, and of how many where known."""

_RETRIES = 2
_TIMEOUT_SECONDS = 30
_GROUPLENS = "https://files.grouplens.org/datasets"
_SNAP = "https://snap.stanford.edu/data"


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


def _movielens(edition: str, sha256: str) -> Publication:
    page = f"https://grouplens.org/datasets/movielens/{edition.removesuffix('-small')}/"
    return Publication(page, {f"{_GROUPLENS}/movielens/ml-{edition}.zip": sha256})


# SHA-256 of GroupLens' archives as recorded by TensorFlow Datasets (url_checksums/movielens.txt)
# and others; those of SNAP's files, which it publishes none for, as recorded by DataRec.
_LATEST_SMALL = _movielens(
    "latest-small", "696d65a3dfceac7c45750ad32df2c259311949efec81f0f144fdfb91ebc9e436"
)
PUBLICATIONS: Mapping[str, Publication] = {
    "lastfm": Publication(
        "https://grouplens.org/datasets/hetrec-2011/",
        {
            f"{_GROUPLENS}/hetrec2011/hetrec2011-lastfm-2k.zip": (
                "6738f48195667ff03caaab4d32ca9a3133d8cc026b7c3cdaf6ce1010e913c59c"
            )
        },
    ),
    "movielens": _LATEST_SMALL,
    "movielens-latest-small": _LATEST_SMALL,
    "movielens-100k": _movielens(
        "100k", "50d2a982c66986937beb9ffb3aa76efe955bf3d5c6b761f4e3a7cd717c6a3229"
    ),
    "movielens-1m": _movielens(
        "1m", "a6898adb50b9ca05aa231689da44c217cb524e7ebd39d264c56e2832f2c54e20"
    ),
    "movielens-25m": _movielens(
        "25m", "8b21cfb7eb1706b4ec0aac894368d90acf26ebdfb6aced3ebd4ad5bd1eb9c6aa"
    ),
    "movielens-32m": _movielens(
        "32m", "e4a68655d7386b8f95f2f2424b2ff975dfdd15ffd59e0d864a14dca43e99d6ee"
    ),
    "gowalla": Publication(
        "https://snap.stanford.edu/data/loc-gowalla.html",
        {
            f"{_SNAP}/loc-gowalla_totalCheckins.txt.gz": "md5:8ebd5ed2dd376d8982987c49429cb9f9",
            f"{_SNAP}/loc-gowalla_edges.txt.gz": "md5:68bce8dc51609fe32bbd95e668aaf65e",
        },
    ),
    "ciao": Publication("https://www.cse.msu.edu/~tangjili/datasetcode/truststudy.htm", {}),
    "epinions": Publication("https://www.cse.msu.edu/~tangjili/datasetcode/truststudy.htm", {}),
    "amazon": Publication("https://cseweb.ucsd.edu/~jmcauley/datasets/amazon_v2/", {}),
    "retailrocket": Publication(
        "https://www.kaggle.com/datasets/retailrocket/ecommerce-dataset", {}
    ),
    "taobao": Publication("https://tianchi.aliyun.com/dataset/649", {}),
}
"""Every named data set's, by its name."""


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
