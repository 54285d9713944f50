"""Every route that reads, asked about a small graph of which all that is right is known."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import httpx
import pytest

Document = dict[str, Any]
MANY = 20
"""Items asked for: more than a small graph has."""
_PEOPLE = 3
_REFUSED = {404, 409, 422}
"""What a route may say of an example id that is not there."""


class ShopAsking:
    """Asks a service, and holds each answer against the tables.

    Args:
        client: of the service.
        users: all of them.
        there: whether each item is available.
        seen: what each user did anything with.
        inside: the items of each category and of all below it.
    """

    def __init__(
        self,
        client: httpx.Client,
        users: Sequence[str],
        there: Mapping[str, bool],
        seen: Mapping[str, set[str]],
        inside: Mapping[str, set[str]],
    ) -> None:
        self.client, self.users, self.there = client, users, there
        self.seen, self.inside = seen, inside

    def everything(self) -> None:
        """Ask all that can be asked."""
        for user in self.users[:_PEOPLE]:
            self._lists(user)
            self._counterfactuals(user)
            self._one(user)
        self._batch()
        self._sessions()
        self._searches()
        self._every_get()

    def get(self, *path: str, may: Iterable[int] = (), **parameters: Any) -> Document:
        """The document of an answer that is 200, or one of some others."""
        at = "/v1/" + "/".join(quote(part, safe="") for part in path)
        return self._document(self.client.get(at, params=parameters), may)

    def post(self, path: str, body: Document) -> Document:
        """The same of a body."""
        return self._document(self.client.post(f"/v1/{path}", json=body), ())

    @staticmethod
    def _document(answer: httpx.Response, may: Iterable[int]) -> Document:
        assert answer.status_code in {200, *may}, (answer.request.url, answer.text)
        return answer.json()

    def list(self, user: str, **parameters: Any) -> Document:
        """A user's recommendations."""
        return self.get("users", user, "recommendations", **parameters)

    def right(
        self,
        answer: Document,
        seen: set[str],
        *,
        gone: Iterable[str] = (),
        inside: set[str] | None = None,
    ) -> None:
        """A list holds what it may, in order, sums up, and says why it is short."""
        scope = self.there.keys() if inside is None else self.there.keys() & inside
        there = {item for item in scope if self.there[item]}
        left, named = there - seen - {*gone}, ids(answer)
        assert answer["degraded"] == []
        assert len(set(named)) == len(named) == min(answer["k"], len(left))
        assert set(named) <= left
        assert [item["rank"] for item in answer["items"]] == list(range(1, len(named) + 1))
        for item in answer["items"]:
            sums_up(item)
        counts = [
            (len(there & seen), "seen by this user" if answer["user_id"] else "in the evidence"),
            (len(there & {*gone} - seen), "left out by the request"),
            (len(scope) - len(there), "not available"),
        ]
        where = "the graph has" if inside is None else "these categories have"
        self._says_why(answer, where, len(scope), [(n, why) for n, why in counts if n])

    @staticmethod
    def _says_why(
        answer: Document, where: str, items: int, counts: Sequence[tuple[int, str]]
    ) -> None:
        came = len(answer["items"])
        if came == answer["k"]:
            assert "short" not in answer
            return
        told = f"{items or 'no'} item{'s' * (items != 1)}"
        reasons = ", ".join(f"{number} {reason}" for number, reason in counts)
        of_these = f", of these {reasons}" if counts else ""
        assert answer["short"] == f"{came} of {answer['k']}: {where} {told}{of_these}"

    def _lists(self, user: str) -> None:
        seen = self.seen.get(user, set())
        full = self.list(user, k=MANY, explain="full")
        self.right(full, seen)
        for explain in ("none", "summary"):
            assert ids(self.list(user, k=MANY, explain=explain)) == ids(full)
        short = self.list(user, k=2)
        self.right(short, seen)
        assert ids(short) == ids(full)[:2]
        self.right(self.list(user, k=MANY, diversity=0.7), seen)
        self.right(self.list(user, k=MANY, exclude_seen=False, explain="full"), set())
        gone = [*ids(full)[:1], *sorted(seen)[:1]]
        left = self.list(user, k=MANY, exclude=gone)
        self.right(left, seen, gone=gone)
        others = [item for item in ids(full) if item not in gone]
        assert ids(left)[: len(others)] == others  # with more than MANY, others come after these
        without = [f"item:{item}" for item in gone]
        self.right(self.list(user, k=MANY, without=without), seen, gone=gone)
        for category in sorted(self.inside)[:2]:
            answer = self.list(user, k=MANY, category=category, explain="full")
            self.right(answer, seen, inside=self.inside[category])
            assert ids(answer) == [i for i in ids(full) if i in self.inside[category]]

    def _counterfactuals(self, user: str) -> None:
        """Without the evidence of each an item leaves the list, and the other one comes."""
        answer = self.list(user, k=2, explain="full")
        for item in answer["items"]:
            removal = item["explanation"]["counterfactual"]
            if removal is None:
                continue
            without = [f"{each['kind']}:{each['id']}" for each in removal["without"]]
            again = ids(self.list(user, k=2, without=without))
            assert item["item_id"] not in again
            assert removal["replaced_by"] in again

    def _one(self, user: str) -> None:
        """What is said of a user, and of single items for them."""
        seen = self.seen.get(user, set())
        assert self.get("users", user, "evidence")["seen"] == len(seen)
        listed = ids(self.list(user, k=1))
        gone = [item for item, there in self.there.items() if not there]
        for item in {*listed, *sorted(seen)[:1], *gone[:1]}:
            told = self.get("users", user, "recommendations", item, "explanation")
            sums_up(told)
            assert told["explanation"]["text"]
        self._near(self.get("users", user, "similar", may=[404]))
        for item in sorted(self.there)[:2]:
            self._near(self.get("items", item, "similar", may=[404]))

    @staticmethod
    def _near(answer: Document) -> None:
        assert answer.get("items") or answer.get("reason") or answer["status"] == 404

    def _batch(self) -> None:
        if not self.users:
            return
        asked = {"user_ids": [*self.users, "nobody"], "k": MANY, "explain": "none"}
        answer = self.post("recommendations/batch", asked)
        assert answer["unknown"] == ["nobody"]
        assert [each["user_id"] for each in answer["answers"]] == list(self.users)
        for each in answer["answers"]:
            self.right(each, self.seen.get(each["user_id"], set()))
        for each in answer["answers"][:_PEOPLE]:
            assert ids(each) == ids(self.list(each["user_id"], k=MANY))

    def _sessions(self) -> None:
        items = sorted(self.there)
        for stated in ([*items[:2]], [*items[-1:], "nothing"], items):
            for event, weight in itertools.product(("purchase", "dislike"), (1.0, -1e6)):
                said = [{"item_id": i, "event": event, "weight": weight} for i in stated]
                if said:
                    body = {"evidence": said, "k": MANY, "explain": "full"}
                    answer = self.post("recommendations", body)
                    self.right(answer, {*stated})
                    assert answer["unknown"] == ["item:nothing"] * ("nothing" in stated)

    def _searches(self) -> None:
        for kind, known in (("users", self.users), ("items", self.there)):
            for each in sorted(known)[:3]:
                found = self.get(kind, search=each)["found"]
                assert found[0]["id"] == each
        assert len(self.get("users", at=0.5, k=1)["found"]) <= 1

    def _every_get(self) -> None:
        """Each address of the OpenAPI document, with ids that are there and that are not."""
        paths = self.client.get("/openapi.json").json()["paths"]
        users, items = [*self.users[:1], "nobody"], [*sorted(self.there)[:1], "nothing"]
        for path, ways in paths.items():
            if "get" not in ways:
                continue
            for user, item, category in itertools.product(users, items, [*self.inside][:1] or "c"):
                names = {"user_id": user, "item_id": item, "model": "hybrid", "other_id": user}
                given = user if "/users/" in path else item if "/items/" in path else category
                names = {k: quote(v, safe="") for k, v in {**names, "id": given}.items()}
                if "{" in path.format_map(_Missing(names)):
                    continue
                answer = self.client.get(path.format_map(names))
                without_link = ways["get"].get("x-key-scope") == "person"
                expected = {401} if without_link else {200, *_REFUSED}
                assert answer.status_code in expected, (path, answer.text)


class _Missing(dict[str, str]):
    """Leaves a name as it is that nothing is known for."""

    def __missing__(self, key: str) -> str:
        return f"{{{key}}}"


def ids(answer: Document) -> list[str]:
    """The items of a list."""
    return [item["item_id"] for item in answer["items"]]


def sums_up(item: Document) -> None:
    """Signals, and contributions with what remains, add up to the score."""
    close = pytest.approx(item["score"], rel=1e-4, abs=1e-9)
    assert sum(item["signals"].values()) == close
    if "explanation" in item:
        told = item["explanation"]
        assert sum(each["value"] for each in told["contributions"]) + told["remainder"] == close
