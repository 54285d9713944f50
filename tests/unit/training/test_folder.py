"""The folder of a run: whole or not there, and every model's arrays in it."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import scipy.sparse as sp

from recsvc.errors import SettingsError
from recsvc.models import MODELS, FitRun
from recsvc.run_environment import environment
from recsvc.training.fit import model_options
from recsvc.training.folder import RunFolder, write_manifest, write_model
from tests.unit.made_tables import training_data

QUICK = {"epochs": "1", "dimensions": "4", "models": "walk3"}
ABOUT = {"model": "mf", "options": {"epochs": 3}, "seed": 0}


@pytest.mark.parametrize("name", sorted(MODELS))
def test_every_model_is_written_as_arrays_without_pickle(name: str, tmp_path: Path) -> None:
    data = training_data(tmp_path)
    said = np.eye(len(data.graph.items), 4, dtype=np.float32)  # `content` learns from texts
    data = replace(data, graph=replace(data.graph, content={"Item": said}))
    if not MODELS[name].speaks(data):  # it learns from times
        did = data.graph.interactions
        timed = replace(did, last_at=1e9 + np.arange(len(did)))
        data = replace(data, graph=replace(data.graph, interactions=timed))
    fields = MODELS[name].options.model_fields
    options = model_options(name, {o: v for o, v in QUICK.items() if o in fields})
    model, _ = MODELS[name].fit(data, options, FitRun(0))
    write_model(tmp_path, model, data.graph)
    with np.load(tmp_path / "model.npz", allow_pickle=False) as arrays:
        found = {key: arrays[key] for key in arrays.files}
    numeric = [array for array in found.values() if array.dtype.kind in "fiu" and array.size]
    assert numeric
    assert not [key for key, array in found.items() if array.dtype.kind == "O"]
    assert not [key for key, array in found.items() if " object at 0x" in str(array)]
    assert pl.read_csv(tmp_path / "users.csv")["id"].to_list() == list(data.graph.users)
    assert pl.read_csv(tmp_path / "items.csv")["id"].to_list() == list(data.graph.items)


def test_a_sparse_matrix_can_be_put_together_again(tmp_path: Path) -> None:
    data = training_data(tmp_path)
    model, _ = MODELS["walk3"].fit(data, model_options("walk3", {}), FitRun(0))
    write_model(tmp_path, model, data.graph)
    with np.load(tmp_path / "model.npz", allow_pickle=False) as arrays:
        names = ("data", "indices", "indptr", "shape")
        values, indices, begin, shape = (arrays[f"rows_{name}"] for name in names)
    again = sp.csr_matrix((values, indices, begin), shape=tuple(shape))
    assert (again != model.rows).nnz == 0  # pyright: ignore[reportAttributeAccessIssue]


def test_a_kill_while_writing_leaves_the_run_before(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    with folder.written() as part:
        write_manifest(part, {"number": 1})

    with pytest.raises(TypeError), folder.written() as part:
        write_manifest(part, {"number": object()})
    assert json.loads((folder.path / "manifest.json").read_text()) == {"number": 1}
    with folder.written() as part:
        write_manifest(part, {"number": 3})
    assert json.loads((folder.path / "manifest.json").read_text()) == {"number": 3}
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(SettingsError, match="holds no run of recsvc"):
        RunFolder(tmp_path).begin(ABOUT, resume=False)


def test_an_unfinished_run_is_not_lost_by_starting_anew(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    checkpoints = folder.begin(ABOUT, resume=False)
    folder.give_up()
    assert not checkpoints.exists()
    (folder.begin(ABOUT, resume=False) / "part.npz").write_bytes(b"")
    folder.give_up()
    with pytest.raises(SettingsError, match="resume it with --resume, or remove it"):
        folder.begin(ABOUT, resume=False)
    assert folder.begin(ABOUT, resume=True) == checkpoints
    folder.end()
    assert not checkpoints.exists()


@pytest.mark.parametrize("name", ["model", "options", "seed"])
def test_a_run_goes_on_only_as_it_was(tmp_path: Path, name: str) -> None:
    folder = RunFolder(tmp_path / "run")
    with pytest.raises(SettingsError, match="nothing to resume"):
        folder.begin(ABOUT, resume=True)
    folder.begin(ABOUT, resume=False)
    with pytest.raises(SettingsError, match=f"another {name}"):
        folder.begin({**ABOUT, name: "other"}, resume=True)


def test_the_environment_names_what_matters() -> None:
    found = environment("cpu")
    assert found["device"] == "cpu"
    assert found["cpu_count"] >= 1
    assert {"numpy", "scipy", "torch", "numba"} <= set(found["packages"])
