"""The folder of one training run: arrays, ids, a manifest, a page; whole, or not there."""

import dataclasses
import shutil
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import polars as pl
import scipy.sparse as sp

from loaders.files import named_file, write_bytes
from loaders.types import HeteroGraph, IdMap
from recsvc.errors import SettingsError
from recsvc.models import FittedModel

MANIFEST = "manifest.json"

_PLAIN = (str, int, float)


@dataclass(frozen=True, slots=True)
class RunFolder:
    """Where a run is written, and where it keeps its checkpoints until it is done.

    Attributes:
        path: the folder as it was asked for.
    """

    path: Path

    @property
    def unfinished(self) -> Path:
        """The folder beside it with the checkpoints."""
        return self.path.with_name(f"{self.path.name}.unfinished")

    def begin(self, identity: Mapping[str, Any], *, resume: bool) -> Path:
        """Make the folder of the checkpoints, or find it again.

        Args:
            identity: what must be the same for the run to go on.
            resume: resume the unfinished run.

        Raises:
            SettingsError: the folder holds something else than a run, there is no unfinished run
                to resume or it is of something else, or there is one and `resume` is not set.
            OSError: the folder cannot be written; none stays that was made.
        """
        if self.path.exists() and not self._is_run():
            raise SettingsError(
                f"{self.path} is there and holds no run of recsvc: name another folder"
            )
        file = self.unfinished / "run.json"
        if resume:
            self._check(file, identity)
        elif self._has_checkpoints():
            raise SettingsError(
                f"{self.unfinished} holds an unfinished run: resume it with --resume, or remove it"
            )
        else:
            self.unfinished.mkdir(parents=True, exist_ok=True)
            try:
                write_bytes(file, orjson.dumps(dict(identity)))
            except OSError:
                self.give_up()
                raise
        return self.unfinished

    @contextmanager
    def written(self) -> Generator[Path]:
        """A folder to write into, which takes its place when the block ends well.

        Raises:
            OSError: it cannot be written; nothing of it stays.
        """
        part = self.path.with_name(f"{self.path.name}.part")
        shutil.rmtree(part, ignore_errors=True)
        with named_file(self.path):
            try:
                part.mkdir(parents=True)
                yield part
            except BaseException:
                shutil.rmtree(part, ignore_errors=True)
                raise
        if self.path.exists():
            old = self.path.with_name(f"{self.path.name}.old")
            shutil.rmtree(old, ignore_errors=True)
            self.path.rename(old)
            part.rename(self.path)
            shutil.rmtree(old)
        else:
            part.rename(self.path)

    def end(self) -> None:
        """Remove the checkpoints."""
        shutil.rmtree(self.unfinished)

    def give_up(self) -> bool:
        """Remove the folder of the checkpoints if there is none in it; return whether it went."""
        if self._has_checkpoints():
            return False
        self.end()
        return True

    def _has_checkpoints(self) -> bool:
        return any(self.unfinished.glob("*.npz"))

    def _is_run(self) -> bool:
        return self.path.is_dir() and (
            (self.path / MANIFEST).is_file() or not any(self.path.iterdir())
        )

    def _check(self, file: Path, identity: Mapping[str, Any]) -> None:
        if not file.is_file():
            raise SettingsError(
                f"{self.unfinished} is not there, so there is nothing to resume: leave out --resume"
            )
        earlier = orjson.loads(file.read_bytes())
        differing = [name for name in identity if earlier.get(name) != identity[name]]
        if differing:
            raise SettingsError(
                f"{self.unfinished} is a run with another {', '.join(differing)}: name the same, "
                "or another --out"
            )


def write_model(folder: Path, model: FittedModel, graph: HeteroGraph) -> None:
    """Write a model's arrays (`model.npz`) and the ids of their rows; nothing is pickled.

    What is inside a field is written as `field.name`, and by position as `field.0`; of a sparse
    matrix, `field_data`, `field_indices`, `field_indptr` and `field_shape`.

    Raises:
        OSError: the folder cannot be written.
    """
    np.savez(folder / "model.npz", allow_pickle=False, **_arrays(model))
    for label, ids in (("users", graph.users), ("items", graph.items)):
        pl.DataFrame({"index": np.arange(len(ids)), "id": list(ids)}).write_csv(
            folder / f"{label}.csv"
        )


def write_manifest(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Write what is known of a run as JSON.

    Raises:
        OSError: the folder cannot be written.
    """
    content = orjson.dumps(dict(manifest), option=orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY)
    (folder / MANIFEST).write_bytes(content)


def _arrays(value: Any, name: str = "") -> dict[str, np.ndarray[Any, Any]]:
    """The arrays in a value, by the dotted path to each."""
    if isinstance(value, sp.csr_matrix):
        parts = ("data", "indices", "indptr", "shape")
        return {f"{name}_{part}": np.asarray(getattr(value, part)) for part in parts}
    if dataclasses.is_dataclass(value):
        inner = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    elif isinstance(value, Mapping):
        inner = dict(value)
    elif isinstance(value, tuple) and not all(isinstance(part, _PLAIN) for part in value):
        inner = {str(position): part for position, part in enumerate(value)}
    else:
        return {name: _plain(value)}
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    for key, part in inner.items():
        arrays |= _arrays(part, f"{name}.{key}" if name else key)
    return arrays


def _plain(value: Any) -> np.ndarray[Any, Any]:
    array = np.asarray(list(value) if isinstance(value, IdMap) else value)
    return array.astype(str) if array.dtype == object else array
