"""How evenly items come to be seen, over HTTP."""

import httpx
import pytest

from recsvc.service.exposure_schemas import AudienceDocument, ExposureDocument
from tests.unit.service.fake_engine import FakeEngine


async def test_exposure_is_asked_with_its_options(
    client: httpx.AsyncClient, fake: FakeEngine
) -> None:
    response = await client.get("/v1/exposure", params={"users": 7, "k": 3, "property": "label"})
    assert fake.calls == [
        ("exposure_of_answers", 7, 3, "label", None),
        ("exposure_of_impressions", 30, "label", None),
    ]  # fmt: skip
    document = ExposureDocument.model_validate(response.json())
    assert document.answers.lists == 7
    assert list(document.answers.by_value) == ["Mute", ""]
    await client.get("/v1/exposure", params={"group": "country"})
    assert fake.calls[2:] == [
        ("exposure_of_answers", 100, 10, None, "country"),
        ("exposure_of_impressions", 30, None, "country"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "asked", [{"users": 0}, {"users": 501}, {"days": 0}, {"property": ""}, {"of": "all"}]
)
async def test_what_it_cannot_measure_is_refused(
    client: httpx.AsyncClient, fake: FakeEngine, asked: dict[str, str | int]
) -> None:
    response = await client.get("/v1/exposure", params=asked)
    assert response.status_code == 422
    assert fake.calls == []


async def test_who_would_get_an_item(client: httpx.AsyncClient, fake: FakeEngine) -> None:
    asked = {"users": 7, "k": 3, "days": 2}
    response = await client.get("/v1/items/a%2Fb/audience", params=asked)
    document = AudienceDocument.model_validate(response.json())
    assert (document.answers.lists, document.outcomes["click"]) == (7, 3)
    assert document.users[0].item.item_id == "a/b"
    await client.get("/v1/items/289/audience")
    assert fake.calls == [("audience", "a/b", 7, 3, 2), ("audience", "289", 100, 10, 30)]
    for wrong in ({"users": 501}, {"property": "label"}):
        assert (await client.get("/v1/items/289/audience", params=wrong)).status_code == 422
