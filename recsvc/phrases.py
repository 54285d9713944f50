"""The texts that an explanation is worded from, in any language: English unless set otherwise."""

import functools
from collections.abc import Mapping
from string import Formatter
from typing import Self

from babel.core import Locale, UnknownLocaleError
from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from recsvc.event_kinds import named_as

Phrase = str | Mapping[str, str]
"""A text, or one for each plural form of the language: `{one = "…", other = "…"}`."""

_YOU: Mapping[str, Phrase] = {
    "interaction": "you interacted with {items}",
    "listen": "you listened to {items}",
    "rating": "you rated {items}",
    "checkin": "you checked in at {items}",
    "favourite": {
        "one": "you marked {items} as a favourite",
        "other": "you marked {items} as favourites",
    },
    "view": "you looked at {items}",
    "cart": "you put {items} in the cart",
    "add_to_cart": "you put {items} in the cart",
    "remove_from_cart": "you took {items} out of the cart",
    "purchase": "you bought {items}",
    "buy": "you bought {items}",
    "order": "you ordered {items}",
    "transaction": "you bought {items}",
    "play": "you played {items}",
    "watch": "you watched {items}",
    "read": "you read {items}",
    "like": "you like {items}",
    "wishlist": "you put {items} on your wish list",
    "share": "you shared {items}",
    "review": "you reviewed {items}",
}
_LIKE: Mapping[str, Phrase] = {
    "category": "you like {categories}",
    "tag": {"one": "you like the tag {categories}", "other": "you like the tags {categories}"},
    "genre": {
        "one": "you like the genre {categories}",
        "other": "you like the genres {categories}",
    },
    "brand": {
        "one": "you like the brand {categories}",
        "other": "you like the brands {categories}",
    },
}


def _people(one: str, other: str) -> Mapping[str, str]:
    return {
        "one": f"{{count}} person you follow {one}",
        "other": f"{{count}} people you follow {other}",
    }


_PEOPLE: Mapping[str, Phrase] = {
    "interaction": _people("knows it", "know it"),
    "listen": _people("listens to it", "listen to it"),
    "rating": _people("rated it", "rated it"),
    "checkin": _people("checked in there", "checked in there"),
    "favourite": _people("marked it as a favourite", "marked it as a favourite"),
    "view": _people("looked at it", "looked at it"),
    "cart": _people("put it in the cart", "put it in the cart"),
    "purchase": _people("bought it", "bought it"),
    "buy": _people("bought it", "bought it"),
    "order": _people("ordered it", "ordered it"),
    "transaction": _people("bought it", "bought it"),
    "play": _people("plays it", "play it"),
    "watch": _people("watched it", "watched it"),
    "read": _people("read it", "read it"),
    "like": _people("likes it", "like it"),
    "review": _people("reviewed it", "reviewed it"),
}

_PLACEHOLDER = {
    "because": "reasons",
    "mostly_popular": "reasons",
    "you": "items",
    "like": "categories",
    "after": "items",
    "described": "items",
    "unlike": "names",
    "people": "count",
    "linked": "count",
    "shown": "count",
    "home_new_in": "category",
}
"""The placeholder of each setting; the others take none."""
_GENERAL = {"you": "interaction", "like": "category", "people": "interaction"}
"""What says it for a kind that has no text of its own."""


class TextSettings(BaseModel):
    """What the sentence of an explanation is put together from.

    A text for a kind of event or category stands under its name, which is compared without case,
    `-`, `_` and spaces; a kind without one takes the general text, `interaction` or `category`. In
    English, naming one leaves the others. In any other language no text is there that is not given.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    language: str = "en-GB"
    """Language of the texts, such as de or pt-BR: how it joins names, and its plural forms."""
    because: str = "Because {reasons}."
    """The sentence."""
    mostly_popular: str = "Popular, and a little because {reasons}."
    """The same where popularity speaks for it more than all else together."""
    between: str = ", "
    """What stands between two reasons."""
    before_last: str = ", and "
    """What stands before the last of several reasons."""
    you: Mapping[str, Phrase] = Field(default_factory=lambda: _YOU)
    """What the user did, by kind of event; the plural form is that of the number of items."""
    like: Mapping[str, Phrase] = Field(default_factory=lambda: _LIKE)
    """What the user prefers, by kind of category; the plural form is that of their number."""
    after: Phrase = "it is often next after {items}"
    """What the user did and others often went on from to the item."""
    described: Phrase = "its description is similar to that of {items}"
    """What the user liked that describes itself as the item does, where that speaks for it more
    than what people did."""
    unlike: Phrase = "it is unlike {names}"
    """What the user dislikes and the item is the opposite of."""
    people: Mapping[str, Phrase] = Field(default_factory=lambda: _PEOPLE)
    """What followed people did with the item, by kind of event; `interaction` where that is not
    known, so it has to be true of every kind."""
    linked: Phrase = Field(
        default_factory=lambda: {
            "one": "it is linked to {count} person you follow",
            "other": "it is linked to {count} people you follow",
        }
    )
    """Followed people who speak for the item without having done anything with it."""
    many: str = "Many small things speak for it."
    """Evidence speaks for it, and no part of it enough to be named."""
    popular: str = "Ranked by its popularity."
    """Popularity speaks for it, and hardly anything else."""
    nothing: str = "On balance nothing speaks for it."
    """The score is not above 0."""
    newcomer: str = "It is new: nothing is known of it before the next refresh."
    """It came into the graph after the refresh."""
    seen: str = "You know it already."
    """The user did something with the item: this comes before why it would be recommended."""
    disliked: str = "You do not like it."
    """The same where what the user did speaks against the item."""
    hidden: str = "You hid it."
    """The same where the item never comes back."""
    shown: Phrase = Field(
        default_factory=lambda: {
            "one": "Shown {count} time lately.",
            "other": "Shown {count} times lately.",
        }
    )
    """The item was shown to the user and loses by that: this comes after why it is recommended."""

    home_people: str = "From people you follow"
    """The title of a row: people the user follows carry most of its scores."""
    home_new: str = "New for you"
    """The title of a row of what came lately."""
    home_new_in: str = "New in {category}"
    """The title of a row of what came lately in a category."""
    home_popular: str = "Popular now"
    """The title of a row of what is popular."""
    promoted: str = "Promoted."
    """A rule of a scenario brings it forward: this comes before why it would be recommended."""
    tried_out: str = "Tried out: little is known of it yet."
    """It was drawn for a place of exploration: this comes before why it would be recommended."""

    @property
    def locale(self) -> Locale:
        """How the language joins a list and counts."""
        return _locale(self.language)

    @field_validator("language")
    @classmethod
    def _known_language(cls, language: str) -> str:
        try:
            _locale(language)
        except (UnknownLocaleError, ValueError):
            raise ValueError(
                f"no language {language!r} is known: expected a code such as en-GB, de or pt-BR"
            ) from None
        return language

    @field_validator("you", "like", "people")
    @classmethod
    def _complete(cls, given: Mapping[str, Phrase], info: ValidationInfo) -> Mapping[str, Phrase]:
        name = str(info.field_name)
        if _is_english(info):
            default: Mapping[str, Phrase] = cls.model_fields[name].get_default(
                call_default_factory=True
            )
            given = {**default, **{named_as(kind, default) or kind: given[kind] for kind in given}}
        if _GENERAL[name] not in given:
            raise ValueError(
                f"expected a text for {_GENERAL[name]!r}, which stands in for kinds without one"
            )
        for kind, phrase in given.items():
            _check_phrase(f"{kind}: ", phrase, info)
        return given

    @field_validator("because", "mostly_popular", "between", "before_last", "after", "described",
                     "unlike",
                     "linked",
                     "many", "popular", "nothing", "newcomer", "seen", "disliked",
                     "hidden", "shown", "promoted", "tried_out",
                     "home_people", "home_new", "home_new_in", "home_popular")  # fmt: skip
    @classmethod
    def _filled(cls, phrase: Phrase, info: ValidationInfo) -> Phrase:
        _check_phrase("", phrase, info)
        return phrase

    @model_validator(mode="after")
    def _in_one_language(self) -> Self:
        missing = [name for name in type(self).model_fields if name not in self.model_fields_set]
        if self.locale.language != "en" and missing:
            raise ValueError(
                f"language {self.language!r} has no texts of its own here: "
                f"expected {', '.join(missing)} too"
            )
        return self


@functools.cache
def _locale(language: str) -> Locale:
    return Locale.parse(language, sep="-")


def _is_english(info: ValidationInfo) -> bool:
    language = info.data.get("language")
    return language is not None and _locale(language).language == "en"


def _check_phrase(where: str, phrase: Phrase, info: ValidationInfo) -> None:
    """Refuse a plural form that the language lacks, and a placeholder that nothing fills.

    Raises:
        ValueError: one was found; the message names it and what is known.
    """
    if isinstance(phrase, str):
        _check_text(where, phrase, str(info.field_name))
        return
    language = info.data.get("language")
    if language is None:  # it is refused itself
        return
    forms = {*_locale(language).plural_form.tags, "other"}
    if "other" not in phrase or not phrase.keys() <= forms:
        raise ValueError(
            f"{where}plural forms {', '.join(phrase) or 'none'}: expected 'other', and of "
            f"{', '.join(sorted(forms))} those that differ from it"
        )
    for form, text in phrase.items():
        _check_text(f"{where}{form}: ", text, str(info.field_name))


def _check_text(where: str, text: str, setting: str) -> None:
    placeholder = _PLACEHOLDER.get(setting)
    expected = f"expected {{{placeholder}}}" if placeholder else "expected none"
    try:
        placeholders = [field[1:] for field in Formatter().parse(text) if field[1] is not None]
    except ValueError as error:
        raise ValueError(f"{where}{text!r}: {error}: write a brace as {{{{ or }}}}") from None
    for name, form, conversion in placeholders:
        if name != placeholder or form or conversion:
            written = f"{name}{'!' + conversion if conversion else ''}{':' + form if form else ''}"
            raise ValueError(
                f"{where}no placeholder {{{written}}} is known in {text!r}: {expected}"
            )
    # A number may be left out or be part of the words: "one person you follow".
    if placeholder not in (None, "count") and not placeholders:
        raise ValueError(f"{where}{text!r} says nothing: {expected}")
