"""Why a row is rejected: every text there is. docs/tables.md lists the same."""

from enum import StrEnum

from loaders.limits import (
    MAX_AMOUNT,
    MAX_CELL_CHARACTERS,
    MAX_ID_CHARACTERS,
    MAX_KIND_CHARACTERS,
    MAX_KINDS,
    MAX_LINE_BYTES,
)


class Reason(StrEnum):
    """A text, with `{}` where what came is shown."""

    MISSING = "is missing"
    NULL = "'{}' stands for no value, as --null says"
    NO_ID = "'{}' stands for no id: leave the row out, or say --keep-null-ids"
    LONG_ID = f"{{}} characters: expected 1 to {MAX_ID_CHARACTERS}"
    FRACTION = "'{}' is not a whole number"
    BIG_ID = "'{}' is too large to be told exactly as a number: write it as text"
    BOOLEAN_ID = "'{}' is a boolean: expected text or a whole number"
    NOT_A_NUMBER = "'{}' is not a finite number"
    COMMA = "'{}' is not a finite number: write a point, as in 1.5, or say --decimal-comma"
    BEYOND = f"'{{}}' is beyond ±{MAX_AMOUNT:,.0f}"
    SUM_BEYOND = f"the sum of {{}} values of '{{}}', '{{}}', '{{}}' is beyond ±{MAX_AMOUNT:,.0f}"
    NOT_A_TIME = (
        "'{}' is neither ISO 8601 nor Unix seconds: write it as 2018-07-19 or "
        "2018-07-19T08:26:00Z, or say how to read it with --date-format"
    )
    OTHER_FORM = "'{}' is neither of the form that --date-format names nor ISO 8601"
    TOO_EARLY = (
        "'{}' is before 1970-01-02: if it is a year or a spreadsheet's number of a day, write it "
        "as 2018-07-19"
    )
    MILLISECONDS = "'{}' is in milliseconds: write seconds, or say --date-format ms"
    TOO_LATE = "'{}' is after tomorrow"
    NO_SUCH_YEAR = "'{}' is outside the years 0001 to 9999"
    NOT_A_FLAG = "'{}' is not a boolean: expected true or false"
    LONG_KIND = f"{{}} characters: expected a kind of at most {MAX_KIND_CHARACTERS}"
    MANY_KINDS = (
        f"'{{}}' is one more than {MAX_KINDS} kinds of event: is the column event what you mean?"
    )
    LONG_TEXT = f"{{}} characters: expected at most {MAX_CELL_CHARACTERS:,}"
    BIG_INTEGER = "'{}' does not fit in 64 bits"
    GAP = "a list with a gap: expected a value in each place"
    LIST = "a list: expected one value"
    NESTED = (
        "holds a JSON object or a list of lists: expected a value or a list of values, or --drop "
        "for the column"
    )
    ITSELF = "'{}' is the {} too: expected another id"
    NOT_UTF8 = "is not valid UTF-8: save the file as UTF-8"
    NUL = "holds a NUL character: the file is damaged, or not UTF-8 text"
    CELLS = "{} cells: expected {}, as in the header"
    LONG_CELL = f"a cell longer than {MAX_CELL_CHARACTERS:,} characters: is a quote left open?"
    LONG_LINE = f"a line longer than {MAX_LINE_BYTES:,} bytes"
    OPEN_QUOTE = "a quote is left open"
    NOT_CSV = "not CSV as in RFC 4180: {}"
    NOT_JSON = "not JSON: {}"
    TWICE = "names '{}' twice: expected each name once"
    NOT_AN_OBJECT = "not a JSON object: expected names and values in braces"
