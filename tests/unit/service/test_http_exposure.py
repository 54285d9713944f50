"""How evenly items come to be seen, over HTTP."""

import httpx
import pytest

from recsvc.service.exposure_schemas import ExposureDocument
from tests.unit.service.fake_engine import FakeEngine


async def test_exposure_is_asked_with_its_options(
    client: httpx.AsyncClient, fake: FakeEngine
) -> None:
    response = await client.get("/v1/exposure", params={"users": 7, "k": 3, "property": "label"})
    assert fake.calls == [
        ("exposure_of_answers", 7, 3, "label"), ("exposure_of_impressions", 30, "label"),
    ]  # fmt: skip
    document = ExposureDocument.model_validate(response.json())
    assert document.answers.lists == 7
    assert list(document.answers.by_value) == ["Mute", ""]
    await client.get("/v1/exposure")
    assert fake.calls[2:] == [
        ("exposure_of_answers", 100, 10, None), ("exposure_of_impressions", 30, None),
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
