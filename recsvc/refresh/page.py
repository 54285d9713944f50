"""The page of a refresh, made when it has ended."""

import contextlib
from collections.abc import Generator
from contextlib import contextmanager

import structlog

from loaders.files import write_bytes
from recsvc.errors import RefreshError
from recsvc.refresh.report import refresh_page
from recsvc.refresh.run_journal import RefreshRun, read_manifest
from recsvc.refresh.sampled_lists import PAGE, pages_locked, read_lists

_log = structlog.get_logger()


@contextmanager
def page_at_end(run: RefreshRun) -> Generator[None]:
    """Make the page of a run that ends in the block, whatever it ends with.

    If a page cannot be made, the log says so, and nothing else changes.
    """
    try:
        yield
    finally:
        if run.manifest["state"] != "unfinished":
            try:
                _write(run)
            except Exception as error:  # whatever it is, how the run ended stays what it is
                _tell("warning", "page not made", run, error=f"{type(error).__name__}: {error}")
            else:
                _tell("info", "page made", run, page=str(run.folder / PAGE))


def _write(run: RefreshRun) -> None:
    """Write the page; made again if meanwhile somebody was deleted, who waits for a moment only."""
    home = run.folder.parents[1]
    while True:
        manifest, lists = read_manifest(home, run.name), read_lists(run.folder)
        if manifest is None:
            raise RefreshError(f"{run.folder} holds no manifest any more")
        page = refresh_page(manifest, lists).encode()
        with pages_locked(home):
            if read_lists(run.folder) == lists:
                write_bytes(run.folder / PAGE, page)
                return


def _tell(level: str, event: str, run: RefreshRun, **facts: str) -> None:
    """Log, where somebody said how."""
    if structlog.is_configured():
        with contextlib.suppress(OSError):  # its reader has gone
            getattr(_log, level)(event, run=run.name, **facts)
