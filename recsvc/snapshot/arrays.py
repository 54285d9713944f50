"""The arrays one version of the blend is served from.

A refresh stores them in Neo4j in parts (`loaders.parts`); the service lays these out once as files
in a folder (`recsvc.snapshot.folders`) and maps the arrays into memory, so it starts fast and its
processes share the pages.
"""

import io
import threading
from collections import defaultdict
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import scipy.sparse as sp
from jaxtyping import Bool, Float32, Int64
from numpy.typing import NDArray

from loaders.parts import Part, PartName, array_parts, digest_of, text_parts
from loaders.types import IdMap
from recsvc.blend.blend import Blend
from recsvc.blend.reliance import ALIKE, Reliance
from recsvc.errors import NotFoundError, SnapshotError
from recsvc.evidence import EvidenceKind
from recsvc.signals import STORED, Signal

MANIFEST = "manifest.json"
"""The entry that holds everything but the arrays."""

_FORMAT = 6
_ONE_HEADER = threading.Lock()
"""Held while numpy parses an array's header as a literal of Python: before 3.11.8, one thread that
parses fails where another does so meanwhile (issue 106905 of CPython)."""

_Rows = Mapping[EvidenceKind, Int64[NDArray[np.int64], " rows"]]
_Arrays = Callable[[str], NDArray[Any]]
"""Gives the array of a name."""


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """Everything an answer needs besides what is read live. Nothing writes into it.

    Attributes:
        versions: the version of every model in the blend, `hybrid` among them.
        items: ranked items.
        categories: categories.
        users: followed users that signals know; empty where no signal starts from users.
        user_counts: interactions of each of these users at the refresh.
        item_people: users who had each item at the refresh.
        titles: one per item, "" where there is none.
        available: one per item, as it was at the refresh.
        in_category: bool [items, categories]: categories of each item and those above them, as
            they were at the refresh.
        blend: signals and their weights.
        event: the one kind of event of the graph; None where there are several.
        kinds: of events, those that speak for an item on the paths of this version.
        sha256: of the stored arrays; None where nobody could tell.
    """

    versions: Mapping[str, int]
    items: IdMap
    categories: IdMap
    users: IdMap
    user_counts: Int64[NDArray[np.int64], " users"]
    item_people: Int64[NDArray[np.int64], " items"]
    titles: tuple[str, ...]
    available: Bool[NDArray[np.bool_], " items"]
    in_category: sp.csr_matrix
    blend: Blend
    event: str | None = None
    kinds: tuple[str, ...] = ()
    sha256: str | None = None

    @property
    def ids(self) -> dict[EvidenceKind, IdMap]:
        """The ids of each kind."""
        return {"item": self.items, "category": self.categories, "user": self.users}

    def item_vectors(self, model: str) -> Float32[NDArray[np.float32], "items dim"] | None:
        """The vectors of the items by a model; None where it has none."""
        return next((s.item_vectors for s in self.blend.signals if s.name == model), None)

    def alone(self, name: str) -> "Snapshot":
        """The same with one signal only, at the weight 1, and the prior.

        Raises:
            NotFoundError: there is no such signal.
        """
        for signal in self.blend.signals:
            if signal.name == name:
                return replace(self, blend=replace(self.blend, signals=(signal,), weights=(1.0,)))
        names = [signal.name for signal in self.blend.signals]
        raise NotFoundError(f"no signal {name!r} in this version: expected one of {names}")

    def with_bounds(self) -> "Snapshot":
        """See `Blend.with_bounds`."""
        return replace(self, blend=self.blend.with_bounds())

    def for_one_list(self) -> "Snapshot":
        """The same for one list: a shard that does not answer is away for all of it."""
        if (shards := self.blend.shards) is None:
            return self
        return replace(self, blend=replace(self.blend, shards=shards.of_one_list()))

    def count_of(self, user_id: str) -> int:
        """Interactions of a followed user at the refresh; -1 for one that signals do not know."""
        row = self.users.row(user_id)
        return int(self.user_counts[row]) if row >= 0 else -1

    def without(self, ids: Mapping[EvidenceKind, Collection[str]]) -> "Snapshot":
        """The same without some items, categories and users: no row or column of theirs is left.

        Args:
            ids: what to leave out, by kind; ids that are not in here change nothing.
        """
        rows_left: _Rows = {
            kind: _kept(ids_of_kind, ids.get(kind, ())) for kind, ids_of_kind in self.ids.items()
        }
        left: Mapping[EvidenceKind, IdMap] = {
            kind: IdMap([ids_of_kind[row] for row in rows_left[kind].tolist()])
            for kind, ids_of_kind in self.ids.items()
        }
        items = rows_left["item"]
        signals = tuple(
            signal.reindexed(left[signal.kind], rows_left[signal.kind], items)
            for signal in self.blend.signals
        )
        return replace(
            self,
            items=left["item"],
            categories=left["category"],
            users=left["user"],
            user_counts=self.user_counts[rows_left["user"]],
            item_people=self.item_people[items],
            titles=tuple(self.titles[row] for row in items.tolist()),
            available=self.available[items],
            in_category=self.in_category[items][:, rows_left["category"]],
            blend=replace(
                self.blend, signals=signals, prior=self.blend.prior[items], bounds=None, shards=None
            ),
        )


def _kept(ids: IdMap, dropped: Collection[str]) -> Int64[NDArray[np.int64], " kept"]:
    rows = ids.rows(list(dropped))
    return np.delete(np.arange(len(ids)), rows[rows >= 0])


def array_name(signal: str, array: str) -> str:
    """What an array of a signal is called in a snapshot; its only one may have no name."""
    return f"{signal}.{array}" if array else signal


def pack(snapshot: Snapshot) -> tuple[tuple[Part, ...], str]:
    """The snapshot in parts, and the SHA-256 of them all.

    Raises:
        TypeError: a signal is of a class that cannot be stored.
    """
    arrays: dict[str, NDArray[Any]] = {
        "prior": snapshot.blend.prior,
        "available": snapshot.available,
        "user_counts": snapshot.user_counts,
        "item_people": snapshot.item_people,
        **_csr_arrays("in_category", snapshot.in_category),
    }
    signals: list[dict[str, Any]] = []
    for signal, weight in zip(snapshot.blend.signals, snapshot.blend.weights, strict=True):
        for name, array in signal.arrays().items():
            stored = array_name(signal.name, name)
            sparse = signal.layout[name].columns is not None
            arrays |= _csr_arrays(stored, array) if sparse else {stored: array}
        own = {"name": signal.name, "kind": signal.kind, "weight": weight, "form": signal.form}
        signals.append(own | signal.settings())
    manifest = {
        "format": _FORMAT,
        "versions": dict(snapshot.versions),
        "items": list(snapshot.items),
        "categories": list(snapshot.categories),
        "users": list(snapshot.users),
        "titles": snapshot.titles,
        "signals": signals,
        "base_weight": snapshot.blend.base_weight,
        "event": snapshot.event,
        "kinds": snapshot.kinds,
    }
    if snapshot.blend.reliance != ALIKE:  # else what was stored before there was any changes
        manifest["reliance"] = asdict(snapshot.blend.reliance)
    content = [*text_parts(MANIFEST, orjson.dumps(manifest))]
    for name, array in sorted(arrays.items()):
        content += array_parts(f"{name}.npy", array)
    return tuple(content), digest_of(part.name for part in content)


def read(content: Iterable[Part], sha256: str) -> Snapshot:
    """A packed snapshot in memory, with nothing on disk.

    Raises:
        SnapshotError: the content is not what was packed, or has another format.
    """
    names: list[PartName] = []
    entries: defaultdict[str, list[bytes]] = defaultdict(list)
    for part in content:
        names.append(part.name)
        entries[part.entry].append(part.content)
    check_content(names, sha256)

    def array(name: str) -> NDArray[Any]:
        return load_array(io.BytesIO(b"".join(entries.pop(f"{name}.npy"))))

    return _from_parts("the stored snapshot", b"".join(entries[MANIFEST]), array)


def read_manifest(text: bytes, where: str) -> dict[str, Any]:
    """What a snapshot holds besides its arrays.

    Args:
        text: the entry `MANIFEST`.
        where: what errors call it.

    Raises:
        SnapshotError: it has another format.
    """
    manifest = orjson.loads(text)
    if manifest["format"] != _FORMAT:
        raise SnapshotError(
            f"{where} has snapshot format {manifest['format']}, expected {_FORMAT}: "
            "run `recsvc refresh`"
        )
    return manifest


def read_header(text: bytes) -> tuple[np.dtype[Any], tuple[int, ...]]:
    """Type and shape of an array, from the first part of its entry."""
    file = io.BytesIO(text)
    with _ONE_HEADER:
        np.lib.format.read_magic(file)
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    return dtype, shape


def load(folder: Path, sha256: str | None = None) -> Snapshot:
    """Map a snapshot's files into memory.

    Args:
        folder: with the files.
        sha256: what the content is compared with first, or how it begins. Without it a number of
            the wrong size is not noticed; an index or a size by which an answer would fail always
            is.

    Raises:
        SnapshotError: a file is missing, damaged, or of another format.
    """

    def array(name: str) -> NDArray[Any]:
        mapped = load_array(folder / f"{name}.npy")
        return np.asarray(mapped).view(np.ndarray)  # numpy's own class for maps slices slowly

    with damage_named(folder):
        if sha256 is not None:
            _compare(folder, sha256)
        return _from_parts(str(folder), (folder / MANIFEST).read_bytes(), array)


@contextmanager
def damage_named(folder: Path) -> Generator[None]:
    """Say of whatever its files make a reader raise that they are damaged.

    Raises:
        SnapshotError: a file is missing, damaged, or of another format.
    """
    try:
        yield
    except SnapshotError:
        raise
    except Exception as error:  # damaged bytes make parsers raise nearly anything
        raise SnapshotError(
            f"{folder} is not a whole snapshot ({type(error).__name__}: {error}): remove it, it "
            "will be read again"
        ) from error


def _compare(folder: Path, sha256: str) -> None:
    """Compare the files of an unpacked snapshot with what it was packed into.

    Raises:
        ValueError: they are others.
    """

    def parts() -> Iterator[Part]:
        yield from text_parts(MANIFEST, (folder / MANIFEST).read_bytes())
        for file in folder.glob("*.npy"):
            yield from array_parts(file.name, load_array(file))

    digest = digest_of(part.name for part in parts())
    if not digest.startswith(sha256):
        raise ValueError(f"its SHA-256 is {digest}, expected {sha256}")


def load_array(file: Path | io.BytesIO) -> NDArray[Any]:
    """An array from memory, or from a file, which is mapped."""
    with _ONE_HEADER:
        if isinstance(file, Path):
            array = np.lib.format.open_memmap(file, "r")
        else:
            array = np.lib.format.read_array(file, allow_pickle=False)
    array.flags.writeable = False  # a snapshot is what a refresh made, whatever is asked of it
    return array


def check_content(names: Collection[PartName], sha256: str) -> None:
    """Compare parts with what was packed.

    Args:
        names: of the parts.
        sha256: of what was packed.

    Raises:
        SnapshotError: they are others.
    """
    digest = digest_of(names)
    if digest != sha256:
        raise SnapshotError(
            f"the snapshot read from Neo4j has SHA-256 {digest}, expected {sha256}: "
            "run `recsvc refresh`"
        )


def _from_parts(where: str, manifest_json: bytes, array: _Arrays) -> Snapshot:
    manifest = read_manifest(manifest_json, where)
    items = IdMap(manifest["items"])
    ids: dict[EvidenceKind, IdMap] = {
        "item": items,
        "category": IdMap(manifest["categories"]),
        "user": IdMap(manifest["users"]),
    }
    blend = Blend(
        tuple(_signal(where, entry, ids, array) for entry in manifest["signals"]),
        tuple(entry["weight"] for entry in manifest["signals"]),
        _dense(array, "prior", len(items)),
        manifest["base_weight"],
        Reliance(**manifest.get("reliance", {})),
    )
    return Snapshot(
        versions=manifest["versions"],
        items=items,
        categories=ids["category"],
        users=ids["user"],
        user_counts=_dense(array, "user_counts", len(ids["user"])),
        item_people=_dense(array, "item_people", len(items)),
        titles=tuple(manifest["titles"]),
        available=_dense(array, "available", len(items)),
        in_category=_csr(array, "in_category", (len(items), len(ids["category"]))),
        blend=blend,
        event=manifest["event"],
        kinds=tuple(manifest["kinds"]),
    )


def _signal(
    where: str, entry: Mapping[str, Any], ids: Mapping[EvidenceKind, IdMap], array: _Arrays
) -> Signal:
    """A signal from its entry in the manifest, and its arrays.

    Raises:
        SnapshotError: it is of a class that is not known here.
    """
    form, kind = entry["form"], entry["kind"]
    if form not in STORED:
        raise SnapshotError(
            f"{where} has a signal of the form {form!r}, expected {', '.join(STORED)}: "
            "run `recsvc refresh`"
        )
    sizes = {"evidence": len(ids[kind]), "items": len(ids["item"])}
    arrays: dict[str, Any] = {}
    for name, held in STORED[form].layout.items():
        stored = array_name(entry["name"], name)
        if held.columns is None:
            arrays[name] = _dense(array, stored, sizes[held.rows])
        else:
            arrays[name] = _csr(array, stored, (sizes[held.rows], sizes[held.columns]))
    return STORED[form].from_arrays(entry["name"], kind, ids[kind], arrays, entry)


def _csr_arrays(name: str, matrix: sp.csr_matrix) -> dict[str, NDArray[Any]]:
    matrix.sort_indices()
    return {
        f"{name}.data": matrix.data,
        f"{name}.indices": matrix.indices.astype(np.int32),
        f"{name}.indptr": matrix.indptr.astype(np.int64),
    }


def _csr(array: _Arrays, name: str, shape: tuple[int, int]) -> sp.csr_matrix:
    """A sparse matrix; products with it are made in C, which trusts every index.

    Raises:
        ValueError: an index is out of bounds.
    """
    data, indices, indptr = (array(f"{name}.{part}") for part in ("data", "indices", "indptr"))
    matrix = sp.csr_matrix((data, indices, indptr), shape=shape, copy=False)
    matrix.check_format()
    if (np.diff(matrix.indptr) < 0).any():  # this is not looked at where it ends with 0
        raise ValueError(f"{name}.indptr falls")
    return matrix


def _dense(array: _Arrays, name: str, number: int) -> NDArray[Any]:
    """An array with a row for each node.

    Raises:
        ValueError: it has another number of rows.
    """
    values = array(name)
    if len(values) != number:
        raise ValueError(f"{name} has {len(values)} rows, expected {number}")
    return values
