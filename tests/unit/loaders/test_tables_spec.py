"""The tables that the contract names, and the reasons that the docs list."""

import ast
import re
from pathlib import Path

import pytest

from loaders.tables import INTERACTIONS, ITEMS, TABLES, USERS, Reason

DOCS = (Path(__file__).parents[3] / "docs" / "tables.md").read_text(encoding="utf-8")
RULES = re.search(r"^## What happens to a row\n(.*?)^## ", DOCS, re.DOTALL | re.MULTILINE)


def test_every_table_and_column_of_the_contract() -> None:
    found = {spec.name: (spec.required, set(spec.names)) for spec in TABLES}
    assert found == {
        "interactions": (
            ("user_id", "item_id"),
            {"user_id", "item_id", "event", "value", "timestamp", "event_id"},
        ),
        "follows": (("follower_id", "followee_id"), {"follower_id", "followee_id", "since"}),
        "items": (("item_id",), {"item_id", "title", "created_at", "available"}),
        "users": (("user_id",), {"user_id", "name"}),
        "categories": (("category_id",), {"category_id", "name", "kind", "parent_id"}),
        "item_categories": (("item_id", "category_id"), {"item_id", "category_id", "weight"}),
        "related_items": (
            ("item_id", "related_id"),
            {"item_id", "related_id", "kind", "weight"},
        ),
        "preferences": (("user_id", "category_id"), {"user_id", "category_id", "weight"}),
    }
    assert [spec for spec in TABLES if spec.properties] == [ITEMS, USERS, INTERACTIONS]


def test_the_docs_list_every_table() -> None:
    for spec in TABLES:
        assert f"| `{spec.name}` |" in DOCS


def documented() -> list[str]:
    """The examples of reasons in the table of the docs."""
    assert RULES is not None
    rows = re.findall(r"^\|(.+)\|$", RULES[1], re.MULTILINE)[2:]
    return [text for row in rows for text in re.findall("`([^`]+)`", row.rsplit("|", 1)[-1])]


def pattern(reason: Reason) -> str:
    return ".+".join(map(re.escape, reason.split("{}")))


@pytest.mark.parametrize("reason", Reason)
def test_the_docs_show_every_reason(reason: Reason) -> None:
    assert any(re.fullmatch(pattern(reason), text) for text in documented())


def test_the_docs_show_no_other_reason() -> None:
    for text in documented():
        assert any(re.fullmatch(pattern(reason), text) for reason in Reason), text


def test_reasons_are_written_in_one_place() -> None:
    """Whatever rejects a row takes its text from `Reason`."""
    source = Path(__file__).parents[3] / "loaders" / "tables"
    rejecting = {"Rejected", "_BadCellError", "_NoObjectError", "problems_where", "_too_long"}
    for module in source.glob("*.py"):
        for call in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
            if isinstance(call, ast.Call) and getattr(call.func, "id", "") in rejecting:
                texts = [arg.value for arg in call.args if isinstance(arg, ast.Constant)]
                assert set(texts) <= {""}, f"{module.name}: {texts}"
