"""Links by which people see and change what is known of them."""

from ipaddress import IPv6Address
from typing import Annotated
from urllib.parse import urlencode

import typer

from recsvc.commands import console
from recsvc.commands._shared import AsJson, short_name
from recsvc.commands.connecting import open_gateway
from recsvc.errors import NotFoundError
from recsvc.graph.store import unknown_users
from recsvc.person_links import PersonLinks, lasting
from recsvc.settings import MAX_LINK_HOURS, Settings, load_settings


def person_link(
    user: Annotated[str, typer.Argument(help="Id of the user.")],
    hours: Annotated[
        int | None,
        typer.Option(min=1, max=MAX_LINK_HOURS, help="How long it opens something."),
    ] = None,
    scenario: Annotated[
        str | None, typer.Option(help="The scenario of the list that they see.")
    ] = None,
    renew: Annotated[
        bool, typer.Option("--renew", help="End the links of this user that were made before.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Print a link that opens the page of one user, to them alone, and changes what is known."""
    place = "" if scenario is None else f"?{urlencode({'scenario': short_name(scenario)})}"
    settings = load_settings()
    with open_gateway(settings) as gateway:
        if unknown_users(gateway, [user]):
            raise NotFoundError(f"no user {user!r} in the graph: a link opens what is known of one")
    expires_at = lasting(hours or settings.person_link_hours)
    token = PersonLinks(settings.home).make(user, expires_at, renew=renew)
    link = f"{_address(settings)}/person{place}#{token}"
    if as_json:
        told = {"user_id": user, "link": link, "expires_at": expires_at.isoformat()}
        console.print_json(told)
        return
    console.say(f"anybody who has this link can see and change user {user} until {expires_at}:")
    console.print_line(link)


def _address(settings: Settings) -> str:
    if settings.public_address is not None:
        return settings.public_address
    host = settings.host
    return f"http://{f'[{host}]' if isinstance(host, IPv6Address) else host}:{settings.port}"
