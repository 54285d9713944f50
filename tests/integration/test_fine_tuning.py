"""Refreshes that go on from the active version: what they leave out, keep, and refuse."""

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from loaders import writeback
from loaders.catalogue import Query
from loaders.gateway import Gateway, Neo4jGateway
from loaders.ingest import ingest
from loaders.parts import stored_names, stored_parts
from loaders.tables import FolderTables
from loaders.writeback import Version
from recsvc.blend import fit as blend_fit
from recsvc.errors import GateError
from recsvc.models import FitRun, ModelSpec
from recsvc.models.lightgcn import LightGCNOptions
from recsvc.refresh import list_diff
from recsvc.refresh.fine_tuning_state import forget_node, read_state
from recsvc.refresh.options import RefreshOptions
from recsvc.refresh.parts import Progress
from recsvc.refresh.pipeline import refresh
from recsvc.refresh.run_manifest import RunManifest
from recsvc.refresh.sampled_lists import read_lists
from recsvc.settings import load_settings
from recsvc.signals import RowSignal
from recsvc.signals.rows import ROWS
from recsvc.snapshot import arrays as snapshots
from recsvc.snapshot.activation import roll_back
from recsvc.snapshot.arrays import MANIFEST, Snapshot
from recsvc.snapshot.arrays import read as read_snapshot
from recsvc.snapshot.deletion import DeletedNode, delete_nodes, delete_user
from recsvc.snapshot.folders import folder_name, unpack
from tests.forked_refresh import VERSIONS, write_graph
from tests.prepared_graph import prepared

pytestmark = pytest.mark.neo4j

EVENTS = load_settings().events
OPTIONS = RefreshOptions(models=("lightgcn", "walk3"), validation_users=60, fine_tune_below=0.5)
DAMAGE = Query("tests/damage", "", "write", {}, {}, "MATCH (part:SnapshotPart) REMOVE part.content")
SLOTS = Query(
    "tests/slots", "", "read", {}, {},
    "MATCH (n:User|Item) WHERE n.embedding_lightgcn_a IS NOT NULL "
    "RETURN count(n) AS nodes, sum(CASE WHEN n.embedding_lightgcn_a = n.embedding_lightgcn_b "
    "AND n.embedding_node2vec_a = n.embedding_node2vec_b THEN 0 ELSE 1 END) AS others",
)  # fmt: skip
STARTS = Query(
    "tests/starts", "", "read", {}, {},
    "MATCH (v:EmbeddingVersion {status: 'active'}) RETURN v.start AS start",
)  # fmt: skip
Refreshes = Callable[..., RunManifest]


@pytest.fixture
def graph(gateway: Neo4jGateway, tmp_path: Path, request: pytest.FixtureRequest) -> Neo4jGateway:
    """As `make_graph`, with a category for each taste; empty where `first` makes it."""
    write_graph(tmp_path / "tables", users=60)
    rows = [f"i{item:02},c{item // 15}" for item in range(45)]
    write(tmp_path / "categories", "item_categories", "item_id,category_id", rows)
    write(tmp_path / "categories", "categories", "category_id", ["c0", "c1", "c2"])
    if "first" not in request.fixturenames:
        take_in_all(gateway, tmp_path)
    return gateway


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def first(
    graph: Neo4jGateway, home: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> RunManifest:
    """The first refresh of `graph`."""

    def make(home: Path) -> RunManifest:
        take_in_all(graph, tmp_path)
        return refresh(graph, OPTIONS, EVENTS, home=home)

    key = ("fine tuning", OPTIONS, EVENTS)
    return prepared(graph, tmp_path_factory, key, tmp_path / "tables", make, home)[0]


@pytest.fixture
def refreshed(graph: Neo4jGateway, home: Path) -> Refreshes:
    def run(
        *,
        from_scratch: bool = False,
        force: bool = False,
        progress: Progress = lambda _what, _done, _total: None,
        **options: Any,
    ) -> RunManifest:
        chosen = OPTIONS.model_copy(update=options)
        return refresh(
            graph, chosen, EVENTS, home=home, force=force, from_scratch=from_scratch,
            progress=progress,
        )  # fmt: skip

    return run


def write(folder: Path, table: str, columns: str, rows: list[str]) -> None:
    folder.mkdir(exist_ok=True)
    (folder / f"{table}.csv").write_text("\n".join([columns, *rows]) + "\n")


def take_in(gateway: Neo4jGateway, folder: Path) -> None:
    if not (folder / "interactions.csv").exists():
        write(folder, "interactions", "user_id,item_id", [])
    ingest(gateway, FolderTables(folder), rejects=folder / "rejects.csv", strict=True)


def take_in_all(gateway: Neo4jGateway, folder: Path) -> None:
    for tables in ("tables", "categories"):
        take_in(gateway, folder / tables)


@pytest.fixture
def later(graph: Neo4jGateway, tmp_path: Path) -> None:
    """Users do more of their taste; u999 and i99 come."""
    rng = np.random.default_rng(1)
    rows = [
        f"u{user:03},i{item:02}"
        for user in range(60)
        for item in rng.choice(np.arange(15) + 15 * (user % 3), 3, replace=False)
    ]
    rows += ["u999,i00", "u999,i01", "u000,i99", "u003,i99", "u006,i99"]
    write(tmp_path / "later", "interactions", "user_id,item_id", rows)
    take_in(graph, tmp_path / "later")


def number_of(report: RunManifest) -> int:
    """Of the version of the blend."""
    assert report.versions is not None
    return report.versions["hybrid"]


def snapshot(gateway: Neo4jGateway, report: RunManifest) -> Snapshot:
    return read_snapshot(stored_parts(gateway, number_of(report)), report.sha256)


def vectors(found: Snapshot) -> np.ndarray:
    """Unit vectors of the items that were there from the beginning."""
    targets = found.item_vectors("lightgcn")
    assert targets is not None
    rows = targets[found.items.rows([f"i{item:02}" for item in range(45)])]
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.usefixtures("later")
def test_a_refresh_goes_on_from_the_active_version(
    graph: Neo4jGateway, refreshed: Refreshes, home: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    folders_of_lists: list[Path] = []
    unpack = list_diff.unpack

    def noted(parts: Any, sha256: str, folder: Path) -> None:
        folders_of_lists.append(folder)
        unpack(parts, sha256, folder)

    monkeypatch.setattr(list_diff, "unpack", noted)
    write(tmp_path / "tables", "interactions", "user_id,item_id", ["u010,i44", "u998,i98"])
    told: list[tuple[str, int, int]] = []

    def note(what: str, done: int, total: int) -> None:
        told.append((what, done, total))

    first = refreshed(progress=note)
    assert ("fit lightgcn for validation", 1, LightGCNOptions().epochs) in told
    assert first.start == "from scratch: no version is active"
    before = snapshot(graph, first)
    take_in(graph, tmp_path / "tables")
    told.clear()
    second = refreshed(progress=note)
    assert ("fit lightgcn", 1, 1) in told, "a tenth of the epochs"
    assert str(second.start).startswith("fine-tuned from hybrid 1: 0.")
    assert {row["start"] for row in graph.run(STARTS)} == {second.start}
    assert second.expected is not None
    assert second.expected.startswith("about 10 s expected on two cores")
    left_out = {
        "check meta-paths",
        "weights",
        "paths for validation",
        "rows for validation",
        "resolve lightgcn",
        "rows of walk3 for validation",
    }
    assert first.seconds.keys() & left_out
    assert not second.seconds.keys() & left_out
    assert not folders_of_lists
    assert read_lists(home / "refreshes" / second.run) is not None
    assert second.weights == first.weights
    after = snapshot(graph, second)
    aligned = np.vecdot(vectors(before), vectors(after))
    anew = snapshot(graph, refreshed(seed=1))
    assert folders_of_lists
    turned = np.vecdot(vectors(before), vectors(anew))
    assert aligned.min() > 0.9
    assert np.median(turned) < 0.5


@pytest.mark.long
def test_all_but_what_is_fine_tuned_is_as_from_scratch(
    graph: Neo4jGateway, first: RunManifest, refreshed: Refreshes, home: Path, tmp_path: Path
) -> None:
    """Also the rows of a meta-path that were taken over, in a graph whose rows are others now.

    They are not taken from damaged files.
    """
    before, number = snapshot(graph, first), number_of(first)
    folder = home / "snapshots" / folder_name(number, first.sha256)
    unpack(stored_parts(graph, number), first.sha256, folder)
    np.load(folder / "item_category_item.data.npy", mmap_mode="r+")[:] = 9.0
    write(tmp_path / "more", "interactions", "user_id,item_id", ["u010,i44", "u0,i00a", "u0,i02"])
    take_in(graph, tmp_path / "more")
    warm, cold = (snapshot(graph, refreshed(from_scratch=anew)) for anew in (False, True))
    assert warm.items == cold.items != before.items
    np.testing.assert_array_equal(warm.blend.prior, cold.blend.prior)
    for ours, theirs in zip(warm.blend.signals, cold.blend.signals, strict=True):
        if isinstance(ours, RowSignal):
            assert isinstance(theirs, RowSignal)
            assert ours.ids == theirs.ids
            assert ours.rows.nnz
            np.testing.assert_array_equal(ours.rows.toarray(), theirs.rows.toarray())
    assert {s.name for s in warm.blend.signals} > {"walk3", "item_category_item", "pagerank"}


@pytest.mark.usefixtures("first")
def test_rows_are_taken_over_only_while_what_they_read_is_the_same(
    graph: Neo4jGateway, refreshed: Refreshes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed: list[str] = []
    all_rows = blend_fit.all_rows

    def noted(gateway: Any, name: str, *more: Any) -> Any:
        computed.append(name)
        return all_rows(gateway, name, *more)

    monkeypatch.setattr(blend_fit, "all_rows", noted)
    write(tmp_path / "listens", "interactions", "user_id,item_id", ["u010,i44"])
    take_in(graph, tmp_path / "listens")
    assert "pagerank" in refreshed().seconds
    assert sorted(computed) == ["followed_user_item", "item_user_item"]
    computed.clear()
    write(tmp_path / "more", "item_categories", "item_id,category_id", ["i00,c1"])
    take_in(graph, tmp_path / "more")
    assert str(refreshed().start).startswith("fine-tuned")
    assert sorted(computed) == ["category_item", "item_category_item"]


def test_where_nothing_changed_the_new_version_is_as_the_active_one(
    graph: Neo4jGateway, refreshed: Refreshes, home: Path
) -> None:
    """Nothing is trained, and PageRank's rows are not made: its step is not there.

    The arrays that are served on the same machine are not read from Neo4j: there they are damaged.
    """
    models = ("lightgcn", "node2vec", "walk3")
    first = refreshed(models=models)
    number, sha256 = number_of(first), first.sha256
    folder = home / "snapshots" / folder_name(number, sha256)
    unpack(stored_parts(graph, number), sha256, folder)
    graph.run(DAMAGE)
    again = refreshed(models=models)
    assert str(again.start).startswith("fine-tuned from hybrid 1: 0.00%")
    assert "pagerank" in first.seconds
    assert "pagerank" not in again.seconds
    before, after = (
        {name for name in stored_names(graph, number_of(each)) if name.entry != MANIFEST}
        for each in (first, again)
    )
    assert before == after
    (row,) = graph.run(SLOTS)
    assert row == {"nodes": 105, "others": 0}


@pytest.mark.long
@pytest.mark.usefixtures("first", "later")
def test_why_a_refresh_begins_from_scratch(
    first: RunManifest, refreshed: Refreshes, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert refreshed(from_scratch=True).start == "from scratch: it was asked for"
    assert refreshed(fine_tune_below=0.0).start == "from scratch: fine_tune_below is 0"
    assert refreshed().start == (
        "from scratch: options, events, packages or meta-paths are others than for hybrid 3"
    )
    newest = refreshed()
    assert str(newest.start).startswith("fine-tuned from hybrid 4")
    (home / "refreshes" / newest.run / "state.npz").unlink()
    assert refreshed().start == (
        "from scratch: hybrid 5 left nothing on this machine to go on from"
    )
    assert read_state(home, first.run) is None  # two are kept
    monkeypatch.setattr(snapshots, "_FORMAT", 1_000)  # as after an update of recsvc
    assert refreshed().start == "from scratch: the arrays of hybrid 6 cannot be read"
    assert str(refreshed().start).startswith("fine-tuned from hybrid 7")


@pytest.mark.long
def test_from_scratch_when_too_much_has_changed_in_all(
    graph: Neo4jGateway, refreshed: Refreshes, tmp_path: Path
) -> None:
    """The shares of several refreshes add up, and end with one from scratch."""
    starts = [str(refreshed(fine_tune_below=0.03).start)]
    for number in range(4):
        rows = [f"u{user:03},i{14 - number + 15 * (user % 3):02}x" for user in range(10)]
        write(tmp_path / f"more{number}", "interactions", "user_id,item_id", rows)
        take_in(graph, tmp_path / f"more{number}")
        starts.append(str(refreshed(fine_tune_below=0.03).start))
    assert [start.split(" ")[0] for start in starts] == [
        "from", "fine-tuned", "from", "fine-tuned", "from",
    ]  # fmt: skip
    assert "fine_tune_below is 3.00%" in starts[2]


@pytest.mark.usefixtures("first", "later")
def test_after_going_back_it_goes_on_from_that_version(
    graph: Neo4jGateway, refreshed: Refreshes
) -> None:
    refreshed()
    roll_back(graph, "hybrid")
    assert str(refreshed().start).startswith("fine-tuned from hybrid 1:")


def test_who_is_deleted_is_in_no_state_and_the_next_refresh_still_goes_on(
    graph: Neo4jGateway, first: RunManifest, refreshed: Refreshes, home: Path, tmp_path: Path
) -> None:
    """An item that is deleted too and comes again is in all that the next refresh makes."""
    before = snapshot(graph, first)
    delete_user(graph, "u004", snapshot_folder=tmp_path / "nowhere")
    forget_node(home, "user", "u004")
    state = home / "refreshes" / first.run / "state.npz"
    assert b"u004" not in state.read_bytes()
    assert b"u005" in state.read_bytes()
    delete_nodes(graph, [DeletedNode("item", "i20")])
    forget_node(home, "item", "i20")
    write(tmp_path / "again", "interactions", "user_id,item_id", ["u001,i20", "u007,i20"])
    for tables in ("categories", "again"):
        take_in(graph, tmp_path / tables)
    second = refreshed()
    assert str(second.start).startswith("fine-tuned from hybrid 1:")
    after = snapshot(graph, second)
    assert vectors(after)[20].any()
    one, other = (
        signal.arrays()[ROWS].toarray()
        for each in (before, after)
        for signal in each.blend.signals
        if signal.name == "item_category_item"
    )
    np.testing.assert_array_equal(one, other)


def test_who_is_deleted_during_a_refresh_is_not_served_and_not_in_its_state(
    graph: Neo4jGateway, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The deletion finds the run at work and leaves it alone; the run asks the graph."""

    def delete(what: str, _done: int, _total: int) -> None:
        if user := to_delete.pop(what, None):
            delete_user(graph, user, snapshot_folder=tmp_path / "nowhere")
            forget_node(home, "user", user)

    def looked_at(gateway: Gateway, versions: Collection[Version], **more: Any) -> None:
        (number,) = (version.number for version in versions if version.model == "hybrid")
        active.append(b"".join(part.content for part in stored_parts(gateway, number)))
        activate(gateway, versions, **more)

    to_delete, activate = {"gate": "u005", "neighbours": "u004"}, writeback.activate
    active: list[bytes] = []
    monkeypatch.setattr(writeback, "activate", looked_at)
    report = refresh(graph, OPTIONS, EVENTS, home=home, progress=delete)
    assert not to_delete
    assert [(b'"u004"' in arrays, b'"u005"' in arrays) for arrays in active] == [(True, False)]
    found = read_state(home, report.run)
    assert found is not None
    state = (home / "refreshes" / report.run / "state.npz").read_bytes()
    for user in ("u004", "u005"):
        assert user not in found.users
        assert user.encode() not in state


@pytest.mark.long
@pytest.mark.usefixtures("later")
def test_fine_tuning_that_makes_it_worse_is_refused_and_the_next_one_begins_from_scratch(
    graph: Neo4jGateway, refreshed: Refreshes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both versions look for what came since the active one, which neither was fitted on."""
    # From random vectors, for longer, LightGCN gets a weight by which it matters here.
    options = {"lightgcn": {"start": "random", "epochs": 40, "patience": 5}}
    refreshed(options=options)
    rng = np.random.default_rng(5)
    rows = [
        f"u{user:03},i{item:02}"
        for user in range(60)
        for item in rng.choice(np.arange(15) + 15 * (user % 3), 9, replace=False)
    ]
    write(tmp_path / "more", "interactions", "user_id,item_id", rows)
    take_in(graph, tmp_path / "more")
    fit = ModelSpec.fit

    def spoilt(spec: ModelSpec, data: Any, options: Any, run: FitRun) -> Any:
        model, report = fit(spec, data, options, run)
        if run.start:
            turned = model.item_vectors[::-1].copy()
            object.__setattr__(model, "item_vectors", turned)
        return model, report

    with monkeypatch.context() as patch:
        patch.setattr(ModelSpec, "fit", spoilt)
        with pytest.raises(GateError, match="NDCG@20 is worse than the active version's by"):
            refreshed(options=options)
    assert [row["status"] for row in graph.run(VERSIONS) if row["model"] == "hybrid"] == [
        "active", "failed",
    ]  # fmt: skip
    report = refreshed(options=options)
    assert report.start == "from scratch: a refresh that went on from hybrid 1 was refused"
    assert str(refreshed(options=options).start).startswith("fine-tuned from hybrid 3:")
