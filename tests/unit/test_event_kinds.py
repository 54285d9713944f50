from itertools import pairwise

from recsvc.event_kinds import default_events, find_kind, speaking_kinds, unknown_kinds


def test_kinds_that_speak_have_a_weight_above_0_and_are_spelled_as_in_the_graph_too() -> None:
    events = default_events()
    speak = speaking_kinds(["ADD_TO_CART", "Thumbs-Down", "wink", "impression"], events)
    assert {"ADD_TO_CART", "add_to_cart", "purchase", "interaction", "view"} <= set(speak)
    assert not {"Thumbs-Down", "wink", "impression", "search", "return"} & set(speak)
    assert all(first < second for first, second in pairwise(speak))


def test_kinds_are_compared_without_case_and_signs() -> None:
    events = default_events()
    for spelling in ("ADD_TO_CART", "add-to-cart", "AddToCart", "add to cart"):
        assert find_kind(spelling, events) == events["add_to_cart"]
    assert unknown_kinds(["wink", "AddToCart", "wave", "wink"], events) == ["wave", "wink"]
