"""What may come in: the one place of limits, the same in tables and over HTTP.

docs/tables.md and docs/http.md list them for those who send data, and every error names the limit
that something is beyond. Nothing is imported here that takes time: the service reads this too.
"""

from datetime import datetime, timedelta
from typing import Final

MAX_ID_CHARACTERS: Final = 512
"""Longest id."""
NO_IDS: Final = ("NULL", "null", "NaN", "nan", "None", "\\N", "#N/A", "<NA>")
"""What programs write where there is no value. In a table it would be one user of all guests."""
MAX_EXACT_FLOAT: Final = 2**53 - 1
"""Beyond this a float no longer tells one whole number from the next, so it is no id."""
MAX_EXACT_FLOAT32: Final = 2**24 - 1
"""The same of a float of 32 bits."""

MAX_AMOUNT: Final = 1e6
"""Largest value, weight, preference, weight of a link, and sum of the values of one user, item and
event, either way: scores are 32-bit floats and have to stay finite."""

FIRST_SECOND: Final = 86_400
"""Earliest time, in Unix seconds: 1970-01-02. Years and day numbers of spreadsheets are less."""
DATES_AS_NUMBERS: Final = (19_000_000, 21_000_000)
"""From the first on and before the second, a number is a date such as 20180719, and no Unix seconds
(of some days in August 1970)."""
LATEST_AHEAD: Final = timedelta(days=1)
"""A time lies at most this long after now: clocks and zones differ, and the future is no fact."""

MAX_KIND_CHARACTERS: Final = 100
"""Longest kind of event, of a link between items, or of a category."""
MAX_KINDS: Final = 100
"""Most different kinds of event in one table or one request."""

MAX_PROPERTIES: Final = 200
"""Most further properties of a node in one request."""
MAX_NAME_CHARACTERS: Final = 512
"""Longest name of a property."""
MAX_DOCUMENT_NAME: Final = 100
"""Longest name of a scenario or an experiment: each `recommendation_id` has it."""
MAX_CELL_CHARACTERS: Final = 131_072
"""Longest text in a cell of a table."""
MAX_READ_CHARACTERS: Final = 20_000
"""Characters that are read of a property that is encoded: markup may be most of it."""
MAX_TEXT_CHARACTERS: Final = 2_000
"""Longest text that is encoded of one node: encoders read no more than some hundred words."""
MAX_LIST: Final = 1_000
"""Most entries of a list that becomes a property."""
INT64: Final = range(-(2**63), 2**63)
"""The whole numbers that Neo4j can keep."""
MAX_LINKS: Final = 1_000
"""Most links of one node (its categories, preferences, parents) in one request or answer."""

MAX_COLUMNS: Final = 10_000
"""Most columns of a table: of JSON Lines each name in any line is one."""
MAX_LINE_BYTES: Final = 4 * 1024 * 1024
"""Longest line of a text file."""

MAX_BODY_BYTES: Final = 2 * 1024 * 1024
"""Largest body of a request."""
MAX_VALUES: Final = 250_000
"""Most values of a body: more are read for too long before anybody can refuse them."""
MAX_CONTAINERS: Final = 20_000
"""Most lists and objects in a body."""
MAX_EVENTS: Final = 1_000
"""Most events in one request."""
MAX_OUTCOMES: Final = 1_000
"""Most outcomes in one request."""
MAX_EVIDENCE: Final = 1_000
"""Most pieces of evidence in one request."""
MAX_BATCH: Final = 100
"""Most users in one request."""
MAX_ANSWERS: Final = 500
"""Most answers one may ask for (`k`)."""


def latest_time(now: datetime) -> datetime:
    """The latest time that may come in: `now` plus one day."""
    return now + LATEST_AHEAD
