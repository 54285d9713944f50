"""`cypher/` as checked, frozen `Query` objects."""

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Literal, LiteralString, cast, get_args

from loaders.embedding_models import EMBEDDING_MODELS
from loaders.errors import CatalogueError
from loaders.shared_files import shared_path
from loaders.walk import Walk, parse_walk

Mode = Literal["read", "write", "schema", "autocommit"]

_FIELD = re.compile(r"^(mode|params|returns|each|reads|walk):\s*(.*)$")
_DECLARATION = re.compile(r"(\w+)\s*:\s*([\w\[\]. |]+)")
# Strings, back-ticked names and comments can hold a dollar sign that is no parameter.
_NOT_CODE = re.compile(
    r"'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\"|`[^`]*`|//[^\n]*|/\*.*?\*/", re.DOTALL
)
_TYPES = re.compile(r"-\s*\[\s*\w*\s*:\s*(\w+(?:\|\w+)*)")
_ANY_TYPE = re.compile(r"-\s*\[\s*\w*\s*[\]*{]|-\s*-")
_PARAMETER = re.compile(r"\$(\w+)")
_CODE_PARAMETER = re.compile(rf"{_NOT_CODE.pattern}|\$(?P<name>\w+)", re.DOTALL)
_PLACEHOLDER = re.compile(r"<<\w+>>")
_EACH = re.compile(r"(\w+)\s*=\s*(.+)")


@dataclass(frozen=True, slots=True)
class Query:
    """One checked Cypher statement.

    Attributes:
        name: path below `cypher/`, without the suffix.
        title: the sentence at the head of the file.
        mode: how it has to be run.
        params: declared parameters and their types.
        returns: declared columns and their types.
        text: the statement.
        reads: types of relationships that all it finds depends on, besides the ids of nodes; None
            where nothing is said.
        first_line: the line of its file that the statement begins on.
        walk: of a meta-path, what it computes, declared; None where its text alone says it.
    """

    name: str
    title: str
    mode: Mode
    params: Mapping[str, str]
    returns: Mapping[str, str]
    text: LiteralString = field(repr=False)
    reads: frozenset[str] | None = None
    first_line: int = 1
    walk: Walk | None = None


@cache
def with_one_parameter(text: LiteralString) -> LiteralString:
    """The same statement, taking all its parameters as one map, `$all`.

    Neo4j plans a statement once for each order of magnitude of the size of a text or list that is a
    parameter, which takes it up to a second. Of what is in a map it does not know the size.
    """

    def in_map(found: re.Match[str]) -> str:
        return f"$all.{found['name']}" if found["name"] else found[0]

    # Made from one checked text in a way that adds no value to it.
    return cast(LiteralString, _CODE_PARAMETER.sub(in_map, text))


class Catalogue(Mapping[str, Query]):
    """All queries below one folder, by name, in sorted order.

    A file whose header has `each` stands for several queries, one for each choice of values;
    their names end in the values: `writeback/vectors[Item,lightgcn,a]`.
    """

    def __init__(self, folder: Path) -> None:
        """Read and check every file below `folder`.

        Raises:
            CatalogueError: a file breaks the header grammar, or declares other parameters
                than it uses.
        """
        files = sorted(folder.rglob("*.cypher"))
        if not files:
            raise CatalogueError(f"{folder} holds no .cypher file: expected one per query")
        self._queries: dict[str, Query] = {}
        families: list[_File] = []
        for file in (_read_file(folder, path) for path in files):
            if "each" in file.fields:
                families.append(file)
            else:
                self._queries[file.name] = _checked_query(file)
        for file in families:
            self._queries |= {query.name: query for query in self._members(file)}

    def __getitem__(self, name: str) -> Query:
        try:
            return self._queries[name]
        except KeyError:
            raise CatalogueError(
                f"no query {name!r} under cypher/: expected cypher/{name}.cypher"
            ) from None

    def __contains__(self, name: object) -> bool:
        return name in self._queries

    def __iter__(self) -> Iterator[str]:
        return iter(self._queries)

    def __len__(self) -> int:
        return len(self._queries)

    def folder(self, prefix: str) -> list[Query]:
        """The queries in one folder, sorted by name."""
        return [query for name, query in self._queries.items() if name.startswith(f"{prefix}/")]

    def _members(self, file: "_File") -> Iterator[Query]:
        """One query for each choice of the values that the `each` field lists."""
        choices = [self._choices(file.name, part) for part in file.fields["each"].split(",")]
        for chosen in itertools.product(*choices):
            body, params = file.body, [file.fields.get("params", "")]
            for choice in chosen:
                body = body.replace(f"<<{choice.placeholder}>>", choice.text)
                params += [f"{name}: {kind}" for name, kind in choice.params.items()]
            fields = {**file.fields, "params": ", ".join(params)}
            suffix = ",".join(choice.value for choice in chosen)
            name = f"{file.name}[{suffix}]"
            yield _checked_query(replace(file, name=name, fields=fields, body=body))

    def _choices(self, name: str, part: str) -> list["_Choice"]:
        """The values of `name = a | b`, of `name = EMBEDDING_MODELS`, or of `name = folder/*`.

        The last stands for the queries of the folder.
        """
        match = _EACH.fullmatch(part.strip())
        if match is None:
            raise CatalogueError(
                f"cypher/{name}: {part.strip()!r} is neither `name = a | b` nor `name = folder/*`"
            )
        placeholder, values = match[1], match[2].strip()
        if values == "EMBEDDING_MODELS":
            return [_Choice(placeholder, model, model, {}) for model in EMBEDDING_MODELS]
        if values.endswith("/*"):
            queries = self.folder(values.removesuffix("/*"))
            return [
                _Choice(placeholder, q.name.rpartition("/")[2], q.text, q.params) for q in queries
            ]
        return [_Choice(placeholder, v, v, {}) for v in map(str.strip, values.split("|"))]


@cache
def catalogue() -> Catalogue:
    """The catalogue of the project's own `cypher/` folder, read once per process."""
    return Catalogue(shared_path("cypher"))


@dataclass(frozen=True, slots=True)
class _Choice:
    """A value of a placeholder, the text that it stands for, and the parameters of that."""

    placeholder: str
    value: str
    text: str
    params: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _File:
    name: str
    title: str
    fields: Mapping[str, str]
    body: str
    first_line: int


def _read_file(folder: Path, path: Path) -> _File:
    name = path.relative_to(folder).with_suffix("").as_posix()
    return _File(name, *_split_header(name, path.read_text(encoding="utf-8")))


def _checked_query(file: _File) -> Query:
    mode = file.fields.get("mode")
    if not file.title:
        raise CatalogueError(f"cypher/{file.name}: expected a sentence on the first comment line")
    if mode not in get_args(Mode):
        raise CatalogueError(
            f"cypher/{file.name}: mode is {mode!r}, expected one of {', '.join(get_args(Mode))}"
        )
    if left := _PLACEHOLDER.search(file.body):
        raise CatalogueError(f"cypher/{file.name}: {left[0]} has no values: list them in `each`")
    params = _declarations(file.name, file.fields.get("params", ""))
    used = set(_PARAMETER.findall(_NOT_CODE.sub("", file.body)))
    if used != set(params):
        raise CatalogueError(
            f"cypher/{file.name}: declares the parameters {sorted(params)} and uses "
            f"{sorted(used)}: make them the same"
        )
    return Query(
        name=file.name,
        title=file.title,
        mode=cast(Mode, mode),
        params=params,
        returns=_declarations(file.name, file.fields.get("returns", "")),
        # The one place where text becomes LiteralString: it comes from the checkout or the wheel.
        text=cast(LiteralString, file.body),
        reads=_reads(file),
        first_line=file.first_line,
        walk=_walk(file),
    )


def _reads(file: _File) -> frozenset[str] | None:
    if "reads" not in file.fields:
        return None
    declared = frozenset(name.strip() for name in file.fields["reads"].split(","))
    _check_types(file, declared)
    return declared


def _walk(file: _File) -> Walk | None:
    if "walk" not in file.fields:
        return None
    walk = parse_walk(file.name, file.fields["walk"])
    _check_types(file, walk.types)
    return walk


def _check_types(file: _File, declared: frozenset[str]) -> None:
    """Check that the text uses relationships of exactly these types."""
    code = _NOT_CODE.sub("", file.body)
    used = frozenset(name for types in _TYPES.findall(code) for name in types.split("|"))
    if _ANY_TYPE.search(code):
        raise CatalogueError(
            f"cypher/{file.name}: declares what it reads, and has a relationship of any type: "
            "name its type"
        )
    if declared != used:
        raise CatalogueError(
            f"cypher/{file.name}: declares that it reads {sorted(declared)} and uses "
            f"{sorted(used)}: make them the same"
        )


def _split_header(name: str, source: str) -> tuple[str, dict[str, str], str, int]:
    title: list[str] = []
    fields: dict[str, str] = {}
    lines = source.splitlines()
    body_start = next((n for n, line in enumerate(lines) if not line.startswith("//")), len(lines))
    current = ""
    for line in lines[:body_start]:
        text = line.removeprefix("//").strip()
        if match := _FIELD.match(text):
            current = match[1]
            if current in fields:
                raise CatalogueError(f"cypher/{name}: {current!r} stands twice in the header")
            fields[current] = match[2]
        elif current:
            fields[current] += f" {text}"
        else:
            title.append(text)
    while body_start < len(lines) and not lines[body_start].strip():
        body_start += 1
    return " ".join(title), fields, "\n".join(lines[body_start:]).strip(), body_start + 1


def _declarations(name: str, text: str) -> Mapping[str, str]:
    declared: dict[str, str] = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        match = _DECLARATION.fullmatch(part)
        if match is None:
            raise CatalogueError(f"cypher/{name}: {part!r} is not of the form `name: type`")
        if match[1] in declared:
            raise CatalogueError(f"cypher/{name}: {match[1]!r} is declared twice")
        declared[match[1]] = match[2].strip()
    return MappingProxyType(declared)
