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
from loaders.errors import CatalogueError, Fault
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
CODE_PARAMETER = re.compile(rf"{_NOT_CODE.pattern}|\$(?P<name>\w+)", re.DOTALL)
"""A parameter, whose name it gives, or what may hold a dollar sign that is none."""
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
        file: where it is, for messages.
        lines: the line of its file that each field of the header begins on.
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
    file: str = ""
    lines: Mapping[str, int] = field(default_factory=dict[str, int], repr=False)

    def fault(self, text: str, field: str = "") -> Fault:
        """Something that is wrong with a field of the header; named with its line, else line 1."""
        return Fault(self.file, self.lines.get(field, 1), text)


@cache
def with_one_parameter(text: LiteralString) -> LiteralString:
    """The same statement, taking all its parameters as one map, `$all`.

    Neo4j plans a statement once for each order of magnitude of the size of a text or list that is a
    parameter, which takes it up to a second. Of what is in a map it does not know the size.
    """

    def in_map(match: re.Match[str]) -> str:
        return f"$all.{match['name']}" if match["name"] else match[0]

    # Made from one checked text in a way that adds no value to it.
    return cast(LiteralString, CODE_PARAMETER.sub(in_map, text))


def planned_once(query: Query) -> Query:
    """The same query, which takes all its parameters as the map `all`: see `with_one_parameter`."""
    return replace(query, text=with_one_parameter(query.text), params={"all": "map"})


class Catalogue(Mapping[str, Query]):
    """All queries below one folder, by name, in sorted order.

    A file whose header has `each` stands for several queries, one for each choice of values;
    their names end in the values: `writeback/vectors[Item,lightgcn,a]`.
    """

    def __init__(self, folder: Path, instead: Mapping[str, Path] = MappingProxyType({})) -> None:
        """Read and check every file below `folder`.

        Args:
            folder: the files.
            instead: files from elsewhere by name; the file of that name in the folder, if there is
                one, is not read.

        Raises:
            CatalogueError: a file breaks the header grammar, or declares other parameters
                than it uses.
        """
        paths = {
            path.relative_to(folder).with_suffix("").as_posix(): path
            for path in folder.rglob("*.cypher")
        }
        if not paths:
            raise CatalogueError(f"{folder} holds no .cypher file: expected one per query")
        self._queries: dict[str, Query] = {}
        families: list[_File] = []
        faults: list[Fault] = []
        for name, path in sorted((paths | dict(instead)).items()):
            file = _read_file(path, name, str(path) if name in instead else f"cypher/{name}.cypher")
            if "each" in file.fields:
                families.append(file)
                continue
            self._queries[name], faults_of_file = _query_of(file)
            faults += faults_of_file
        if faults:
            raise CatalogueError(faults)
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
        choices = [self._choices(file, part) for part in file.fields["each"].split(",")]
        for chosen in itertools.product(*choices):
            body, params = file.body, [file.fields.get("params", "")]
            for choice in chosen:
                body = body.replace(f"<<{choice.placeholder}>>", choice.text)
                params += [f"{name}: {kind}" for name, kind in choice.params.items()]
            fields = {**file.fields, "params": ", ".join(params)}
            suffix = ",".join(choice.value for choice in chosen)
            name = f"{file.name}[{suffix}]"
            query, faults = _query_of(replace(file, name=name, fields=fields, body=body))
            if faults:
                raise CatalogueError(faults)
            yield query

    def _choices(self, file: "_File", part: str) -> list["_Choice"]:
        """The values of `name = a | b`, of `name = EMBEDDING_MODELS`, or of `name = folder/*`.

        The last stands for the queries of the folder.
        """
        match = _EACH.fullmatch(part.strip())
        if match is None:
            said = f"{part.strip()!r} is neither `name = a | b` nor `name = folder/*`"
            raise CatalogueError([file.fault(said, "each")])
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


def read_query(path: Path, name: str) -> tuple[Query, list[Fault]]:
    """Read one file, which need not be in the catalogue.

    Args:
        path: the file.
        name: of the query.

    Returns:
        The query, as far as its header can be read, and all that is wrong with that.

    Raises:
        OSError: the file cannot be read.
    """
    return _query_of(_read_file(path, name, str(path)))


@dataclass(frozen=True, slots=True)
class _File:
    """A file, its header taken apart.

    Attributes:
        name: of the query.
        shown: where it is, for messages.
        title: the sentence.
        fields: of the header.
        lines: the line that each field begins on.
        body: the statement.
        first_line: the line that it begins on.
        faults: what is wrong so far.
    """

    name: str
    shown: str
    title: str
    fields: Mapping[str, str]
    lines: Mapping[str, int]
    body: str
    first_line: int
    faults: tuple[Fault, ...]

    def fault(self, text: str, field: str = "") -> Fault:
        return Fault(self.shown, self.lines.get(field, 1), text)


def _read_file(path: Path, name: str, shown: str) -> _File:
    """Take a file apart; what cannot be read of it is a fault."""
    content = path.read_bytes()
    try:
        source = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        fault = Fault(shown, line, "this is not UTF-8: save the file as UTF-8")
        return _File(name, shown, "", {}, {}, "", 1, (fault,))
    title: list[str] = []
    fields: dict[str, str] = {}
    numbers: dict[str, int] = {}
    faults: list[Fault] = []
    lines = source.splitlines()
    body_start = next((n for n, line in enumerate(lines) if not line.startswith("//")), len(lines))
    current = ""
    for number, line in enumerate(lines[:body_start], start=1):
        text = line.removeprefix("//").strip()
        if match := _FIELD.match(text):
            current = match[1]
            if current in fields:
                faults.append(Fault(shown, number, f"{current!r} stands twice in the header"))
            fields[current] = match[2]
            numbers[current] = number
        elif current:
            fields[current] += f" {text}"
        else:
            title.append(text)
    while body_start < len(lines) and not lines[body_start].strip():
        body_start += 1
    body = "\n".join(lines[body_start:]).strip()
    return _File(
        name, shown, " ".join(title), fields, numbers, body, body_start + 1, tuple(faults)
    )  # fmt: skip


def _query_of(file: _File) -> tuple[Query, list[Fault]]:
    """The query, as far as the header can be read, and all that is wrong with it."""
    faults = list(file.faults)
    mode = file.fields.get("mode")
    if not file.title:
        faults.append(file.fault("expected a sentence on the first comment line"))
    if mode not in get_args(Mode):
        said = f"mode is {mode!r}, expected one of {', '.join(get_args(Mode))}"
        faults.append(file.fault(said, "mode"))
    if left := _PLACEHOLDER.search(file.body):
        faults.append(file.fault(f"{left[0]} has no values: list them in `each`", "each"))
    params = _declarations(file, "params", faults)
    used = set(_PARAMETER.findall(_NOT_CODE.sub("", file.body)))
    if used != set(params):
        said = (
            f"declares the parameters {sorted(params)} and uses {sorted(used)}: make them the same"
        )
        faults.append(file.fault(said, "params"))
    query = Query(
        name=file.name,
        title=file.title,
        mode=cast(Mode, mode if mode in get_args(Mode) else "read"),
        params=params,
        returns=_declarations(file, "returns", faults),
        # The one place where text becomes LiteralString: it comes from the checkout, the wheel, or
        # a file whose owner has it run.
        text=cast(LiteralString, file.body),
        reads=_reads(file, faults),
        first_line=file.first_line,
        walk=_walk(file, faults),
        file=file.shown,
        lines=file.lines,
    )
    return query, faults


def _reads(file: _File, faults: list[Fault]) -> frozenset[str] | None:
    if "reads" not in file.fields:
        return None
    declared = frozenset(name.strip() for name in file.fields["reads"].split(","))
    faults += _type_faults(file, declared, "reads")
    return declared


def _walk(file: _File, faults: list[Fault]) -> Walk | None:
    if "walk" not in file.fields:
        return None
    try:
        walk = parse_walk(file.fields["walk"])
    except CatalogueError as error:
        faults.append(file.fault(str(error), "walk"))
        return None
    faults += _type_faults(file, walk.types, "walk")
    return walk


def _type_faults(file: _File, declared: frozenset[str], field: str) -> Iterator[Fault]:
    """What is wrong unless the text uses relationships of exactly these types."""
    code = _NOT_CODE.sub("", file.body)
    used = frozenset(name for types in _TYPES.findall(code) for name in types.split("|"))
    if _ANY_TYPE.search(code):
        yield file.fault(
            "declares what it reads, and has a relationship of any type: name its type", field
        )
    if declared != used:
        said = f"declares that it reads {sorted(declared)} and uses {sorted(used)}"
        yield file.fault(f"{said}: make them the same", field)


def _declarations(file: _File, field: str, faults: list[Fault]) -> Mapping[str, str]:
    declared: dict[str, str] = {}
    pieces = (piece.strip() for piece in file.fields.get(field, "").split(","))
    for part in filter(None, pieces):
        match = _DECLARATION.fullmatch(part)
        if match is None:
            faults.append(file.fault(f"{part!r} is not of the form `name: type`", field))
        elif match[1] in declared:
            faults.append(file.fault(f"{match[1]!r} is declared twice", field))
        else:
            declared[match[1]] = match[2].strip()
    return MappingProxyType(declared)
