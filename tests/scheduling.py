"""Which worker of a run of the tests runs what, and in which order."""

import re
from functools import cache
from pathlib import Path
from typing import Any

from xdist.scheduler import LoadScopeScheduling

from loaders.local_neo4j import DEFAULT_LINE, neo4j_versions
from loaders.shared_files import checkout_root

CHECKOUT = checkout_root() or Path()
MEASURES = "gw0"
"""The worker whose tests measure how long answers take: all others make way for it."""
_TIMED = "timed"


@cache
def _has_timed_tests(file: Path) -> bool:
    """Whether a file has tests that measure times: only workers, who import it, see the marks."""
    return "mark.timed" in file.read_text(encoding="utf-8")


class ByFileAndLine(LoadScopeScheduling):
    """Of several workers, one runs all tests of a file on the default line, with its own server.

    The files of browser tests, which share one graph, count as one, and so do those of a package
    of integration tests, those on the odd shop, and all tests on another line, whose server starts
    once. So do those with tests that measure times: they are for one worker, once its Neo4j is
    warm and the check of types beside the tests has ended.
    """

    def _split_scope(self, nodeid: str) -> str:
        file, _, name = nodeid.partition("::")
        if _has_timed_tests(CHECKOUT / file):
            return _TIMED
        file = re.sub("^tests/browser/.*", "browser", file)
        file = re.sub(
            r"^tests/integration/(analyst/|test_odd_shop|test_speaking).*", "odd shop", file
        )
        file = re.sub(r"^(tests/integration/\w+)/.*", r"\1", file)
        others = (line for line in neo4j_versions() if line != DEFAULT_LINE)
        return next((line for line in others if re.search(rf"[\[-]{line}[\]-]", name)), file)

    def _assign_work_unit(self, node: Any) -> None:
        """Have the last worker begin with other lines and what needs no Neo4j.

        It may then need no server of the default line, which takes half a minute to start and plan.
        """
        if node.gateway.id == max(each.gateway.id for each in self.nodes):
            lines = [scope for scope in self.workqueue if scope in neo4j_versions()]
            others = [scope for scope in self.workqueue if scope != _TIMED]
            self.workqueue.move_to_end((lines or others or [_TIMED])[-1], last=False)
        if _TIMED in self.workqueue:
            warm = node.gateway.id == MEASURES and len(self.assigned_work[node]) > 4
            self.workqueue.move_to_end(_TIMED, last=not warm)
        super()._assign_work_unit(node)
