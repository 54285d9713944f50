"""What identifies a data set, and the configurations that are shipped for it."""

import hashlib
from pathlib import Path

import pytest

from recsvc.errors import SettingsError
from recsvc.training.fit import model_options
from recsvc.training.published import SHIPPED, data_sha256, published_configuration
from tests.unit.made_tables import training_graph, write_tables

FILE = """
[[data_set]]
name = "Made"
sha256 = "{}"

[data_set.models.walk3]
source = "Somebody 2020, table 1"
options = {{ alpha = 0.9 }}

[data_set.models.mf]
source = "Somebody 2021, table 2"
epochs = 7
"""


@pytest.fixture
def shipped(tmp_path: Path) -> Path:
    file = tmp_path / "published.toml"
    file.write_text(FILE.format(data_sha256(training_graph(tmp_path))))
    return file


def test_the_hash_is_of_the_sorted_pairs(tmp_path: Path) -> None:
    train, _ = write_tables(tmp_path)
    items: dict[str, list[str]] = {}
    for row in sorted(set(train.read_text().split()[1:])):
        user, item = row.split(",")
        items.setdefault(user, []).append(f'"{item}"')
    text = "".join(f'["{user}",[{",".join(own)}]]\n' for user, own in sorted(items.items()))
    expected = hashlib.sha256(text.encode()).hexdigest()
    assert data_sha256(training_graph(tmp_path)) == expected


def test_a_pair_more_is_another_data_set(tmp_path: Path) -> None:
    from loaders.tables import FolderTables, graph_from_tables

    before = data_sha256(training_graph(tmp_path))
    (tmp_path / "test.csv").unlink()
    train = tmp_path / "interactions.csv"
    again = train.read_text().splitlines()
    hashes: list[str] = []
    twice = [f"{again[0]},event", *(f"{row},view" for row in again[1:]), f"{again[1]},buy"]
    others = [*again, "u000,new"]
    for rows in ([*again, again[1]], others, [again[0], *reversed(again[1:])], twice):
        train.write_text("\n".join(rows) + "\n")
        graph = graph_from_tables(FolderTables(tmp_path), lambda _rejected: None)
        hashes.append(data_sha256(graph))
    assert hashes[0] == before
    assert hashes[1] != before
    assert hashes[2:] == [before, before]


def test_the_configuration_of_the_data_set_is_found(shipped: Path, tmp_path: Path) -> None:
    found = published_configuration("walk3", training_graph(tmp_path), shipped)
    assert found.data_set == "Made"
    assert found.configuration.options == {"alpha": 0.9}
    assert found.configuration.epochs is None
    assert (
        published_configuration("mf", training_graph(tmp_path), shipped).configuration.epochs == 7
    )


def test_what_is_shipped_is_listed_for_others(shipped: Path, tmp_path: Path) -> None:
    graph = training_graph(tmp_path)
    with pytest.raises(SettingsError, match=r"no configuration of ease.*Made: mf, walk3"):
        published_configuration("ease", graph, shipped)
    with pytest.raises(SettingsError, match=r"these training interactions.*Gowalla.*validated"):
        published_configuration("walk3", graph)


def test_everything_shipped_is_a_model_with_options_it_takes() -> None:
    import tomllib

    for data_set in tomllib.loads(SHIPPED.read_text())["data_set"]:
        assert len(data_set["sha256"]) == 64
        for model, entry in data_set["models"].items():
            options = model_options(model, entry.get("options", {}))
            assert entry["source"]
            assert "epochs" not in entry or "epochs" in type(options).model_fields
