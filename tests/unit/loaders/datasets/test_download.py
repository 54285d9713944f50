"""Downloads from a real server on this machine."""

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest

from loaders.datasets import DATASETS, PUBLICATIONS, open_source
from loaders.datasets._download import Publication, download
from loaders.errors import TableError
from loaders.tables import INTERACTIONS

CONTENT = b"1,10,500,pv,1511544070\n" * 20_000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@dataclass
class Server:
    """Serves one file.

    Attributes:
        address: of the file.
        broken: answers that break off in the middle, before the first whole one.
        status: of its answers.
        requests: how many came.
    """

    address: str
    broken: int = 0
    status: int = 200
    requests: int = 0
    done: list[tuple[str, int, int | None]] = field(default_factory=list)

    def progress(self, what: str, done: int, total: int | None) -> None:
        self.done.append((what, done, total))

    def publication(self, checksum: str = SHA256) -> Publication:
        return Publication("https://example.org/page", {self.address: checksum})

    def download(self, folder: Path, checksum: str = SHA256) -> None:
        download("taobao", self.publication(checksum), folder, self.progress)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.requests += 1
            self.send_response(state.status)
            self.send_header("Content-Length", str(len(CONTENT)))
            self.end_headers()
            if state.requests <= state.broken:
                self.wfile.write(CONTENT[: len(CONTENT) // 2])
                self.close_connection = True
            else:
                self.wfile.write(CONTENT)

        def log_message(self, format: str, *args: object) -> None:
            pass

    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    # Before it tries again, pooch waits for seconds.
    monkeypatch.setattr("pooch.core.time", SimpleNamespace(sleep=lambda _seconds: None))
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        state = Server(f"http://127.0.0.1:{http.server_port}/files/UserBehavior.csv?a=b")
        thread = threading.Thread(target=http.serve_forever, args=(0.01,))
        thread.start()
        yield state
        http.shutdown()
        thread.join()


def test_a_file_is_fetched_once(server: Server, tmp_path: Path) -> None:
    folder = tmp_path / "not" / "there"
    server.download(folder)
    assert (folder / "UserBehavior.csv").read_bytes() == CONTENT
    assert server.done[-1] == ("UserBehavior.csv", len(CONTENT), len(CONTENT))
    server.download(folder)
    assert server.requests == 1


def test_a_file_that_changed_is_fetched_again(server: Server, tmp_path: Path) -> None:
    (tmp_path / "UserBehavior.csv").write_bytes(CONTENT[:100])
    server.download(tmp_path)
    assert (tmp_path / "UserBehavior.csv").read_bytes() == CONTENT


def test_a_wrong_checksum_leaves_nothing(server: Server, tmp_path: Path) -> None:
    with pytest.raises(TableError, match=r"not the file that was published.*example\.org/page"):
        server.download(tmp_path, "0" * 64)
    assert list(tmp_path.iterdir()) == []


def test_a_download_that_breaks_off_starts_afresh(server: Server, tmp_path: Path) -> None:
    server.broken = 2
    server.download(tmp_path)
    assert server.requests == 3
    assert [path.name for path in tmp_path.iterdir()] == ["UserBehavior.csv"]
    assert (tmp_path / "UserBehavior.csv").read_bytes() == CONTENT
    assert all(total is None or done <= total for _, done, total in server.done)


def test_a_download_that_always_breaks_off_leaves_nothing(server: Server, tmp_path: Path) -> None:
    server.broken = 100
    with pytest.raises(TableError, match=r"could not be fetched.*--from DIR"):
        server.download(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_no_such_file_on_the_server(server: Server, tmp_path: Path) -> None:
    server.status = 404
    with pytest.raises(TableError, match=r"could not be fetched: 404.*example\.org/page"):
        server.download(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_no_server(server: Server, tmp_path: Path) -> None:
    gone = Publication("https://example.org/page", {"http://127.0.0.1:9/a.zip": SHA256})
    with pytest.raises(TableError, match=r"http://127\.0\.0\.1:9/a\.zip could not be fetched"):
        download("taobao", gone, tmp_path, server.progress)


def test_a_folder_that_cannot_be_written(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TableError, match="cannot be stored"):
        server.download(tmp_path / "file" / "below")


@pytest.mark.parametrize("name", ["ciao", "epinions", "amazon", "retailrocket", "taobao"])
def test_nothing_is_fetched_without_a_checksum(tmp_path: Path, name: str) -> None:
    with pytest.raises(TableError, match=f"no checksum of {name} is known.*https://.*--from DIR"):
        open_source(name, download_to=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_downloaded_files_are_read(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publications = {**PUBLICATIONS, "taobao": server.publication()}
    monkeypatch.setattr("loaders.datasets.PUBLICATIONS", publications)
    source = open_source("taobao", download_to=tmp_path, progress=server.progress)
    rows = sum(batch.height for batch in source.batches(INTERACTIONS, lambda _rejected: None))
    assert rows == 20_000


def test_every_data_set_says_where_it_is_published() -> None:
    assert PUBLICATIONS.keys() == DATASETS.keys()
    for publication in PUBLICATIONS.values():
        assert publication.page.startswith("https://")
        for url, checksum in publication.files.items():
            assert url.startswith("https://")
            kind, _, digits = checksum.rpartition(":")
            assert (kind, len(digits)) in {("", 64), ("md5", 32)}
            assert int(digits, 16)
