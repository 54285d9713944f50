"""Columns that are probably meant where ours is not there: names that other programs give them."""

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType

from loaders.tables._spec import TableSpec

_LIKELY: Mapping[str, str] = MappingProxyType(
    {
        "user_id": "user customerid customer clientid client memberid member visitorid visitor "
        "accountid account personid profileid listenerid readerid reviewerid buyerid uid username "
        "sessionid session",
        "item_id": "item productid product stockcode sku asin articleid article movieid movie "
        "bookid book isbn trackid track songid song artistid artist videoid video contentid gameid "
        "game listingid iid",
        "event": "eventtype eventname action actiontype interactiontype behavior behaviour",
        "value": "rating score stars quantity qty amount plays playcount",
        "timestamp": "time date datetime eventtime eventdate invoicedate orderdate purchasedate "
        "playedat viewedat createdat ts unixtime",
        "title": "name productname itemname moviename bookname description",
        "users.name": "username fullname",
        "categories.name": "title category categoryname genre genrename tag tagname aisle "
        "department",
        "created_at": "created createdate releasedate published publishedat",
        "category_id": "category genreid genre tagid tag aisleid departmentid brandid brand",
        "parent_id": "parent parentcategory parentcategoryid",
        "follower_id": "follower source sourceid fromid from userid",
        "followee_id": "followee followed followedid following target targetid toid to friendid",
        "related_id": "related relateditem relateditemid similarid otherid",
    }
)
"""By our name of a column, or of one table's, the likeliest first, as `_key` writes them."""


def likely_columns(
    spec: TableSpec, missing: Iterable[str], there: Iterable[str]
) -> Iterator[tuple[str, str]]:
    """Our name and theirs of columns that are not there and of those that look like them.

    Args:
        spec: the table.
        missing: our names.
        there: their names that nothing else is read from. One stands for one of ours at most.
    """
    theirs = {_key(name): name for name in there}
    for name in missing:
        if name in spec.names:
            likely = _LIKELY.get(name) or _LIKELY.get(f"{spec.name}.{name}", "")
            for key in (_key(name), *likely.split()):
                if key in theirs:
                    yield name, theirs.pop(key)
                    break


def map_option(spec: TableSpec, name: str, theirs: str) -> str:
    """What maps a column on the command line."""
    return f"--map {shlex.quote(f'{spec.name}.{name}={theirs}')}"


def _key(name: str) -> str:
    """A name without case, spaces and marks."""
    return re.sub(r"[\W_]", "", name.lower())
