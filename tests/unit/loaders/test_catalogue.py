"""The header grammar, and that queries and their uses in the code are the same set."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from loaders.catalogue import Catalogue, catalogue, read_query, with_one_parameter
from loaders.embedding_models import EMBEDDING_MODELS
from loaders.errors import CatalogueError
from loaders.shared_files import checkout_root, shared_path

HEAD = "// Answers something.\n"
# Queries that the code reaches by their folder, not by their name.
BY_FOLDER = {
    "analyst": "every file is a question of recsvc.analyst",
    "schema": "apply_schema runs every file of the folder",
    "metapaths": "every file becomes extract/metapath_rows[...] and a signal",
}


def load(tmp_path: Path, **sources: str) -> Catalogue:
    for name, source in sources.items():
        path = tmp_path / f"{name.replace('__', '/')}.cypher"
        path.parent.mkdir(exist_ok=True)
        path.write_text(source, encoding="utf-8")
    return Catalogue(tmp_path)


def test_header_is_read_over_several_lines(tmp_path: Path) -> None:
    source = (
        "// What a user did,\n// newest first.\n// mode: read\n// params: user_id: str,\n"
        "//   limit: int\n// returns: ids: list[str], at: datetime\n"
        "// and: nothing\nMATCH (u {id: $user_id})\n// Not the header.\nRETURN u LIMIT $limit\n"
    ).replace("// and: nothing\n", "")
    query = load(tmp_path, serve__did=source)["serve/did"]
    assert query.name == "serve/did"
    assert query.title == "What a user did, newest first."
    assert query.mode == "read"
    assert dict(query.params) == {"user_id": "str", "limit": "int"}
    assert dict(query.returns) == {"ids": "list[str]", "at": "datetime"}
    assert query.text == "MATCH (u {id: $user_id})\n// Not the header.\nRETURN u LIMIT $limit"
    assert "MATCH" not in repr(query)
    with pytest.raises(TypeError):
        query.params["more"] = "str"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("// mode: read\nRETURN 1", "expected a sentence"),
        (f"{HEAD}RETURN 1", "mode is None, expected one of read, write, schema, autocommit"),
        (f"{HEAD}// mode: delete\nRETURN 1", "mode is 'delete'"),
        (f"{HEAD}// mode: read\n// params: a: str\nRETURN 1", r"declares .*\['a'\] and uses \[\]"),
        (f"{HEAD}// mode: read\nRETURN $b", r"declares .*\[\] and uses \['b'\]"),
        (f"{HEAD}// mode: read\n// params: a\nRETURN $a", "'a' is not of the form `name: type`"),
        (f"{HEAD}// mode: read\n// returns: a b: int\nRETURN 1", "'a b: int' is not of the form"),
        (f"{HEAD}// mode: read\n// each: slot\nRETURN 1", "'slot' is neither"),
        (
            f"{HEAD}// mode: read\n// reads: A\nMATCH ()-[:A|B]-()<-[r:C*2]-() RETURN 1",
            r"that it reads \['A'\] and uses \['A', 'B', 'C'\]",
        ),
        (f"{HEAD}// mode: read\n// reads: A\nMATCH ()-[:A]-()-[r]-() RETURN 1", "of any type"),
        (
            f"{HEAD}// mode: read\n// walk: (User) -[INTERACTED 5]-> (Item)\n"
            "MATCH ()-[:FOLLOWS]->() RETURN 1",
            r"that it reads \['INTERACTED'\] and uses \['FOLLOWS'\]",
        ),
        (f"{HEAD}// mode: read\n// walk: (User)\nRETURN 1", "'0 hops': expected 1 to 4"),
        (f"{HEAD}// mode: read\n// reads: A\nMATCH ()-[:A]-()-->() RETURN 1", "of any type"),
    ],
)
def test_broken_header_names_the_file_and_the_fault(tmp_path: Path, source: str, said: str) -> None:
    with pytest.raises(CatalogueError, match=rf"^cypher/x/bad\.cypher:\d: .*{said}"):
        load(tmp_path, x__good=f"{HEAD}// mode: read\nRETURN 1", x__bad=source)


def test_all_that_is_wrong_is_said_with_its_line(tmp_path: Path) -> None:
    bad = f"{HEAD}// mode: delete\n// params: a: str,\n//   b\n// walk: (User)\nRETURN $a"
    with pytest.raises(CatalogueError) as refused:
        load(tmp_path, x__bad=bad, x__worse="RETURN 1")
    said = [str(fault) for fault in refused.value.faults]
    assert [each.split(": ")[0] for each in said] == [
        "cypher/x/bad.cypher:2", "cypher/x/bad.cypher:3", "cypher/x/bad.cypher:5",
        "cypher/x/worse.cypher:1", "cypher/x/worse.cypher:1",
    ]  # fmt: skip
    assert all(each in str(refused.value) for each in said)


def test_a_file_from_elsewhere_takes_the_place_of_the_one_of_its_name(tmp_path: Path) -> None:
    query = f"{HEAD}// mode: read\nRETURN 1"
    load(tmp_path, x__a=query, y__all=f"{HEAD}// mode: read\n// each: x = x/*\n<<x>> + 1")
    other = tmp_path / "other"
    other.write_text(query.replace("1", "2"))
    found = Catalogue(tmp_path, {"x/a": other, "x/b": other})
    assert {name: one.text for name, one in found.items()} == {
        "x/a": "RETURN 2", "x/b": "RETURN 2", "y/all[a]": "RETURN 2 + 1", "y/all[b]": "RETURN 2 + 1"
    }  # fmt: skip


def test_a_file_that_is_no_text_is_named_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "bad.cypher"
    file.write_bytes(b"// A\n// \xff\nRETURN 1")
    _, faults = read_query(file, "bad")
    assert str(faults[0]) == f"{file}:2: this is not UTF-8: save the file as UTF-8"


def test_what_a_query_reads_is_known_where_it_is_said(tmp_path: Path) -> None:
    body = "MATCH ()-[r:A {x: 1}]->(:Item)<-[:B]-() // -[:C]-\nRETURN 1"
    head = f"{HEAD}// mode: read\n"
    found = load(tmp_path, m__a=f"{head}// reads: B, A\n{body}", m__b=head + body)
    assert found["m/a"].reads == {"A", "B"}
    assert found["m/b"].reads is None
    paths = {query.name: query.reads for query in catalogue().folder("metapaths")}
    assert paths["metapaths/item_category_item"] == {"IN_CATEGORY"}
    assert paths["metapaths/item_user_item"] is None


def test_folder_without_queries_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match=r"holds no \.cypher file"):
        Catalogue(tmp_path)


@pytest.mark.parametrize(
    "body",
    [
        "RETURN 'it costs $many'",
        'RETURN "it costs $many"',
        r"RETURN 'it\'s $many'",
        r'RETURN "a \" $many"',
        "RETURN 1 AS `$many`",
        "RETURN 1 // $many",
        "RETURN /* $many\n $more */ 1",
        "RETURN 'http://x' + '$many' // 'half a string $many",
    ],
)
def test_dollar_in_strings_names_and_comments_is_no_parameter(tmp_path: Path, body: str) -> None:
    assert load(tmp_path, x__q=f"{HEAD}// mode: read\n{body}")["x/q"].params == {}
    with pytest.raises(CatalogueError, match=r"uses \['real'\]"):
        load(tmp_path, x__q=f"{HEAD}// mode: read\n{body}\n, $real")


def test_all_parameters_in_one_map_leave_strings_names_and_comments_alone() -> None:
    text = "MATCH (n {id: $id}) WHERE n.`$x` <> '$id $y' // $z\nRETURN n[$key].a LIMIT 2 * $limit"
    assert with_one_parameter(text) == (
        "MATCH (n {id: $all.id}) WHERE n.`$x` <> '$id $y' // $z\n"
        "RETURN n[$all.key].a LIMIT 2 * $all.limit"
    )


def test_family_is_every_combination(tmp_path: Path) -> None:
    source = (
        f"{HEAD}// mode: schema\n// each: label = Item | User, slot = a | b\nX <<label>>_<<slot>>"
    )
    found = load(tmp_path, w__index=source)
    assert {name: query.text for name, query in found.items()} == {
        "w/index[Item,a]": "X Item_a",
        "w/index[Item,b]": "X Item_b",
        "w/index[User,a]": "X User_a",
        "w/index[User,b]": "X User_b",
    }


def test_family_of_the_models_with_vectors(tmp_path: Path) -> None:
    source = f"{HEAD}// mode: schema\n// each: model = EMBEDDING_MODELS\nX embedding_<<model>>"
    found = load(tmp_path, w__index=source)
    assert {name: query.text for name, query in found.items()} == {
        f"w/index[{model}]": f"X embedding_{model}" for model in EMBEDDING_MODELS
    }


def test_family_of_a_folder_takes_in_the_text_and_the_parameters(tmp_path: Path) -> None:
    inner = f"{HEAD}// mode: read\n// params: ids: list[str]\nUNWIND $ids AS id RETURN id"
    queries = load(
        tmp_path,
        paths__one=inner,
        paths__two=inner.replace("RETURN id", "RETURN id + id"),
        x__all=f"{HEAD}// mode: read\n// each: path = paths/*\nCALL {{\n<<path>>\n}} RETURN 1",
    )
    assert [name for name in queries if name.startswith("x/")] == ["x/all[one]", "x/all[two]"]
    assert "RETURN id + id" in queries["x/all[two]"].text
    assert dict(queries["x/all[two]"].params) == {"ids": "list[str]"}
    assert [query.name for query in queries.folder("paths")] == ["paths/one", "paths/two"]


def test_family_is_checked_like_any_query(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match=r"cypher/w/v\.cypher:1: declares"):
        load(tmp_path, w__v=f"{HEAD}// mode: read\n// each: slot = a | b\nRETURN $<<slot>>")


def test_unknown_query_is_named_and_membership_does_not_raise(tmp_path: Path) -> None:
    found = load(tmp_path, x__q=f"{HEAD}// mode: read\nRETURN 1")
    with pytest.raises(CatalogueError, match=r"no query 'x/r' under cypher/.*cypher/x/r\.cypher"):
        found["x/r"]
    assert "x/r" not in found
    assert "x/q" in found


@pytest.mark.parametrize(
    "head",
    [
        "// mode: read\n// params: a: str, a: int\n",
        "// mode: read\n// mode: write\n// params: a: str\n",
    ],
)
def test_repetition_in_a_header_is_refused(tmp_path: Path, head: str) -> None:
    with pytest.raises(CatalogueError):
        load(tmp_path, x__q=f"{HEAD}{head}RETURN $a")


def test_placeholder_without_a_value_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError):
        load(tmp_path, x__q=f"{HEAD}// mode: read\n// each: slot = a | b\nRETURN <<slto>>")


def test_every_file_of_the_project_is_in_the_catalogue() -> None:
    files = {
        path.relative_to(shared_path("cypher")).with_suffix("").as_posix()
        for path in shared_path("cypher").rglob("*.cypher")
    }
    assert {name.partition("[")[0] for name in catalogue()} == files
    assert not [query.name for query in catalogue().values() if "<<" in query.text]


def test_no_two_queries_have_the_same_text() -> None:
    by_text: dict[str, str] = {}
    for name, query in catalogue().items():
        assert by_text.setdefault(query.text, name) == name


def test_every_explained_metapath_exists() -> None:
    explained = {query.name.removeprefix("explain/") for query in catalogue().folder("explain")}
    metapaths = {query.name.removeprefix("metapaths/") for query in catalogue().folder("metapaths")}
    assert explained
    assert explained <= metapaths
    for name in metapaths:
        params = {"evidence_ids": "list[str]", "kinds": "list[str]"}
        assert dict(catalogue()[f"metapaths/{name}"].params).items() <= params.items()
        returns = dict(catalogue()[f"metapaths/{name}"].returns)
        assert returns == {"evidence_id": "str", "item_id": "str", "strength": "float"}


def _uses() -> Iterator[tuple[str, re.Pattern[str]]]:
    """(where, pattern) of every text in the code that has the form of a query's name."""
    root = checkout_root()
    assert root is not None
    folders = {name.partition("/")[0] for name in catalogue()}
    name = re.compile(rf"(?:{'|'.join(sorted(folders))})/[\w\x00\[\],]+")
    for path in sorted([*(root / "loaders").rglob("*.py"), *(root / "recsvc").rglob("*.py")]):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        inner = {
            id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)
            for part in node.values
        }  # fmt: skip
        for node in ast.walk(tree):
            if isinstance(node, ast.JoinedStr):
                text = "".join(
                    str(part.value) if isinstance(part, ast.Constant) else "\0"
                    for part in node.values
                )
            elif isinstance(node, ast.Constant) and id(node) not in inner:
                text = node.value if isinstance(node.value, str) else ""
            else:
                continue
            if name.fullmatch(text):
                pattern = re.escape(text).replace("\0", r"[^/\[\],]+").replace("\\\0", "[^/]+")
                yield f"{path.relative_to(root)}:{node.lineno} {text!r}", re.compile(pattern)


def test_every_use_in_the_code_exists() -> None:
    uses = list(_uses())
    assert len(uses) > 20
    for where, pattern in uses:
        assert any(pattern.fullmatch(name) for name in catalogue()), where


def test_every_file_is_used_in_the_code() -> None:
    patterns = [pattern for _, pattern in _uses()]
    unused = [
        name
        for name in catalogue()
        if name.partition("/")[0] not in BY_FOLDER
        and not any(pattern.fullmatch(name) for pattern in patterns)
    ]
    assert unused == []
    for folder in BY_FOLDER:
        assert catalogue().folder(folder), f"cypher/{folder}/ is empty: take it off the list"
