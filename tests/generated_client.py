"""A client that a generator makes of the service's description of itself."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx


@contextmanager
def made_client(
    service: httpx.Client, folder: Path
) -> Iterator[tuple[ModuleType, Callable[..., Any]]]:
    """What is made of `/openapi.json`: its models, and a function to ask an operation.

    Args:
        service: describes itself.
        folder: where the client is made, which modules can be imported from.
    """
    from openapi_python_client import generate
    from openapi_python_client.config import Config, ConfigFile, MetaType

    name, url = "generated_client", str(service.base_url)
    config = Config.from_sources(
        ConfigFile(post_hooks=[], http_timeout=600), MetaType.NONE, f"{url}/openapi.json", "utf-8",
        overwrite=False, output_path=folder / name,
    )  # fmt: skip
    assert generate(config=config) == []
    modules = {path.stem: path.parent.name for path in folder.glob(f"{name}/api/*/[!_]*.py")}
    document = service.get("/openapi.json").json()
    described = [each for path in document["paths"].values() for each in path.values()]
    assert modules.keys() == {operation["operationId"] for operation in described}
    with import_module(f"{name}.client").Client(base_url=url) as client:

        def ask(operation: str, *ids: str, **parameters: Any) -> Any:
            module = import_module(f"{name}.api.{modules[operation]}.{operation}")
            return module.sync_detailed(*ids, client=client, **parameters)

        yield import_module(f"{name}.models"), ask
