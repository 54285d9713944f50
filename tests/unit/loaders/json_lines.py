"""Rows as JSON Lines."""

import json
from typing import Any


def json_lines(*rows: Any) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)
