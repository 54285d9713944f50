"""What the tests of the service ask."""

from typing import Any
from urllib.parse import quote

from tests.conftest import Service


def recommended(service: Service, user_id: str, **parameters: Any) -> Any:
    """A user's recommendations."""
    path = f"/v1/users/{quote(user_id, safe='')}/recommendations"
    answer = service.client.get(path, params=parameters)
    assert answer.status_code == 200, answer.text
    return answer.json()
