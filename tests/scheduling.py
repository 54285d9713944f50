"""Which worker of a run of the tests runs what, and in which order."""

import re
from functools import cache
from pathlib import Path
from typing import Any

from xdist.scheduler import LoadScopeScheduling

from loaders.local_neo4j import DEFAULT_LINE, neo4j_versions
from loaders.shared_files import checkout_root

CHECKOUT = checkout_root()
assert CHECKOUT is not None
_ALONE = "alone"


@cache
def _has_tests_alone(file: Path) -> bool:
    """Whether a file has tests that run alone: only workers, who import it, see the marks."""
    return "mark.alone" in file.read_text(encoding="utf-8")


class ByFileAndLine(LoadScopeScheduling):
    """Of several workers, one runs all tests of a file on the default line, with its own server.

    The files of browser tests, which share one graph, count as one, and so do those on the odd
    shop, and all tests on another line, whose server starts once. So do those with tests that run
    alone: they come last, when nobody has much else to do.
    """

    def _split_scope(self, nodeid: str) -> str:
        file, _, name = nodeid.partition("::")
        if _has_tests_alone(CHECKOUT / file):
            return _ALONE
        file = re.sub("^tests/browser/.*", "browser", file)
        file = re.sub(
            r"^tests/integration/(analyst/|test_odd_shop|test_speaking).*", "odd shop", file
        )
        others = (line for line in neo4j_versions() if line != DEFAULT_LINE)
        return next((line for line in others if re.search(rf"[\[-]{line}[\]-]", name)), file)

    def _assign_work_unit(self, node: Any) -> None:
        """Have one worker begin with other lines and what needs no Neo4j.

        It may then need no server of the default line, which takes half a minute to start and plan.
        """
        if node is self.nodes[-1]:
            lines = [scope for scope in self.workqueue if scope in neo4j_versions()]
            self.workqueue.move_to_end((lines or [*self.workqueue])[-1], last=False)
        if _ALONE in self.workqueue:
            self.workqueue.move_to_end(_ALONE)
        super()._assign_work_unit(node)
