"""The service's answers for agents."""

import asyncio
import os
from typing import Annotated

import typer

from recsvc.commands.serving import require_keys, server_options, service
from recsvc.errors import SettingsError
from recsvc.settings import load_settings

API_KEY = "RECSVC_API_KEY"
"""The environment variable that holds the caller's API key over stdio."""


def mcp(
    over_http: Annotated[
        bool, typer.Option("--http", help="Over HTTP on the host of the settings, not stdio.")
    ] = False,
    port: Annotated[int, typer.Option(min=1, max=65535, help="With --http.")] = 8001,
) -> None:
    """The service's answers as tools of the Model Context Protocol, until the client leaves.

    They read. Two write, and need a key that may.
    """
    try:
        from recsvc.service import mcp as tools
    except ModuleNotFoundError as error:
        raise SettingsError(f"{error.name} is missing: pip install 'recsvc[mcp]'") from None
    if not over_http:
        asyncio.run(tools.over_stdio(service(), os.environ.get(API_KEY)))
        return
    import uvicorn

    from recsvc.service.listening import check_address

    settings = load_settings()
    require_keys(settings)
    check_address(str(settings.host), port)
    app = tools.over_http(service(), settings.allowed_hosts)
    uvicorn.run(app, **server_options(settings, port))
