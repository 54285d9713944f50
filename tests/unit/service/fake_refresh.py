"""A refresh as it is seen from outside: a process that notes on which run it works."""

import json
import sys
from pathlib import Path
from typing import Any

from recsvc.service.refreshes import Refreshes

RUN = "20251121T030000.000000Z-9f2c01"
HOLDER = "db1 4711 9f2c01ab"
MANIFEST: dict[str, Any] = {
    "run": RUN,
    "state": "activated",
    "error": None,
    "begun_at": "2025-11-21T03:00:00.000+00:00",
    "finished_at": "2025-11-21T03:09:24.000+00:00",
    "identity": {"options": {"models": ["lightgcn"], "seed": 0}, "events": {}, "packages": {}},
    "attempts": [
        {
            "at": "2025-11-21T03:00:00.000+00:00", "holder": HOLDER, "fence": 1,
            "taken_from": None, "forced": False,
        }
    ],
    "steps": [
        {
            "name": "extract", "state": "done", "started_at": "2025-11-21T03:00:01.000+00:00",
            "attempt": 1, "seconds": 3.2, "memory_bytes": 734003200,
        }
    ],
    "versions": {"hybrid": 3, "lightgcn": 3},
    "metrics": {"hybrid": {"ndcg@20": {"mean": 0.2, "low": 0.19, "high": 0.21}}},
    "by_items_known": [
        {
            "group": "15 to 39", "users": 412,
            "model": {"ndcg@20": {"mean": 0.2, "low": 0.19, "high": 0.21}},
            "popularity": {"ndcg@20": {"mean": 0.12, "low": 0.11, "high": 0.13}},
            "difference": {"ndcg@20": {"mean": 0.08, "low": 0.07, "high": 0.09}},
            "best_part": "lightgcn", "part": {"ndcg@20": {"mean": 0.19, "low": 0.18, "high": 0.2}},
        }
    ],
    "weights": {"lightgcn": 1.0, "base": 0.2},
    "reliance": {"prior": 1.5, "follows": 0.5, "people": 0.25, "items": {"ridge": -0.25}},
    "change": {"mean": 0.012, "low": 0.004, "high": 0.02},
    "compared": "on what 412 users did since, unseen by both",
    "objections": [],
    "warnings": [],
    "overridden": [],
    "model_options": {"lightgcn": {"dimensions": 64, "layers": 2}},
    "start": "from scratch: no version is active",
}  # fmt: skip


_PROCESS = """
import json, os, sys, time
from datetime import datetime, timezone
home, run, what, name = sys.argv[1:]
if what == "fail":
    sys.exit(1)
path = os.path.join(home, "refreshes", run, "manifest.json")
with open(path) as file:
    manifest = json.load(file)
now = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
told = {"name": name, "at": now, "holder": f"db1 {os.getpid()} 0"}
manifest["attempts"].append({**manifest["attempts"][-1], **told})
with open(path + ".part", "w") as file:
    json.dump(manifest, file)
os.replace(path + ".part", path)
while what == "stay":
    time.sleep(0.05)
"""


def write_manifest(home: Path, **facts: Any) -> None:
    manifest = MANIFEST | facts
    folder = home / "refreshes" / manifest["run"]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "part").write_text(json.dumps(manifest))
    (folder / "part").replace(folder / "manifest.json")


def fake_command(home: Path, name: str, what: str = "end") -> list[str]:
    """The process, which calls its run `name` and goes on with an older one.

    `what` is `end`, `stay` until it is ended, or `fail` before it has begun.
    """
    # Python without site packages starts at once.
    return [sys.executable, "-I", "-S", "-c", _PROCESS, str(home), RUN, what, name]


def fake_refreshes(home: Path, what: str = "end") -> Refreshes:
    """Refreshes of which one is known, and whose processes go on with a run."""
    write_manifest(home)
    return Refreshes(home, lambda _models, **asked: fake_command(home, asked["run"], what))
