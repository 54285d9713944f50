"""The options that a refresh and a blend on tables share."""

import pytest
from pydantic import ValidationError

from recsvc.errors import RefreshError
from recsvc.refresh.options import RefreshOptions
from recsvc.refresh.pipeline import refresh


def test_models_may_be_text_and_options_of_a_part_have_its_name_before_them() -> None:
    given = RefreshOptions.model_validate({"models": "walk3,mf", "walk3.alpha": "0.25"})
    assert given.models == ("walk3", "mf")
    assert given.options == {"walk3": {"alpha": "0.25"}}
    assert RefreshOptions.model_validate(given.model_dump(mode="json")) == given


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"models": ""}, "at least 1 item"),
        ({"models": "mf,mf"}, "names a model twice"),
        ({"models": "mf", "walk3.alpha": "1"}, "'walk3', which takes no part: expected mf"),
    ],
)
def test_what_cannot_be_asked_for(values: dict[str, str], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        RefreshOptions.model_validate(values)


def test_a_refresh_refuses_an_option_that_a_model_has_not(tmp_path) -> None:
    """Before it takes the lease: there is no Neo4j here."""
    options = RefreshOptions.model_validate({"models": "walk3", "walk3.alpha": "9"})
    with pytest.raises(RefreshError, match=r"walk3\.alpha='9'"):
        refresh(None, options, {}, home=tmp_path)
