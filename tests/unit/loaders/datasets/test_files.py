import gzip
import io
import tarfile
from pathlib import Path
from typing import Any

import pytest

from loaders.datasets._files import SourceFiles
from loaders.errors import TableError

CONTENT = b"one\ntwo\n" * 1000


def test_plain_and_compressed_files_have_one_name(written: Any) -> None:
    files = SourceFiles(written({"a.txt": CONTENT, "below/b.txt.gz": gzip.compress(CONTENT)}))
    assert files.matching("*.txt") == ["a.txt", "b.txt"]
    assert files.read("a.txt") == files.read("b.txt") == CONTENT


@pytest.mark.parametrize("archive", ["x.zip", "x.tar.xz", "x.tar.gz", "x.tar.bz2"])
def test_archives(packed: Any, archive: str) -> None:
    inside = {"a.txt": CONTENT, "b.txt.gz": gzip.compress(CONTENT), "deep/c.txt": b"c"}
    files = SourceFiles(packed(inside, archive))
    assert files.matching("*") == ["a.txt", "b.txt", "c.txt"]
    # In another order than they are packed in.
    assert [files.read(name) for name in ("c.txt", "b.txt", "a.txt")] == [b"c", CONTENT, CONTENT]


def test_a_file_beside_an_archive_counts_before_that_inside(written: Any, packed: Any) -> None:
    folder = packed({"a.txt": b"inside", "b.txt": b"inside"}, "x.zip")
    (folder / "a.txt").write_bytes(b"beside")
    files = SourceFiles(folder)
    assert (files.read("a.txt"), files.read("b.txt")) == (b"beside", b"inside")


def test_two_files_of_one_name(written: Any) -> None:
    files = SourceFiles(written({"a/train.txt": "1", "b/train.txt": "2"}))
    with pytest.raises(
        TableError, match=r"train\.txt is there more than once \(.*a/train\.txt and"
    ):
        files.read("train.txt")


def test_a_missing_file_names_those_there(written: Any) -> None:
    files = SourceFiles(written({"a.txt": ""}))
    with pytest.raises(TableError, match=r"no b\.txt among the files: .* holds a\.txt"):
        files.read("b.txt")


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="is not a folder"):
        SourceFiles(tmp_path / "none")


@pytest.mark.parametrize("archive", ["x.zip", "x.tar.xz", "x.tar.gz"])
def test_a_cut_off_archive(packed: Any, archive: str) -> None:
    import os

    folder = packed({"a.bin": os.urandom(100_000)}, archive)
    whole = (folder / archive).read_bytes()
    (folder / archive).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(TableError, match=f"{archive}.*fetch it again"):
        SourceFiles(folder).read("a.bin")


def test_a_damaged_gz_file(written: Any) -> None:
    files = SourceFiles(written({"a.txt.gz": gzip.compress(CONTENT)[:-20]}))
    with pytest.raises(TableError, match=r"a\.txt\.gz cannot be read"):
        files.read("a.txt")


def test_links_and_paths_outside_an_archive_lead_nowhere(tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("secret")
    folder = tmp_path / "files"
    folder.mkdir()
    with tarfile.open(folder / "x.tar", "w") as tar:
        link = tarfile.TarInfo("link.txt")
        link.type, link.linkname = tarfile.SYMTYPE, str(secret)
        tar.addfile(link)
        outside = tarfile.TarInfo("../../outside.txt")
        outside.size = 3
        tar.addfile(outside, io.BytesIO(b"abc"))
    before = sorted(tmp_path.rglob("*"))
    files = SourceFiles(folder)
    assert files.matching("*") == ["outside.txt"]
    assert files.read("outside.txt") == b"abc"
    assert sorted(tmp_path.rglob("*")) == before
