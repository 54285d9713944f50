import gzip
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from loaders.datasets.amazon import amazon
from loaders.errors import TableError
from loaders.tables import CATEGORIES, INTERACTIONS, ITEM_CATEGORIES, ITEMS, RELATED_ITEMS

REVIEW = ("user_id", "item_id", "event", "value", "timestamp", "votes", "verified", "review_length")


def lines(*records: object) -> str:
    return "".join(f"{json.dumps(record)}\n" for record in records)


def review(**fields: object) -> dict[str, object]:
    return {
        "reviewerID": "A1",
        "asin": "B1",
        "overall": 5.0,
        "unixReviewTime": 1472688000,
        "reviewerName": "Shelly F",
        "reviewText": "Résumé",
        **fields,
    }


class TestReviews:
    def test_2018(self, reading: Any, written: Any) -> None:
        content = lines(review(verified=True, vote="1,341"), review(verified=False, asin="B2"))
        source = amazon(written({"Gift_Cards_5.json": content}))
        at = datetime(2016, 9, 1, tzinfo=UTC)
        assert reading.rows(source, INTERACTIONS, *REVIEW) == [
            ("A1", "B1", "rating", 5.0, at, 1341, True, 6),
            ("A1", "B2", "rating", 5.0, at, 0, False, 6),
        ]

    def test_2014(self, reading: Any, written: Any) -> None:
        content = gzip.compress(lines(review(helpful=[2, 3]), review(reviewText=None)).encode())
        source = amazon(written({"reviews_Books_5.json.gz": content}))
        columns = ("value", "votes", "verified", "review_length")
        assert reading.rows(source, INTERACTIONS, *columns) == [
            (5.0, 2, None, 6),
            (5.0, 0, None, 0),
        ]

    def test_2023(self, reading: Any, written: Any) -> None:
        record = {
            "rating": 4.0,
            "title": "Good",
            "text": "Fits",
            "asin": "B00YQ6X8EO",
            "parent_asin": "B00YQ6X8EP",
            "user_id": "AGKHLEW2SOWHNMFQIJGBECAF7INQ",
            "timestamp": 1588687728923,
            "helpful_vote": 3,
            "verified_purchase": True,
        }
        source = amazon(written({"All_Beauty.jsonl": lines(record)}))
        assert reading.rows(source, INTERACTIONS, *REVIEW) == [
            (
                "AGKHLEW2SOWHNMFQIJGBECAF7INQ",
                "B00YQ6X8EP",
                "rating",
                4.0,
                datetime(2020, 5, 5, 14, 8, 48, 923000, UTC),
                3,
                True,
                4,
            )
        ]

    def test_several_categories_are_one_data_set(self, reading: Any, written: Any) -> None:
        files = {"A_5.json": lines(review()), "below/B_5.json": lines(review(asin="B2"))}
        assert reading.rows(amazon(written(files)), INTERACTIONS, "item_id") == [("B1",), ("B2",)]

    def test_bad_lines(self, reading: Any, written: Any) -> None:
        content = (
            lines(review(overall="5"), review(vote="many"), review(asin=7), review(verified="yes"))
            + '{"reviewerID": "A1"\n\n[1]\n'
            + lines(review(reviewerID=None), review(overall=float("nan")), review(asin="x" * 513))
            + lines(review(unixReviewTime=10**15), review(asin="last"))
        )
        source = amazon(written({"A_5.json": content}))
        assert reading.rows(source, INTERACTIONS, "item_id") == [("last",)]
        assert [(line, column, reason) for _, line, column, reason in reading.reasons] == [
            (1, "overall", "'5' is not a number"),
            (2, "vote", "'many' is not a number of votes"),
            (3, "asin", "7 is not text"),
            (4, "verified", "'yes' is not true or false"),
            (5, "", "is not a JSON object"),
            (7, "", "is not a JSON object"),
            (8, "reviewerID", "is missing"),
            (9, "", "is not a JSON object"),
            (10, "item_id", "513 characters: expected 1 to 512"),
            (11, "timestamp", "'1000000000000000.0' is after tomorrow"),
        ]
        assert not any("Shelly" in each.row or "Résumé" in each.row for each in reading.rejected)


class TestMetadata:
    def test_2018(self, reading: Any, written: Any) -> None:
        long = "Keeps your cards flat, dry and safe for as long as you may want it to. " * 2
        content = lines(
            {
                "asin": "B1",
                "title": " Maggiano&#39;s  Gift Card",
                "brand": "by\n    \n    Maggiano&#39;s",
                "price": "$1,250.00",
                "category": ["Gift Cards", "Restaurants &amp; Bars", "</span></span></span>", "x"],
                "also_buy": ["B2", "B1"],
                "also_view": ["B2"],
            },
            {
                "asin": "B2",
                "title": "Sleeve",
                "price": ".a-box{}",
                "category": ["Gift Cards", long],
            },
            {"asin": "B3", "brand": "", "price": "$5.99 - $10.99", "category": []},
            {"title": "no id"},
        )
        source = amazon(written({"meta_Gift_Cards.json": content}))
        assert reading.rows(source, ITEMS, "item_id", "title", "price") == [
            ("B1", "Maggiano's Gift Card", 1250.0),
            ("B2", "Sleeve", None),
            ("B3", None, None),
        ]
        assert reading.rows(source, CATEGORIES, *CATEGORIES.names) == [
            ("category:Gift Cards", "Gift Cards", "category", None),
            (
                "category:Gift Cards > Restaurants & Bars",
                "Restaurants & Bars",
                "category",
                "category:Gift Cards",
            ),
            ("brand:Maggiano's", "Maggiano's", "brand", None),
        ]
        assert reading.rows(source, ITEM_CATEGORIES, "item_id", "category_id") == [
            ("B1", "category:Gift Cards > Restaurants & Bars"),
            ("B1", "brand:Maggiano's"),
            ("B2", "category:Gift Cards"),
        ]
        assert reading.rows(source, RELATED_ITEMS, "item_id", "related_id", "kind") == [
            ("B1", "B2", "also_buy"),
            ("B1", "B2", "also_view"),
        ]
        assert [(line, column, reason) for _, line, column, reason in reading.reasons] == [
            (4, "parent_asin", "is missing"),
            (1, "related_id", "'B1' is the item_id too: expected another id"),
        ]

    def test_2014_as_python_writes_it(self, reading: Any, written: Any) -> None:
        content = (
            "{'asin': '0001048791', 'title': \"The Crucible's Song\", 'price': 9.5, "
            "'related': {'also_bought': ['B2'], 'buy_after_viewing': ['B3']}, "
            "'brand': 'Penguin', 'categories': [['Books'], ['Books', 'Drama']]}\n"
            "{'asin': __import__('os').getpid()}\n"
        )
        source = amazon(written({"meta_Books.json": content}))
        assert reading.rows(source, ITEMS, "item_id", "title", "price") == [
            ("0001048791", "The Crucible's Song", 9.5)
        ]
        assert reading.reasons == [("meta_Books.json", 2, "", "is not a JSON object")]
        assert reading.rows(source, ITEM_CATEGORIES, "category_id") == [
            ("category:Books",),
            ("category:Books > Drama",),
            ("brand:Penguin",),
        ]
        assert reading.rows(source, RELATED_ITEMS, "related_id", "kind") == [
            ("B2", "also_buy"),
            ("B3", "buy_after_viewing"),
        ]

    def test_2023(self, reading: Any, written: Any) -> None:
        record = {
            "main_category": "All Beauty",
            "title": "Howard LC0008",
            "price": None,
            "store": "Howard Products",
            "categories": ["Beauty", "Skin"],
            "details": {"Weight": "1 oz"},
            "parent_asin": "B01CUPMQZE",
            "bought_together": None,
        }
        source = amazon(written({"meta_All_Beauty.jsonl": lines(record)}))
        assert reading.rows(source, ITEMS, "item_id", "title", "price") == [
            ("B01CUPMQZE", "Howard LC0008", None)
        ]
        assert reading.rows(source, ITEM_CATEGORIES, "category_id") == [
            ("category:Beauty > Skin",),
            ("brand:Howard Products",),
        ]

    def test_other_files(self, written: Any) -> None:
        with pytest.raises(TableError, match=r"expected reviews such as Gift_Cards_5\.json"):
            amazon(written({"a.csv": ""}))


class TestCountsOfTheSource:
    @pytest.mark.parametrize(
        ("file", "reviews", "users", "items"),
        [
            ("All_Beauty_5.json", 5_269, 991, 85),
            ("AMAZON_FASHION_5.json", 3_176, 406, 31),
            ("Appliances_5.json", 2_277, 47, 48),
            ("Gift_Cards_5.json", 2_972, 458, 148),
            ("Magazine_Subscriptions_5.json", 2_375, 348, 157),
        ],
    )
    def test_reviews(
        self,
        reading: Any,
        written: Any,
        unpacked: dict[str, bytes],
        file: str,
        reviews: int,
        users: int,
        items: int,
    ) -> None:
        rows = reading.table(amazon(written({file: unpacked[file]})), INTERACTIONS)
        assert rows.height == reviews
        assert (rows["user_id"].n_unique(), rows["item_id"].n_unique()) == (users, items)
        assert rows.select("verified", "votes", "timestamp").null_count().row(0) == (0, 0, 0)
        assert reading.rejected == []

    def test_all_of_them(self, reading: Any, shared_data: Path) -> None:
        source = amazon(shared_data / "amazon2018-small-5core")
        assert reading.table(source, INTERACTIONS).height == 16_069

    def test_metadata(self, reading: Any, unpacked: dict[str, bytes], written: Any) -> None:
        names = ("Gift_Cards_5.json", "meta_Gift_Cards.json")
        source = amazon(written({name: unpacked[name] for name in names}))
        items = reading.table(source, ITEMS)
        assert items.height == items["item_id"].n_unique() == 1_547
        # 362 prices are given, of which four are markup.
        assert items["price"].count() == 362 - 4
        assert set(reading.table(source, INTERACTIONS)["item_id"]) <= set(items["item_id"])
        related = reading.table(source, RELATED_ITEMS)
        assert related.filter(kind="also_buy")["item_id"].n_unique() == 336
        assert related.filter(kind="also_buy").height == 21_681
        kinds = dict(reading.table(source, CATEGORIES)["kind"].value_counts().rows())
        assert kinds.keys() == {"category", "brand"}
        assert reading.rejected == []


@pytest.fixture(scope="module")
def unpacked(shared_data: Path) -> dict[str, bytes]:
    import tarfile

    name = "amazon2018-small-5core"
    with tarfile.open(shared_data / name / f"{name}.tar.xz") as tar:
        files = [member for member in tar if member.isfile()]
        return {Path(each.name).name: tar.extractfile(each).read() for each in files}
