"""Shards in other processes, asked over HTTP."""

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import urllib3
from pydantic import SecretStr

from recsvc.blend.shard_messages import Message
from recsvc.blend.shards import Shards, item_ranges
from recsvc.errors import ShardAwayError

KEY_HEADER = "X-API-Key"
MAX_MESSAGE_BYTES = 2**28
"""Most that a question may have: a bit for each of 2 billion items."""
_REST_SECONDS = 1.0
"""For so long a shard is not asked again that did not answer."""
_CONNECTIONS = 64
_LOAD_SECONDS = 600.0
_ASK_SECONDS = 0.2


class HttpShard:
    """One shard.

    Args:
        address: such as http://10.0.0.7:8000.
        key: what it wants to be told; None for nothing.
        timeout_seconds: how long an answer may take.
    """

    def __init__(self, address: str, key: SecretStr | None, timeout_seconds: float) -> None:
        self._address = address
        self._headers = {} if key is None else {KEY_HEADER: key.get_secret_value()}
        self._pool = urllib3.PoolManager(
            maxsize=_CONNECTIONS, timeout=urllib3.Timeout(timeout_seconds), retries=False
        )
        self._not_before = 0.0

    def ask(self, version: str, operation: str, question: Message) -> Message:
        """See `recsvc.blend.shards.Shard.ask`."""
        if time.monotonic() < self._not_before:
            raise ShardAwayError(f"the shard at {self._address} did not answer a moment ago")
        response = self._request("POST", f"items/{version}/{operation}", question.packed())
        if response.status != 200:
            raise ShardAwayError(self._refusal(response, version))
        try:
            return Message.unpacked(response.data)
        except ValueError as error:
            raise ShardAwayError(f"the shard at {self._address} answers otherwise") from error

    def has(self, version: str) -> bool:
        """Whether it holds the items of a version.

        Raises:
            ShardAwayError: it does not answer, or refuses to.
        """
        response = self._request("GET", f"items/{version}")
        if response.status not in (200, 404):
            raise ShardAwayError(self._refusal(response, version))
        return response.status == 200

    def _request(
        self, method: str, path: str, body: bytes | None = None
    ) -> urllib3.BaseHTTPResponse:
        address = f"{self._address}/{path}"
        try:
            response = self._pool.request(method, address, body=body, headers=self._headers)
        except urllib3.exceptions.HTTPError as error:
            self._not_before = time.monotonic() + _REST_SECONDS
            raise ShardAwayError(
                f"the shard at {self._address} does not answer ({type(error).__name__}): start it "
                "with `recsvc serve --shard`, or correct the setting shards"
            ) from error
        self._not_before = 0.0
        return response

    def _refusal(self, response: urllib3.BaseHTTPResponse, version: str) -> str:
        return (
            f"the shard at {self._address} answers {response.status} for {version}: expected 200; "
            "see its log, and that both have the same shard_key and version of recsvc"
        )


class ItemShards:
    """All shards, of any version.

    Args:
        shards: in the order of their numbers.
    """

    def __init__(self, shards: Sequence[HttpShard]) -> None:
        self._shards = tuple(shards)

    def of(self, version: str, items: int) -> Shards:
        """Those that hold the items of a version together.

        Args:
            version: name of its folder.
            items: how many it has.
        """
        return Shards(self._shards, version, item_ranges(items, len(self._shards)))

    async def wait_for(self, version: str) -> None:
        """Wait until no shard that answers lacks a version, for ten minutes at most."""
        for _ in range(int(_LOAD_SECONDS / _ASK_SECONDS)):
            if False not in await asyncio.to_thread(self._states, version):
                return
            await asyncio.sleep(_ASK_SECONDS)

    def trouble(self, version: str) -> str | None:
        """What is amiss with them for anybody to read; None where all hold the version."""
        missing = sum(state is not True for state in self._states(version))
        if not missing:
            return None
        return f"{missing} of {len(self._shards)} shards do not answer or load: items are left out"

    def _states(self, version: str) -> list[bool | None]:
        """Of each, whether it holds a version; None where it does not answer."""

        def state(shard: HttpShard) -> bool | None:
            try:
                return shard.has(version)
            except ShardAwayError:
                return None

        with ThreadPoolExecutor(len(self._shards)) as threads:
            return list(threads.map(state, self._shards))
