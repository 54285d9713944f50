"""Links of persons: what opens, what opens nothing any more, and what it says."""

import base64
import json
import stat
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jwt
import pytest

from recsvc.errors import PersonLinkError
from recsvc.person_links import PersonLinks, is_person_link, lasting
from recsvc.refresh.places import forget_here
from recsvc.service.keys import KeyFile, Scope

ODD_IDS = [
    "2",
    "a/b",
    "..",
    ".",
    "a%2Fb",
    "#",
    "😀" * 512,
    "e\u0301",
    "nul\0",
    "{user_id}",
    "x" * 512,
]
SOON = lasting(1)


@pytest.fixture
def links(tmp_path: Path) -> PersonLinks:
    return PersonLinks(tmp_path / "home")


def refusal(links: PersonLinks, link: str) -> str:
    with pytest.raises(PersonLinkError) as refused:
        links.read(link)
    assert link not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize("user_id", ODD_IDS)
def test_a_link_opens_to_whom_it_is_for(links: PersonLinks, user_id: str) -> None:
    link = links.make(user_id, SOON)
    person = links.read(link)
    assert (person.user_id, person.expires_at) == (user_id, SOON)
    assert is_person_link(link)
    assert len(link) < 10_000  # all headers of a request have 16 KiB


def test_no_key_is_taken_for_a_link(tmp_path: Path) -> None:
    assert not is_person_link(KeyFile(tmp_path / "keys.json").create("app", Scope.READ))


def test_what_is_kept_is_nobody_elses_and_names_nobody(links: PersonLinks, tmp_path: Path) -> None:
    made: list[str] = []
    threads = [
        threading.Thread(target=lambda: made.append(links.make("ann", SOON))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {links.read(link).user_id for link in made} == {"ann"}
    folder = tmp_path / "home" / "person_links"
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o600}
    assert len((folder / "secret").read_bytes()) == 32
    assert not [
        file for file in folder.iterdir() if b"ann" in file.name.encode() + file.read_bytes()
    ]


def test_an_expired_link(links: PersonLinks) -> None:
    past = datetime.now(UTC) - timedelta(seconds=1)
    assert "has expired" in refusal(links, links.make("ann", past))


def test_a_newer_link_ends_those_before_it_of_one_user(links: PersonLinks) -> None:
    old, other, same = links.make("ann", SOON), links.make("bob", SOON), links.make("ann", SOON)
    assert links.read(old) == links.read(same)
    new = links.make("ann", SOON, renew=True)
    for link in (old, same):
        assert "a newer link has taken the place" in refusal(links, link)
    assert links.read(new).user_id == "ann"
    assert links.read(other).user_id == "bob"


def test_a_deletion_ends_them_also_for_who_comes_later(links: PersonLinks, tmp_path: Path) -> None:
    link, other = links.make("ann", SOON), links.make("bob", SOON)
    forget_here(tmp_path / "home", "item", "ann")
    assert links.read(link).user_id == "ann"
    forget_here(tmp_path / "home", "user", "ann")
    assert "was deleted" in refusal(links, link)
    assert links.read(links.make("ann", SOON)).user_id == "ann"
    assert "a newer link" in refusal(links, link)
    assert links.read(other).user_id == "bob"


def test_without_the_secret_nothing_opens(links: PersonLinks, tmp_path: Path) -> None:
    link = links.make("ann", SOON)
    secret = tmp_path / "home" / "person_links" / "secret"
    kept = secret.read_bytes()
    for content in (None, b"", b"x" * 32):
        secret.unlink()
        if content is not None:
            secret.write_bytes(content)
        assert "not of this service, or all links were ended" in refusal(links, link)
        secret.write_bytes(kept)
    secret.unlink()
    secret.mkdir()
    assert "cannot read" in refusal(links, link)


def parts(link: str) -> tuple[dict[str, object], dict[str, object], str]:
    head, claims, signature = link.removeprefix("recsvc_person_").split(".")
    read = (json.loads(base64.urlsafe_b64decode(part + "==")) for part in (head, claims))
    return next(read), next(read), signature


def part(document: dict[str, object]) -> str:
    return base64.urlsafe_b64encode(json.dumps(document).encode()).rstrip(b"=").decode()


def test_a_link_that_was_changed(links: PersonLinks, tmp_path: Path) -> None:
    link = links.make("ann", SOON)
    links.make("bob", SOON)
    head, claims, signature = parts(link)
    years = int(datetime(2999, 1, 1, tzinfo=UTC).timestamp())
    secret = (tmp_path / "home" / "person_links" / "secret").read_bytes()
    changed = [
        f"{part(head)}.{part(claims | {'sub': 'bob'})}.{signature}",
        f"{part(head)}.{part(claims | {'exp': years})}.{signature}",
        f"{part({'alg': 'none', 'typ': 'JWT'})}.{part(claims | {'sub': 'bob'})}.",
        f"{part(head | {'alg': 'HS512'})}.{part(claims)}.{signature}",
        jwt.encode(claims, b"another secret of 32 bytes ......", "HS256"),
        jwt.encode(claims, secret * 2, "HS512"),
        jwt.encode({"sub": "bob", "exp": years}, secret, "HS256"),
        jwt.encode({"sub": "ann", "mark": claims["mark"]}, secret, "HS256"),
        "", ".", "..", "…", "é", link[:-3], link[15:], "a.b.c", "x" * 9000,
    ]  # fmt: skip
    for each in changed:
        assert "not whole or not of this service" in refusal(links, f"recsvc_person_{each}"), each
    assert links.read(link).user_id == "ann"


def test_a_mark_of_somebody_else_opens_nothing(links: PersonLinks, tmp_path: Path) -> None:
    """Only who has the secret could make one, and then the mark decides."""
    _, claims, _ = parts(links.make("ann", SOON))
    links.make("bob", SOON)
    secret = (tmp_path / "home" / "person_links" / "secret").read_bytes()
    forged = jwt.encode(claims | {"sub": "bob"}, secret, "HS256")
    assert "a newer link" in refusal(links, f"recsvc_person_{forged}")
