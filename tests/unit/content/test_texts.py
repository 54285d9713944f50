import pytest

from loaders.limits import MAX_TEXT_CHARACTERS
from recsvc.content.texts import plain_text


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (
            [["Toy Story (1995)"], ["Animation", "Children"]],
            "Toy Story (1995). Animation, Children",
        ),
        ([["<p>Soft &amp; warm</p><script>alert(1)</script>"]], "Soft & warm"),
        ([["<style>p {color: red}"]], ""),
        ([["I <3 you, 1 < 2"]], "I <3 you, 1 < 2"),
        ([["🎸 rock\u0000\n\troll"]], "🎸 rock roll"),
        ([[""], ["NaN"], ["null"], [" "]], ""),
        ([["12"], ["3.5", "true"]], "12. 3.5, true"),
        ([], ""),
    ],
)
def test_a_text_is_plain_and_on_one_line(values: list[list[str]], said: str) -> None:
    assert plain_text(values) == said


def test_a_huge_text_is_cut_and_quick() -> None:
    assert len(plain_text([["word " * 1_000_000]])) <= MAX_TEXT_CHARACTERS
    assert plain_text([["<" * 100_000 + "a" * 100_000]]).startswith("<")
    assert plain_text([["<script " * 5_000]]) == ""
