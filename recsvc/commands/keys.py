"""API keys of the HTTP service."""

from typing import Annotated, Any

import typer

from recsvc.commands import console
from recsvc.commands._shared import AsJson
from recsvc.service.keys import ApiKey, Scope, key_file
from recsvc.settings import load_settings


def create(
    name: Annotated[str, typer.Argument(help="Who it is for.")],
    scope: Annotated[
        Scope, typer.Option(help="read; write: events and nodes too; admin: versions too.")
    ] = Scope.READ,
    as_json: AsJson = False,
) -> None:
    """Make an API key and print it, once. From then on the service answers nobody without one."""
    secret = key_file(load_settings()).create(name, scope)
    if as_json:
        console.print_json({"name": name, "scope": scope, "key": secret})
        return
    console.say("it is not kept and not shown again:")
    console.print_line(secret)


def list_(as_json: AsJson = False) -> None:
    """The API keys there are, without what they are."""
    file = key_file(load_settings())
    keys, needed = file.keys(), file.was_made
    if as_json:
        console.print_json({"needed": needed, "keys": [_document(k) for k in keys or []]})
    elif keys is None and needed:
        console.say(
            f"{file.path} is gone, so nobody is answered: put it back, create keys, or remove "
            f"{file.mark} too"
        )
    elif keys is None:
        console.say("there are no keys: the service asks for none, and listens on loopback only")
    else:
        rows = [(key.name, key.scope, key.created_at) for key in keys]
        console.print_table("API keys", ("name", "scope", "created at"), rows)


def revoke(name: str, as_json: AsJson = False) -> None:
    """End an API key: the next request with it is refused."""
    file = key_file(load_settings())
    left = file.revoke(name)
    if as_json:
        console.print_json({"revoked": name, "left": left})
    elif left:
        console.say(f"revoked: {name}")
    else:
        console.say(
            f"no key is left, so nobody is answered: create one, or end the service and "
            f"remove {file.path} and {file.mark}"
        )


def _document(key: ApiKey) -> dict[str, Any]:
    return key.model_dump(mode="json", exclude={"sha256"})
