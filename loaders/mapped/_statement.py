"""Queries on the graph of somebody else: the files under `cypher/`, written in its names.

The files speak of a graph in our form. Here each pattern, property and id in them becomes what the
mapping says. A relationship with a variable becomes the mapped path and a map in its place, with
what the query asks of it: so all else in the query stays as it is.
"""

import itertools
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property

from loaders.graph_map import PREFIX, GraphMap
from loaders.mapped._names import ID_OF, Names
from loaders.mapped._paths import (
    COUNTED,
    Branch,
    Map,
    Way,
    names_ends,
    other_link,
    ways,
    where_of,
    written,
)
from loaders.mapped._tokens import (
    Element,
    Link,
    Node,
    Token,
    aliases,
    clauses,
    closing,
    conjuncts,
    elements,
    is_clause,
    pattern_links,
    split,
    text_of,
    tokens_of,
)
from loaders.walk import ENDS


class Writer:
    """Writes one statement."""

    def __init__(self, graph: GraphMap, text: str) -> None:
        self._graph, self._text = graph, text
        self._named = Names(graph, text)
        self._tokens = tokens_of(text)
        self._numbers = itertools.count(1)
        self._links: dict[str, str] = {}
        self._fixed: set[str] = set()
        self._in_parts: set[str] = set()
        self._maps = set(re.findall(r"UNWIND \$[\w.]+ AS (\w+)", text))

    def whole(self) -> str:
        """The statement."""
        if self._text.startswith("CREATE "):  # an index of vectors
            return self._label_only()
        return self._block(self._tokens, set())[0]

    def _label_only(self) -> str:
        labels = self._named.labels
        return re.sub(r"(?<=\(n:)\w+", lambda found: labels[found[0]], self._text)

    # Clauses.

    def _block(self, tokens: Sequence[Token], scope: set[str]) -> tuple[str, set[str]]:
        """A statement or what is in a subquery; and the names that it returns."""
        texts, here, returned = list[str](), set(scope), set[str]()
        parts = list(clauses(tokens))
        at = 0
        while at < len(parts):
            clause = parts[at]
            keyword, at = clause[0].text, at + 1
            if keyword in ("MATCH", "OPTIONAL"):
                using: list[Token] = []
                while at < len(parts) and parts[at][0].text == "USING":
                    using, at = using + parts[at], at + 1
                where: list[Token] | None = None
                if at < len(parts) and parts[at][0].text == "WHERE":
                    where, at = parts[at], at + 1
                texts.append(self._match(clause, using, where, here))
            elif keyword == "CALL" and clause[1].text == "(":
                text, names = self._call(clause, here)
                texts.append(text)
                here |= names
            else:
                texts.append(self._expression(clause, here))
                if keyword in ("WITH", "RETURN"):
                    names = aliases(clause[1:])
                    here = names - {"*"} | (here if "*" in names else set())
                    returned = here if keyword == "RETURN" else returned
                elif keyword in ("UNWIND", "YIELD"):
                    here |= aliases(clause[1:])
                elif keyword == "UNION":
                    here = set(scope)
        return "".join(texts), returned

    def _call(self, clause: Sequence[Token], scope: set[str]) -> tuple[str, set[str]]:
        body = next(n for n, token in enumerate(clause) if token.text == "{")
        end = closing(clause, body)
        given = {token.text for token in clause[2:body] if token.is_name}
        text, names = self._within(clause[body + 1 : end], given)
        head = text_of(clause[: body + 1])
        return head + text + self._expression(clause[end:], scope), names

    def _within(self, tokens: Sequence[Token], fixed: set[str]) -> tuple[str, set[str]]:
        """What is in a subquery, where some variables stay whatever is carried on."""
        before, self._fixed = self._fixed, fixed
        try:
            return self._block(tokens, fixed)
        finally:
            self._fixed = before

    def _match(
        self,
        clause: Sequence[Token],
        using: Sequence[Token],
        where: Sequence[Token] | None,
        scope: set[str],
    ) -> str:
        start = 2 if clause[0].text == "OPTIONAL" else 1
        pattern, optional = clause[start:], "OPTIONAL " * (start - 1)
        inside = {token.text for token in pattern if token.is_name}
        branches, names = self._branches(pattern, scope)
        bound = sorted(inside & scope)
        scope |= names
        if branches is None:
            return self._expression([*clause, *using, *(where or ())], scope)
        conditions = self._conditions(where[1:] if where else (), scope)
        gap = clause[0].gap
        if len(branches) == 1:
            (branch,) = branches
            if branch.pattern.count("[") == pattern_links(pattern):
                branch = replace(branch, pattern=branch.pattern + text_of(using))
            return gap + branch.read(f"{optional}MATCH", conditions, self._carried(scope, branch))
        new = sorted(names - set(bound) - set(branches[0].maps))
        parts: list[str] = []
        for branch in branches:
            columns = [*new, *branch.maps] or ["1 AS met"]
            read = branch.read("MATCH", (), new)
            parts.append(f"  {read}\n  RETURN {', '.join(columns)}")
        called = f"{gap}{optional}CALL ({', '.join(bound)}) {{\n" + "\n  UNION ALL\n".join(parts)
        late = where_of(conditions)
        return called + "\n}" + (f"\nWITH *{late}" if late else "")

    def _carried(self, scope: set[str], branch: Branch) -> list[str]:
        return sorted(scope - self._fixed - set(branch.maps))

    def _conditions(self, tokens: Sequence[Token], scope: set[str]) -> list[str]:
        """The conditions of a clause that all have to hold."""
        return [self._expression(part, scope).strip() for part in conjuncts(tokens)]

    def _subquery(self, kind: str, inner: Sequence[Token], scope: set[str]) -> str:
        """`COUNT`, `EXISTS` or `COLLECT` of a statement, or of a pattern alone."""
        if is_clause(inner[0]):
            text = self._union(inner, scope) or self._within(inner, set(scope))[0]
            return f"{kind} {{{text} }}"
        place = next((n for n, token in enumerate(inner) if token.text == "WHERE"), len(inner))
        own = set(scope)
        branches, names = self._branches(inner[:place], own, counted=kind == "COUNT")
        own |= names
        where = self._conditions(inner[place + 1 :], own)
        if branches is None:
            return f"{kind} {{{self._expression(inner, own)} }}"
        ways = [self._existing(kind, branch, where, sorted(names - scope)) for branch in branches]
        joined = (" + " if kind == "COUNT" else " OR ").join(ways)
        return joined if len(ways) == 1 else f"({joined})"

    def _union(self, inner: Sequence[Token], scope: set[str]) -> str:
        """A statement that only reads a pattern and returns something, where it has several ways.

        They are put side by side, and not in a subquery: of one within another Neo4j 5 loses
        variables. Where there is one way, or the statement does more, it is "".
        """
        parts = list(clauses(inner))
        keywords = [part[0].text for part in parts]
        if keywords not in (["MATCH", "RETURN"], ["MATCH", "WHERE", "RETURN"]):
            return ""
        own = set(scope)
        branches, names = self._branches(parts[0][1:], own)
        if branches is None or len(branches) == 1:
            return ""
        own |= names
        conditions = self._conditions(parts[1][1:], own) if len(parts) == 3 else []
        returned = self._expression(parts[-1], own)
        joined = " UNION" if parts[-1][1].text == "DISTINCT" else " UNION ALL"
        new = sorted(names - scope)
        ways = [
            " " + branch.read("MATCH", conditions, [n for n in new if n not in branch.maps])
            for branch in branches
        ]
        return f"{returned}{joined}".join(ways) + returned

    @staticmethod
    def _existing(kind: str, branch: Branch, where: Sequence[str], new: Sequence[str]) -> str:
        if not branch.maps:
            return f"{kind} {{ {branch.read('', where, ())} }}"
        # What is asked of a relationship is read off its path at once: a map for each would cost.
        plain = replace(branch, maps={})
        read = plain.read("MATCH", [_inlined(condition, branch.maps) for condition in where], ())
        if kind != "COUNT":
            return f"{kind} {{ {read} RETURN 1 AS met }}"
        # Neo4j takes no sum within a subquery that is within an expression: each path is looked at.
        ends = [name for name in new if name not in branch.maps]
        events = [map_.values["event"] for map_ in branch.maps.values() if "event" in map_.values]
        columns = [*ends, *(f"{event} AS event" for event in events)] or ["1 AS met"]
        return f"{kind} {{ {read} RETURN DISTINCT {', '.join(columns)} }}"

    # Patterns.

    def _branches(
        self, tokens: Sequence[Token], scope: set[str], *, counted: bool = False
    ) -> tuple[list[Branch] | None, set[str]]:
        """A list of patterns written out in all ways, and its variables; None: none is mapped."""
        patterns = [elements(part) for part in split(tokens, ",")]
        parts = [element for pattern in patterns for element in pattern]
        names = {e.variable for e in parts if isinstance(e, Node | Link) and e.variable}
        names |= {tokens[at - 1].text for at, token in enumerate(tokens) if token.text == "="}
        links = [element for element in parts if isinstance(element, Link)]
        for link in links:
            if not link.type and link.variable in self._links:
                link.type, link.variable = self._links[link.variable], ""
        mapped = [link for link in links if ways(self._graph, link)]
        for pattern in patterns:
            _label_ends(pattern, mapped, scope)
        if counted and len(mapped) == 1 and mapped[0].type == "INTERACTED":
            mapped[0].variable = mapped[0].variable or COUNTED
        named = [link for link in mapped if link.type == "INTERACTED" and link.variable]
        merged = len(named) == 1 and not any(token.text == "=" for token in tokens)
        for node in parts:
            ends = mapped and names_ends(self._graph)
            if isinstance(node, Node) and not node.variable and (merged or ends):
                node.variable = f"any_{next(self._numbers)}"
                names.add(node.variable)
        if not mapped and not any(isinstance(e, Node) and e.label in self._named.labels
                                  for e in parts) and not links:  # fmt: skip
            return None, names
        branches: list[Branch] = []
        for chosen in itertools.product(*(ways(self._graph, link) for link in mapped)):
            way = {id(link): choice for link, choice in zip(mapped, chosen, strict=True)}
            branches.append(self._branch(patterns, way, scope, merged=merged and not counted))
        return branches, names

    def _branch(
        self,
        patterns: Sequence[Sequence[Element]],
        chosen: Mapping[int, Way],
        scope: set[str],
        *,
        merged: bool,
    ) -> Branch:
        texts, conditions, maps = list[str](), list[str](), dict[str, Map]()
        paths: dict[str, list[str]] = {}
        for pattern in patterns:
            text, long = "", False
            for place, element in enumerate(pattern):
                if isinstance(element, Node):
                    text += self._node(element, scope)
                elif isinstance(element, Link) and id(element) in chosen:
                    left, right = pattern[place - 1], pattern[place + 1]
                    assert isinstance(left, Node)
                    assert isinstance(right, Node)
                    way = chosen[id(element)]
                    if long and way.is_long:
                        # One pattern never follows a relationship twice, as the customer's of an
                        # order is where an item was bought together with another.
                        left.variable = left.variable or f"any_{next(self._numbers)}"
                        text += f" MATCH ({left.variable})"
                    long = long or way.is_long
                    made = written(
                        way, (left.variable, right.variable), self._asked_of(element),
                        next(self._numbers), merged=merged and element.variable != COUNTED
                        and element.type == "INTERACTED",
                    )  # fmt: skip
                    text += made.pattern
                    conditions += [made.condition] if made.condition else []
                    if made.map is not None:
                        maps[element.variable] = made.map
                elif isinstance(element, Link):
                    text += other_link(self._graph, element)
                else:
                    text += re.sub(r"(?<=:)(SUBCATEGORY_OF)\b", rf"{PREFIX}\1", text_of(element))
            texts.append(_part_by_part(text.strip(), paths))
        self._in_parts |= paths.keys()
        return Branch(", ".join(texts), conditions, maps, paths)

    def _node(self, node: Node, scope: set[str]) -> str:
        properties = split(node.properties, ",") if node.properties else []
        if node.label not in self._named.labels:
            inner = self._expression(node.properties, scope)
            more = f" {{{inner}}}" if node.properties else ""
            label = f":{node.label}" if node.label else ""
            return f"{node.gap}({node.variable}{label}{more})"
        name = node.variable or f"any_{next(self._numbers)}"
        conditions: list[str] = []
        for key, _, *value in properties:
            wanted = self._expression(value, scope).strip()
            if key.text in ID_OF:
                conditions.append(self._named.has_id(name, node.label, wanted))
            else:
                conditions.append(f"{self._named.value(name, key.text)} = {wanted}")
        conditions += self._named.conditions(name, node.label)
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        return f"{node.gap}({name}:{self._named.labels[node.label]}{where})"

    def _asked_of(self, link: Link) -> set[str] | None:
        if not link.variable:
            return None
        self._links[link.variable] = link.type
        return {"event"} if link.variable == COUNTED else self._asked.get(link.variable, set())

    @cached_property
    def _asked(self) -> Mapping[str, set[str]]:
        """Which properties the statement asks of each variable."""
        asked: dict[str, set[str]] = {}
        for before, name, key in re.findall(
            r"(elementId\()?\b([a-z]\w*)(?:\)|\.(\w+))", self._text
        ):
            if before or key:
                asked.setdefault(name, set()).add("inside" if before else key)
        return asked

    # Expressions.

    def _expression(self, tokens: Sequence[Token], scope: set[str]) -> str:
        return "".join(self._parts(list(tokens), scope))

    def _parts(self, tokens: list[Token], scope: set[str]) -> Iterator[str]:
        at = 0
        while at < len(tokens):
            token = tokens[at]
            texts = [token.text for token in tokens[at : at + 7]] + [""] * 7
            if token.text in ("COUNT", "EXISTS", "COLLECT") and texts[1] == "{":
                end = closing(tokens, at + 1)
                yield token.gap + self._subquery(token.text, tokens[at + 2 : end], scope)
                at = end + 1
            elif token.text == "relationships" and texts[2] in self._in_parts:
                links = f"reduce(all = [], part IN {texts[2]} | all + relationships(part))"
                yield f"{token.gap}{links}"
                at += 4
            elif token.text == "elementId" and texts[2] in self._links:
                yield f"{token.gap}{texts[2]}.inside"
                at += 4
            elif token.is_name and texts[1] == ":" and texts[2] in self._named.labels:
                yield f"{token.gap}{token.text}:{self._named.labels[texts[2]]}"
                at += 3
            elif token.is_name and texts[1] == "." and self._is_of_node(token.text, texts[2]):
                listed, length = self._list_after(tokens[at + 3 :])
                label = ID_OF.get(texts[2], "")
                if listed and label and self._named.has_one_id(label):
                    yield token.gap + self._named.id_in(token.text, label, listed)
                    at += 3 + length
                else:
                    yield token.gap + self._named.value(token.text, texts[2])
                    at += 3
            else:
                yield token.gap + token.text
                at += 1

    def _is_of_node(self, name: str, key: str) -> bool:
        return Names.is_mapped(key) and name not in self._maps and name not in self._links

    @staticmethod
    def _list_after(tokens: Sequence[Token]) -> tuple[str, int]:
        """The list after `IN`, where that comes next, and how many tokens both are."""
        texts = [token.text for token in tokens[:4]]
        if texts[:1] != ["IN"] or len(texts) < 2:
            return "", 0
        if texts[2:3] == ["."]:
            return "".join(texts[1:4]), 4
        return (texts[1], 2) if texts[1].startswith("$") else ("", 0)


def _part_by_part(text: str, paths: dict[str, list[str]]) -> str:
    """A pattern with several `MATCH`; where it is a path, each part of it is one."""
    parts = text.split(" MATCH ")
    path = re.match(r"(\w+) = ", text)
    if path is None or len(parts) == 1:
        return text
    name, first = path[1], parts[0][path.end() :]
    paths[name] = [f"{name}_{number}" for number in range(1, len(parts) + 1)]
    named = zip(paths[name], [first, *parts[1:]], strict=True)
    return " MATCH ".join(f"{part} = {pattern}" for part, pattern in named)


def _label_ends(pattern: Sequence[Element], mapped: Sequence[Link], scope: Collection[str]) -> None:
    """Give new nodes at the ends of mapped relationships the label that ours have there.

    A relationship of somebody else's graph may lead to what is no item, or none that counts.
    """
    for place, link in enumerate(pattern):
        if not (isinstance(link, Link) and any(link is other for other in mapped)):
            continue
        ends = ENDS[link.type] if link.forward is not False else ENDS[link.type][::-1]
        for node, label in zip((pattern[place - 1], pattern[place + 1]), ends, strict=True):
            if isinstance(node, Node) and not node.label and node.variable not in scope:
                node.label = label


def _inlined(condition: str, maps: Mapping[str, Map]) -> str:
    """A condition with what it asks of relationships written out."""
    for name, map_ in maps.items():
        condition = re.sub(
            rf"\b{name}\.(\w+)", lambda match, of=map_: of.values.get(match[1], "null"), condition
        )
    return condition
