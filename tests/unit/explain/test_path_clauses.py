import pytest

from recsvc.explain.path_clauses import path_in_clauses


@pytest.mark.parametrize(
    ("kind", "forth", "back"),
    [
        ("INTERACTED", "who has B", "which B has"),
        ("FOLLOWS", "who follows B", "whom B follows"),
        ("PREFERS", "who prefers B", "which B prefers"),
        ("IN_CATEGORY", "which is in B", "which holds B"),
        ("SUBCATEGORY_OF", "which is below B", "which is above B"),
        ("RELATED_TO", "which is linked with B", "which is linked with B"),
    ],
)
def test_a_relationship_is_said_by_its_direction(kind: str, forth: str, back: str) -> None:
    assert path_in_clauses(["A", "B"], [(kind, True)]) == f"A, {forth}"
    assert path_in_clauses(["A", "B"], [(kind, False)]) == f"A, {back}"


def test_each_relationship_is_a_clause() -> None:
    steps = [("INTERACTED", False), ("FOLLOWS", True), ("INTERACTED", True)]
    said = path_in_clauses(["One", "somebody", "Ann", "Other"], steps)
    assert said == "One, which somebody has, who follows Ann, who has Other"
