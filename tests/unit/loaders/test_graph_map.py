"""The mapping of somebody else's graph is checked, and never becomes an injection."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from loaders.graph_map import (
    GraphMap,
    NodeMap,
    PathMap,
    parse_path,
    quoted,
    read_property,
    renamed,
    settable,
)
from tests.mappings import MANY_WAYS

NODES = {"user": {"label": "A", "id": "a"}, "item": {"label": "B", "id": "b"}}
LINK = {"path": "(user)-[r:R]->(item)"}


def test_path_has_its_types_directions_and_labels():
    start, hops = parse_path("(user)-[:`HAS MADE`]->(order:Order)<-[line:IN|OF]-(item)")
    assert start == "user"
    assert [(h.name, h.types, h.forward, h.node, h.labels) for h in hops] == [
        ("", "`HAS MADE`", True, "order", "Order"),
        ("line", "IN|OF", False, "item", ""),
    ]


@pytest.mark.parametrize(
    "path",
    [
        "",
        "(user)",
        "user-[:R]->(item)",
        "(user)-[:R*1..3]->(item)",
        "(user)-[:R {a: 1}]->(item)",
        "(user)-->(item)",
        "(user)-[:R]->(item) DETACH DELETE item",
        "(user)-[:R]->(item:B {x: 1})",
        "(user)-[:`R\\u0060]-() //`]->(item)",
        "(item)-[:R]->(user)",
    ],
)
def test_what_is_no_path_is_refused(path):
    with pytest.raises(ValidationError):
        GraphMap.model_validate({**NODES, "interactions": [{"path": path}]})


@pytest.mark.parametrize(
    "condition",
    [
        "r.a = 1 RETURN 1",
        "EXISTS { (user) }",
        "COUNT { (user)--() } > 1",
        "r.a = 1; MATCH (n) DETACH DELETE n",
        "apoc.cypher.runFirstColumn('x', {})",
        "call(1)",
        "r.a = $user_id",
        "r.a = 1 // the rest",
        "r.a = 1 /* the rest",
        "r.a = '\\u0027 OR true'",
        "other.a = 1",
        "(r.a = 1",
        "r.a = 1) OR (true",
        "r.`a",
        "",
    ],
)
def test_conditions_are_of_a_closed_grammar(condition):
    with pytest.raises(ValidationError):
        PathMap(path="(user)-[r:R]->(item)", where=condition)


PIECES = st.sampled_from([
    "r.a", "r.`a b`", "user", "item.x", " = ", "=", "1", "'t'", '"t"', " AND ", " OR ", "NOT ",
    "(", ")", "[", "]", ",", ".", " + ", "-", "--", "//", "/*", "*/", "{", "}", ";", "$x", "\\",
    "\\u0027", "`", "'", '"', "\n", "coalesce(", "toFloat(", "CALL", "CALL {", "db.labels()",
    " RETURN 1",
    "DELETE r", "DETACH DELETE r", "SET r.a", "MATCH (n)", "LOAD CSV FROM 'x' AS y",
    "EXISTS { (r) }",
    "COUNT", "COLLECT", "apoc.x(", "UNION", "reduce(", "[x IN ", " WHERE ", "<", ">", "|", ":A",
])  # fmt: skip
CLAUSES = re.compile(
    r"(?<!\.)(?<!\w)(CALL|RETURN|DELETE|DETACH|SET|MATCH|MERGE|CREATE|LOAD|UNION|EXISTS|COUNT|COLLECT|"
    r"WHERE|REMOVE|FOREACH|UNWIND|USE|FINISH|YIELD|WITH(?!\s))(?!\w)|[{}$;|:\\\\]|//|/\*",
    re.IGNORECASE,
)


@given(st.lists(PIECES, min_size=1, max_size=9).map("".join))
@example("*/''*/")  # no comment begins where a text stands between
@example("[)")
@example("1. RETURN 1")
def test_what_is_taken_is_an_expression_and_nothing_else(text):
    try:
        path = PathMap(path="(user)-[r:R]->(item)", where=text, value=text, timestamp=text)
    except ValidationError:
        return
    bare = re.sub(r"'[^']*'|\"[^\"]*\"|`[^`]*`", " ", path.where)
    bare = re.sub(r"(?<=\.)\s+", "", bare)  # what comes after a dot is a property
    assert not CLAUSES.search(bare), bare
    assert bare.count("(") == bare.count(")")
    assert not set("'\"`") & set(bare)


@given(st.text(max_size=20))
def test_a_quoted_name_ends_where_it_ends(name):
    text = quoted(name)
    assert re.fullmatch(r"[A-Za-z_][A-Za-z_0-9]*|`(?:[^`]|``)*`", text)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("r.a = 1", {"a": "1"}),
        ("r.`a b` = 'x' and r.c = TRUE AND r.d = -2.5", {"`a b`": "'x'", "c": "true", "d": "-2.5"}),
        ("r.a > 1", None),
        ("r.a = r.b", None),
        ("r.a = 1 OR r.b = 2", None),
        ("NOT r.a = 1", None),
        ("user.a = 1", None),
        ("r.a = -'x'", None),
        ("(r.a = 1)", None),
    ],
)
def test_conditions_that_can_be_set(text, found):
    assert settable(text, "r") == found


def test_what_a_value_is_read_off():
    assert read_property("r.a", "r", shifted=False) == "a"
    assert read_property("r.`a b` - 3.5", "r", shifted=True) == "a b"
    assert read_property("r.a - 3.5", "r", shifted=False) is None
    assert read_property("r.a * 2", "r", shifted=True) is None
    assert read_property("coalesce(r.a, 1)", "r", shifted=True) is None


def test_properties_and_functions_are_allowed_in_values():
    value = "coalesce(r.`how many`, 1) * log(1 + abs(r.price)) - 3.5"
    assert PathMap(path="(user)-[r:R]->(item)", value=value).value == value
    assert renamed("r.a = 'r' AND user.r > 1", {"r": "r_1", "user": "u"}) == (
        "r_1.a = 'r' AND u.r > 1"
    )


def test_a_name_alone_is_a_property_of_the_last_relationship():
    assert PathMap(path="(user)-[r:R]->(item)", value="stars").read("value") == "r.stars"
    path = PathMap(path="(user)-[:R]->(item)", value="`my stars`", timestamp="user.at")
    assert (path.read("value"), path.read("timestamp")) == ("link.`my stars`", "user.at")


@pytest.mark.parametrize("name", ["", " ", "a\\u0060b", "x" * 600])
def test_names_that_could_end_early_are_refused(name):
    with pytest.raises(ValidationError):
        NodeMap(label=name, id="id")


def test_any_other_name_is_quoted():
    assert quoted("Order") == "Order"
    assert quoted("a`b") == "`a``b`"
    assert quoted("two words") == "`two words`"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"interactions": [LINK, LINK]}, "same event"),
        ({"interactions": []}, "at least 1"),
        ({"item_categories": [{"path": "(item)-[:R]->(category)"}]}, "needs a"),
        ({"follows": [{"path": "(user)-[:R]->(item)"}]}, "from (user) to (other)"),
        ({"interactions": [{"path": "(user)-[user:R]->(item)"}]}, "twice"),
        ({"writes": "some"}, "writes"),
    ],
)
def test_a_mapping_that_makes_no_sense_says_why(wrong, said):
    with pytest.raises(ValidationError, match=said.replace("(", r"\(").replace(")", r"\)")):
        GraphMap.model_validate({**NODES, "interactions": [LINK], **wrong})


def test_labels_stand_for_ours():
    assert MANY_WAYS.labels == {"User": "Customer", "Item": "Product", "Category": "Tag"}
