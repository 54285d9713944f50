"""What schemathesis cannot read from the OpenAPI document of the service."""

from datetime import UTC, datetime

import schemathesis
from hypothesis import strategies as st
from schemathesis.specs.openapi.checks import positive_data_acceptance

FIRST = datetime(1970, 1, 2)
TIMES = st.datetimes(FIRST, datetime.now(UTC).replace(tzinfo=None), timezones=st.just(UTC))
schemathesis.openapi.format("date-time", TIMES.map(datetime.isoformat))
schemathesis.openapi.format("date", TIMES.map(lambda time: time.date().isoformat()))

NOT_IN_A_SCHEMA = (
    # A schema has no word for now, nor for a date written as a number.
    "expected ISO 8601, such as",
    # It bounds a number, not the number that a text holds.
    "expected a finite number within",
    # It does not tell 2 to the power of 70 from the same number as a float: both are `number`.
    "expected an integer of 64 bits",
    # Nor 1e300 from the whole number that it is: both are `integer`.
    "expected text, or a whole number within",
    # Nothing compares one field with another.
    "expected search or at, not both",
    "expected another user than the one who follows",
    "expected another category than this one",
    "expected the id of the address, or none",
    "expected a value with which the sum",
)
"""How the rules begin that no OpenAPI document can say."""


@schemathesis.check
def valid_data_is_taken(
    ctx: schemathesis.CheckContext, response: schemathesis.Response, case: schemathesis.Case
) -> bool | None:
    """`positive_data_acceptance`, but for rules that no schema can say."""
    if response.status_code == 422:
        details = [error["detail"] for error in response.json()["errors"]]
        if all(detail.startswith(NOT_IN_A_SCHEMA) for detail in details):
            return None
    return positive_data_acceptance(ctx, response, case)
