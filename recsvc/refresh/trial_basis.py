"""What a meta-path is tried on: the validation part of the last refresh from scratch.

    RECSVC_HOME/trial/
      manifest.json     of that refresh
      <name>.npz        the graph as it was read, and the signals without what was held out
      lock              held while the folder is changed

It holds ids of users and what they did. A deletion removes all of it.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from loaders.files import file_lock, write_bytes
from recsvc.errors import RefreshError
from recsvc.evidence import EvidenceKind
from recsvc.refresh.run_journal import MANIFEST, step_file
from recsvc.refresh.run_manifest import RunManifest
from recsvc.signals.metapath import evidence_ids

if TYPE_CHECKING:  # a service that deletes somebody loads nothing that trains
    from recsvc.refresh.candidate import Candidate
    from recsvc.refresh.parts import Run

FOLDER: Final = "trial"
"""Below `RECSVC_HOME`."""
PURPOSE: Final = "for validation"
"""In the names of the steps that make signals without what is held out."""


def keep_basis(run: "Run", candidate: "Candidate") -> None:
    """Keep what a refresh from scratch has made for validation, before its files are removed.

    Nothing is kept where something was deleted since the graph was read: a deletion waits for the
    lock, and of one that came before, the graph knows.

    Raises:
        OSError: it cannot be written.
        Neo4jError: the graph cannot be read.
    """
    from loaders.extract import Selection, extract_graph

    if candidate.basis.start.state is not None:
        return
    folder = run.record.folder.parent.parent / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    models = [f"fit {name} {PURPOSE}" for name in run.options.models]
    with file_lock(folder / "lock"):
        _clear(folder)
        there = evidence_ids(extract_graph(run.gateway, selection=Selection(types=())))
        read = evidence_ids(candidate.basis.graph)
        if any(set(ids).difference(there[kind]) for kind, ids in read.items()):
            return
        for name in (
            "graph",
            *models,
            *(f"{what} {PURPOSE}" for what in ("pagerank", "rows", "paths")),
        ):
            # A link: until the run is noted as ended, it may have to be resumed.
            os.link(step_file(run.record.folder, name), step_file(folder, name))
        manifest = run.record.manifest.model_dump_json(exclude_unset=True)
        write_bytes(folder / MANIFEST, manifest.encode())


def basis_manifest(home: Path) -> RunManifest:
    """The manifest of the refresh that something is kept of on this machine.

    Raises:
        RefreshError: there is none.
    """
    try:
        return RunManifest.model_validate_json((home / FOLDER / MANIFEST).read_bytes())
    except (OSError, ValueError):
        raise nothing_kept() from None


def forget_basis(home: Path, _kind: EvidenceKind, _node_id: str) -> None:
    """Remove what is kept: it may name the node that was deleted.

    Raises:
        OSError: it cannot be removed.
    """
    folder = home / FOLDER
    if folder.is_dir():
        with file_lock(folder / "lock"):
            _clear(folder)


def nothing_kept() -> RefreshError:
    """What is said where a meta-path cannot be compared with anything."""
    return RefreshError(
        "nothing is kept on this machine of a refresh from scratch, which a meta-path is compared "
        "with: none was made here, or something was deleted since: run `recsvc refresh "
        "--from-scratch`"
    )


def _clear(folder: Path) -> None:
    for path in (folder / MANIFEST, *folder.glob("*.npz")):
        path.unlink(missing_ok=True)
