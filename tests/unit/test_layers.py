"""What the service must not import, and where Cypher may be reached from."""

import ast
import subprocess
import sys

import pytest

from loaders.shared_files import checkout_root
from recsvc.signals import STORED

ROOT = checkout_root()
assert ROOT is not None

HEAVY = ("torch", "torch_geometric", "gensim", "numba", "networkx")
REACH_CYPHER = {
    "recsvc/graph/store.py": "the only Cypher at request time",
    "recsvc/graph/outcome_store.py": "the same, of outcomes",
    "recsvc/graph/change_store.py": "the same, of the feed of changes",
    "recsvc/graph/scenario_store.py": "the same, of scenarios",
    "recsvc/scenarios/stored.py": "scenarios, for a command",
    "recsvc/graph/experiment_store.py": "the same, of experiments",
    "recsvc/graph/sessions.py": "runs it",
    "recsvc/graph/transport.py": "has it planned ahead",
    "recsvc/graph/version_store.py": "the same, of versions",
    "recsvc/graph/circuit_breaker.py": "names the query that came too late",
    "recsvc/graph/pasteable_cypher.py": "the explain queries as text for people",
    "recsvc/snapshot/activation.py": "which versions are active, for the service or a command",
    "recsvc/snapshot/deletion.py": "what is deleted, by the service, the command or a refresh",
    "recsvc/analyst/questions.py": "what analysts ask, as files for their tools",
    "recsvc/report/_aggregates.py": "what the data report has Neo4j add up",
    "recsvc/signals/metapath.py": "what the files of meta-paths declare",
    "recsvc/refresh/metapath_queries.py": "meta-paths that declare no walk",
    "recsvc/refresh/path_check.py": "meta-paths, run for a few pieces of evidence",
    "recsvc/refresh/path_trial.py": "one meta-path, measured",
    "recsvc/refresh/pipeline.py": "all meta-paths, to be checked",
    "recsvc/graph/export_store.py": "all that is known of a user",
    "recsvc/graph/sample_store.py": "users drawn, and what users and items fall into",
    "recsvc/commands/backup.py": "whether a graph is empty, and no refresh at work",
    "recsvc/refresh/unlearning.py": "which versions are stored, and gives arrays up",
    "recsvc/commands/doctor.py": "which Neo4j answers, and what is not there of its schema",
    "recsvc/graph/mapping_check.py": "what a mapping of somebody else's graph finds there",
    "recsvc/commands/paths.py": "a meta-path from a file that somebody names",
}
REACH_NEO4J = {
    "recsvc/graph/json_values.py": "reads the times that come",
    "recsvc/graph/sessions.py": "runs what comes and goes at request time",
    "recsvc/graph/transport.py": "has it planned",
    "recsvc/retriever.py": "gives neo4j-graphrag its records",
}


@pytest.mark.parametrize(
    ("modules", "heavy"),
    [
        ("recsvc.service.app, recsvc.recommend.engine", (*HEAVY, "polars", "opentelemetry.sdk")),
        ("recsvc.cli", (*HEAVY, "fastapi", "opentelemetry")),
        ("recsvc.refresh.schedule, recsvc.refresh.process", HEAVY),
    ],
)
def test_heavy_libraries_are_not_imported(modules: str, heavy: tuple[str, ...]) -> None:
    code = f"import sys, {modules}; print(sorted(set({heavy!r}) & sys.modules.keys()))"
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert found.stdout.strip() == "[]"


def _names(module: ast.Module) -> set[str]:
    """Everything imported and every name called."""
    names: set[str] = set()
    for node in ast.walk(module):
        if isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return names


def test_only_the_listed_modules_reach_cypher_or_the_driver() -> None:
    cypher: set[str] = set()
    driver: set[str] = set()
    for path in sorted((ROOT / "recsvc").rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        imported = _names(ast.parse(path.read_text(encoding="utf-8")))
        if any(n.startswith("loaders.catalogue") for n in imported):
            cypher.add(name)
        if any(n.partition(".")[0] == "neo4j" for n in imported):
            driver.add(name)
    assert cypher == set(REACH_CYPHER)
    assert driver == set(REACH_NEO4J)


def test_loaders_never_import_recsvc() -> None:
    for path in (ROOT / "loaders").rglob("*.py"):
        imported = _names(ast.parse(path.read_text(encoding="utf-8")))
        assert not [n for n in imported if n.partition(".")[0] == "recsvc"], path


SIGNALS = {"Signal", *(each.__name__ for each in STORED.values())}


def test_only_signals_ask_of_what_class_a_signal_is() -> None:
    asking: list[str] = []
    for path in sorted((ROOT / "recsvc").rglob("*.py")):
        if path.parent.name == "signals":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in (
                "isinstance",
                "issubclass",
            ):
                named = {each.id for each in ast.walk(node.args[1]) if isinstance(each, ast.Name)}
            elif isinstance(node, ast.MatchClass):
                named = {ast.unparse(node.cls)}
            else:
                continue
            if {name for name in named if name in SIGNALS or name.endswith("Signal")}:
                asking.append(f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}")
    assert asking == []
