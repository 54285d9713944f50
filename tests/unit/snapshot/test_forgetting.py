"""Stored arrays without some nodes: the same as `Snapshot.without`, from a few parts at a time."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from loaders import parts
from loaders.parts import Part
from loaders.types import IdMap
from recsvc.evidence import EvidenceKind
from recsvc.snapshot import arrays as snapshots
from recsvc.snapshot.arrays import Snapshot, pack
from recsvc.snapshot.forgetting import ids_in, rewritten
from tests.unit.snapshot.test_arrays import made_snapshot

KINDS: tuple[EvidenceKind, ...] = ("item", "user", "category")


class Stored:
    """The parts of a snapshot, and which entries were read."""

    def __init__(self, made: Snapshot) -> None:
        self.parts, _ = pack(made)
        self.read: set[str] = set()
        text = b"".join(self.contents(snapshots.MANIFEST))
        self.manifest: dict[str, Any] = snapshots.read_manifest(text, "here")

    def contents(self, entry: str) -> Iterator[bytes]:
        self.read.add(entry)
        return (part.content for part in self.parts if part.entry == entry)

    def without(self, gone: dict[EvidenceKind, list[str]]) -> tuple[set[Part], set[str]]:
        """All parts as a deletion leaves them, and the entries that were written again."""
        kept = {
            kind: np.array([each not in gone.get(kind, ()) for each in ids], bool)
            for kind, ids in ids_in(self.manifest).items()
        }
        made = list(rewritten(self.manifest, kept, self.contents))
        entries = {part.entry for part in made}
        return {*made, *(part for part in self.parts if part.entry not in entries)}, entries


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "PART_BYTES", 64)


@given(data=st.data())
@settings(max_examples=25)
def test_part_for_part_the_same_as_a_snapshot_without_the_nodes(data: st.DataObject) -> None:
    made = made_snapshot()
    known: dict[EvidenceKind, IdMap] = {
        "item": made.items, "user": made.users, "category": made.categories,
    }  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts, "PART_BYTES", data.draw(st.sampled_from([64, 200, 4096])))
        gone = {
            kind: data.draw(st.lists(st.sampled_from(list(known[kind])), unique=True))
            for kind in KINDS
        }
        found, _ = Stored(made).without(gone)
        assert found == set(pack(made.without(gone))[0])


def test_of_a_user_no_array_of_items_is_read_or_written() -> None:
    stored = Stored(made_snapshot())
    found, entries = stored.without({"user": ["u1"]})
    of_users = {f"user_path.{part}.npy" for part in ("data", "indices", "indptr")}
    assert entries == {snapshots.MANIFEST, "user_counts.npy"} | of_users
    assert stored.read == entries
    assert found == set(pack(made_snapshot().without({"user": ["u1"]}))[0])


def test_where_nobody_is_gone_nothing_is_written() -> None:
    stored = Stored(made_snapshot())
    assert stored.without({"user": ["nobody"]})[1] == set()
    assert stored.read == {snapshots.MANIFEST}


def test_columns_and_values_of_a_matrix_are_cut_at_the_same_cells() -> None:
    """Whatever their types are: they are read side by side."""
    made = made_snapshot()
    wide = made.blend.signals[1]
    rows = sp.csr_matrix(wide.rows, dtype=np.float64)
    made = replace(made, blend=replace(
        made.blend, signals=(replace(wide, rows=rows),), weights=(1.0,)
    ))  # fmt: skip
    gone: dict[EvidenceKind, list[str]] = {"item": [made.items[3], made.items[8]]}
    assert Stored(made).without(gone)[0] == set(pack(made.without(gone))[0])
