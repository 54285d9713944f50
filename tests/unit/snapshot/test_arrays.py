import gc
import inspect
import mmap
import sys
import threading
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import cast

import numpy as np
import orjson
import pytest
import scipy.sparse as sp

from loaders.parts import digest_of
from loaders.types import IdMap
from recsvc.blend.blend import Blend
from recsvc.blend.reliance import Reliance
from recsvc.errors import SnapshotError
from recsvc.evidence import EVIDENCE_KINDS, Evidence, EvidenceKind, EvidenceNode
from recsvc.explain.leave_out_scores import LeaveOneOutScores, Listed
from recsvc.signals import EmbeddingSignal, RowSignal
from recsvc.snapshot.arrays import Snapshot, load, pack, read
from recsvc.snapshot.folders import unpack
from tests.waiting import PATIENCE_SECONDS

N_ITEMS = 25
HOSTILE = ["", "'\"\\`", "two\nlines", "nul\0", "😀", "é"]


def made_snapshot() -> Snapshot:
    rng = np.random.default_rng(3)
    ids = {
        "item": IdMap.from_unsorted(
            [*HOSTILE, *(f"i{n:02}" for n in range(N_ITEMS - len(HOSTILE)))]
        ),
        "user": IdMap(["u1", "u2"]),
        "category": IdMap(["c1", "c2", "c3"]),
    }
    source, target = rng.normal(size=(2, N_ITEMS, 4)).astype(np.float32)
    rows = [
        RowSignal(
            f"{kind}_path", kind, ids[kind],
            cast(sp.csr_matrix, sp.random(len(ids[kind]), N_ITEMS, 0.3, "csr", np.float32, rng)),
        )
        for kind in EVIDENCE_KINDS
    ]  # fmt: skip
    return Snapshot(
        versions={"hybrid": 4, "lightgcn": 3},
        items=ids["item"],
        categories=ids["category"],
        users=ids["user"],
        user_counts=np.array([7, 0]),
        item_people=rng.integers(0, 9, N_ITEMS),
        titles=tuple(f"Title {n} 😀" for n in range(N_ITEMS)),
        available=rng.random(N_ITEMS) < 0.8,
        in_category=sp.csr_matrix(rng.random((N_ITEMS, 3)) < 0.4),
        blend=Blend(
            (EmbeddingSignal("lightgcn", ids["item"], source, target), *rows),
            (1.0, 0.5, 0.002, 1 / 3),
            rng.random(N_ITEMS).astype(np.float32),
            0.002,
        ),
        kinds=("purchase", "view"),
    )


EVIDENCE = Evidence((
    EvidenceNode("item", "i03", 1.0), EvidenceNode("item", "😀", -0.19),
    EvidenceNode("user", "u2", 1.0), EvidenceNode("category", "c1", 2.5),
))  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "snapshots" / "4"


def test_round_trip_gives_the_same_scores_bit_for_bit(folder: Path) -> None:
    made = made_snapshot()
    made = replace(
        made, blend=replace(made.blend, reliance=Reliance(1.5, 0.5, 0.25, {"walk3": 0.5}))
    )
    unpack(*pack(made), folder)
    loaded = load(folder)
    assert loaded.blend.reliance == made.blend.reliance
    for name in ("items", "categories", "users", "titles", "versions"):
        assert getattr(loaded, name) == getattr(made, name)
    np.testing.assert_array_equal(loaded.available, made.available)
    np.testing.assert_array_equal(loaded.item_people, made.item_people)
    assert loaded.kinds == made.kinds
    np.testing.assert_array_equal(loaded.in_category.toarray(), made.in_category.toarray())
    assert loaded.blend.weights == made.blend.weights
    assert [s.kind for s in loaded.blend.signals] == ["item", "item", "user", "category"]
    before, after = made.blend.score(EVIDENCE), loaded.blend.score(EVIDENCE)
    assert after.scores.tobytes() == before.scores.tobytes()
    factors = [[factor for _, factor, _ in scored.spoken] for scored in (before, after)]
    assert factors[0] == factors[1]
    assert len(factors[0]) == len(made.blend.signals)
    found = loaded.item_vectors("lightgcn")
    assert found is not None
    base = found.base
    while isinstance(base, np.ndarray) and not isinstance(base, np.memmap):
        base = base.base
    assert isinstance(base, np.memmap | mmap.mmap)
    assert loaded.item_vectors("item_path") is None


def test_same_snapshot_same_bytes_also_once_it_was_stored(folder: Path) -> None:
    content, sha256 = pack(made_snapshot())
    assert pack(made_snapshot()) == (content, sha256)
    assert sha256 == digest_of(part.name for part in reversed(content))
    unpack(content, sha256, folder)
    assert pack(load(folder)) == (content, sha256)


def test_a_stored_snapshot_is_read_without_a_disk(folder: Path) -> None:
    content, sha256 = pack(made_snapshot())
    assert pack(read(content, sha256)) == (content, sha256)
    with pytest.raises(SnapshotError, match=f"expected {'0' * 64}"):
        read(content, "0" * 64)
    assert not folder.parent.exists()


@pytest.mark.parametrize("how", ["read", "load"])
def test_two_threads_can_read_at_once(folder: Path, how: str) -> None:
    """Before Python 3.11.8 a header fails to parse if another is parsed in the middle of it."""
    content, sha256 = pack(made_snapshot())
    unpack(content, sha256, folder)
    others: list[threading.Thread] = []
    finished: list[Snapshot] = []

    def once() -> None:
        finished.append(read(content, sha256) if how == "read" else load(folder))

    def in_the_middle(phase: str, _info: object) -> None:
        frame = inspect.currentframe()
        caller = frame and frame.f_back
        if phase == "start" and not others and caller and caller.f_code.co_name == "parse":
            others.append(threading.Thread(target=once))
            others[0].start()
            others[0].join(0.3)

    before = gc.get_threshold()
    gc.callbacks.append(in_the_middle)
    gc.set_threshold(1)
    try:
        once()
    finally:
        gc.set_threshold(*before)
        gc.callbacks.remove(in_the_middle)
        for other in others:
            other.join(PATIENCE_SECONDS)
    if sys.version_info < (3, 12):  # later ones collect nothing there
        assert len(finished) == 2
    for each in finished:
        assert each.titles == made_snapshot().titles


def test_without_leaves_no_row_and_no_column(folder: Path) -> None:
    made = made_snapshot()
    gone: dict[EvidenceKind, list[str]] = {
        "item": ["i03", "😀", "unknown"], "user": ["u1"], "category": ["c2"],
    }  # fmt: skip
    left = made.without(gone)
    ids = {*left.items, *left.users, *left.categories}
    assert ids == {*made.items, *made.users, *made.categories} - {"i03", "😀", "u1", "c2"}
    content, sha256 = pack(left)
    whole = b"".join(part.content for part in content)
    assert not [each for each in (b'"i03"', b'"u1"', b'"c2"') if each in whole]
    titles = dict(zip(made.items, made.titles, strict=True))
    assert not [each for each in ("i03", "😀") if f'"{titles[each]}"'.encode() in whole]
    unpack(content, sha256, folder)
    assert pack(load(folder)) == (content, sha256)


def test_without_changes_nothing_of_what_is_left() -> None:
    made = made_snapshot()
    left = made.without({"item": ["i05", "é"], "user": ["u1"], "category": ["c2"]})
    rows = made.items.rows(list(left.items))
    assert left.titles == tuple(made.titles[row] for row in rows.tolist())
    np.testing.assert_array_equal(left.available, made.available[rows])
    np.testing.assert_array_equal(left.item_people, made.item_people[rows])
    np.testing.assert_array_equal(left.blend.prior, made.blend.prior[rows])
    kept = made.categories.rows(list(left.categories))
    expected = made.in_category[rows][:, kept].toarray()
    np.testing.assert_array_equal(left.in_category.toarray(), expected)
    for before, after in zip(made.blend.signals, left.blend.signals, strict=True):
        wanted = [before.raw_scores(EVIDENCE.rows(before.kind, before.ids))[rows]]
        found = [after.raw_scores(EVIDENCE.rows(after.kind, after.ids))]
        np.testing.assert_allclose(found, wanted, rtol=1e-6)
    assert left.blend.weights == made.blend.weights


@pytest.mark.parametrize("ids", [{}, {"item": [], "user": ["nobody"]}])
def test_without_nothing_is_the_same(ids: dict[EvidenceKind, list[str]]) -> None:
    assert pack(made_snapshot().without(ids)) == pack(made_snapshot())


def test_without_everything_can_be_stored() -> None:
    made = made_snapshot()
    everything: dict[EvidenceKind, list[str]] = {
        "item": list(made.items), "user": list(made.users), "category": list(made.categories),
    }  # fmt: skip
    left = read(*pack(made.without(everything)))
    assert (len(left.items), len(left.users), len(left.categories)) == (0, 0, 0)


def test_another_snapshot_has_another_sha() -> None:
    made = made_snapshot()
    other = replace(made, blend=replace(made.blend, weights=(1.0, 0.5, 0.002, 0.25)))
    assert pack(other)[1] != pack(made)[1]


def test_snapshot_of_an_older_format_says_what_to_do(folder: Path) -> None:
    unpack(*pack(made_snapshot()), folder)
    manifest = folder / "manifest.json"
    manifest.write_bytes(orjson.dumps({**orjson.loads(manifest.read_bytes()), "format": 0}))
    with pytest.raises(SnapshotError, match=r"format 0, expected \d+: run `recsvc refresh`"):
        load(folder)


@pytest.mark.parametrize("name", ["manifest.json", "prior.npy", "item_path.indices.npy"])
@pytest.mark.parametrize("damage", ["gone", "cut"])
def test_snapshot_with_a_damaged_file_is_refused(folder: Path, name: str, damage: str) -> None:
    unpack(*pack(made_snapshot()), folder)
    if damage == "gone":
        (folder / name).unlink()
    else:
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(SnapshotError, match=r"is not a whole snapshot .*remove it"):
        load(folder)


def other_number(name: str, place: int, number: float) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        np.load(folder / name, mmap_mode="r+")[place] = number

    return damage


def another_file(folder: Path) -> None:
    (folder / "other.npy").write_bytes((folder / "prior.npy").read_bytes())


def other_bytes(name: str, change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        (folder / name).write_bytes(change((folder / name).read_bytes()))

    return damage


@pytest.mark.parametrize(
    "damage",
    [
        other_number("item_path.indices.npy", 3, 2_000_000_000),
        other_number("item_path.indices.npy", 3, -1),
        other_number("in_category.indices.npy", 0, 3),
        other_number("item_path.indptr.npy", 3, 2_000_000_000),
        other_number("item_path.indptr.npy", 3, 0),
        other_bytes("prior.npy", lambda _: b""),
        other_bytes("prior.npy", lambda whole: whole.replace(b"'shape'", b"('shape'")),
        other_bytes("prior.npy", lambda whole: whole.replace(b"(25,)", b"(24,)")),
        other_bytes("prior.npy", lambda whole: b"PK\x03\x04" + whole[4:]),
        other_bytes("manifest.json", lambda _: b"null"),
        other_bytes("manifest.json", lambda _: b"\0\0"),
        other_bytes("manifest.json", lambda whole: whole.replace(b'"items"', b'"item"')),
    ],
)
def test_what_answers_would_fail_by_is_no_snapshot(
    folder: Path, damage: Callable[[Path], None]
) -> None:
    unpack(*pack(made_snapshot()), folder)
    damage(folder)
    with pytest.raises(SnapshotError, match=r"is not a whole snapshot .*remove it"):
        load(folder)


def test_an_index_out_of_bounds_of_an_empty_matrix_is_none_either(folder: Path) -> None:
    made = replace(made_snapshot(), in_category=sp.csr_matrix(np.zeros((N_ITEMS, 3), bool)))
    unpack(*pack(made), folder)
    other_number("in_category.indptr.npy", 3, 2_000_000_000)(folder)
    with pytest.raises(SnapshotError, match="is not a whole snapshot"):
        load(folder)


@pytest.mark.parametrize(
    "damage",
    [
        other_number("prior.npy", 3, 0.5),
        other_number("item_path.data.npy", 0, 0.5),
        other_bytes("manifest.json", lambda whole: whole.replace(b"Title 3", b"Title 4")),
        another_file,
    ],
)
def test_files_are_compared_with_what_was_packed(
    folder: Path, damage: Callable[[Path], None]
) -> None:
    content, sha256 = pack(made_snapshot())
    unpack(content, sha256, folder)
    assert pack(load(folder, sha256)) == (content, sha256)
    damage(folder)
    with pytest.raises(SnapshotError, match=f"expected {sha256}.*remove it"):
        load(folder, sha256)


@pytest.mark.parametrize("event", ["listen", None])
def test_the_one_kind_of_event_is_kept(event: str | None) -> None:
    content, sha256 = pack(replace(made_snapshot(), event=event))
    assert read(content, sha256).event == event


def test_a_request_writes_nothing_into_a_snapshot(folder: Path) -> None:
    unpack(*pack(made_snapshot()), folder)
    loaded = load(folder)

    def held() -> list[tuple[object, str]]:
        return [
            (value, repr(vars(value)) if isinstance(value, sp.csr_matrix) else repr(value))
            for signal in loaded.blend.signals
            for value in (getattr(signal, each.name) for each in fields(signal))  # pyright: ignore[reportArgumentType]
        ]

    before, everything = held(), np.ones(N_ITEMS, bool)
    scored = loaded.blend.score(EVIDENCE)
    loaded.blend.terms(scored, np.arange(5))
    listed = Listed(np.arange(3), everything, everything, np.full(4, -1))
    LeaveOneOutScores(loaded.blend, EVIDENCE, scored, listed).without(np.array([[0, 1], [2, 3]]))
    assert [(id(value), text) for value, text in held()] == [(id(v), text) for v, text in before]
    for signal in loaded.blend.signals:
        for name, array in signal.arrays().items():
            values = array.data if signal.layout[name].columns else array
            assert not values.flags.writeable


def test_what_was_stored_by_an_earlier_release_is_stored_alike() -> None:
    digest = "a85ca2bb75e30d2eab2298646704045dc0037aba010e4ddbb7802d57a9a92931"
    assert pack(made_snapshot())[1] == digest
