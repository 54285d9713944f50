"""Why a row is rejected: every text there is. docs/tables.md lists the same."""

from enum import StrEnum

from loaders.limits import MAX_CELL_CHARACTERS, MAX_ID_CHARACTERS, MAX_LINE_BYTES


class Reason(StrEnum):
    """A text, with `{}` where what came is shown."""

    MISSING = "is missing"
    LONG_ID = f"{{}} characters: expected 1 to {MAX_ID_CHARACTERS}"
    FRACTION = "'{}' is not a whole number"
    BOOLEAN_ID = "'{}' is a boolean: expected text or a whole number"
    NOT_A_NUMBER = "'{}' is not a finite number"
    NOT_A_TIME = "'{}' is neither ISO 8601 nor Unix seconds"
    NO_SUCH_YEAR = "'{}' is outside the years 0001 to 9999"
    NOT_A_FLAG = "'{}' is not a boolean: expected true or false"
    LONG_TEXT = f"{{}} characters: expected at most {MAX_CELL_CHARACTERS:,}"
    BIG_INTEGER = "'{}' does not fit in 64 bits"
    GAP = "a list with a gap: expected a value in each place"
    LIST = "a list: expected one value"
    NESTED = "holds a JSON object or a list of lists: expected a value or a list of values"
    ITSELF = "'{}' is the {} too: expected another id"
    NOT_UTF8 = "is not valid UTF-8"
    NUL = "holds a NUL character: the file is damaged, or not UTF-8 text"
    CELLS = "{} cells: expected {}, as in the header"
    LONG_CELL = f"a cell longer than {MAX_CELL_CHARACTERS:,} characters: is a quote left open?"
    LONG_LINE = f"a line longer than {MAX_LINE_BYTES:,} bytes"
    OPEN_QUOTE = "a quote is left open"
    NOT_CSV = "not CSV as in RFC 4180: {}"
    NOT_JSON = "not JSON: {}"
    NOT_AN_OBJECT = "not a JSON object: expected names and values in braces"
