"""The folder of the metrics of several processes."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from recsvc.service.metrics_folder import metrics_folder

HOLDER = (
    "import time; from recsvc.service.metrics_folder import metrics_folder\n"
    "with metrics_folder() as folder:\n"
    "    print(folder, flush=True); time.sleep(99)"
)


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_it_is_there_in_the_block_alone(temporary: Path) -> None:
    with metrics_folder() as folder:
        assert folder.parent == temporary
        (folder / "counter_1.db").write_bytes(b"1")
    assert list(temporary.iterdir()) == []


def test_that_of_a_killed_service_goes_and_that_of_a_living_one_stays(temporary: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", HOLDER], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    held = Path(process.stdout.readline().strip())
    try:
        (held / "counter_1.db").write_bytes(b"1")
        with metrics_folder() as own:
            assert set(temporary.iterdir()) == {held, own}
    finally:
        process.kill()
        process.communicate()
    with metrics_folder() as own:  # it is young: its service may be about to lock it
        assert set(temporary.iterdir()) == {held, own}
    os.utime(held, (time.time() - 3600,) * 2)
    with metrics_folder() as own:
        assert set(temporary.iterdir()) == {own}
