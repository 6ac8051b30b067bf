"""Every case of the input corpus that the API and the cluster answer has a test with its number."""

import pytest

from tests.support.corpus import find_cases
from tests.support.speech import ROOT

CASES = range(1, 146)


@pytest.mark.parametrize(
    ("source", "cases"),
    [
        ("def test_case_7_an_integer_of_5000_digits() -> None:", {7}),
        ("def test_cases_7_8_9_numbers() -> None:", {7, 8, 9}),
        ("def test_case_48_and_49_at_once() -> None:", {48, 49}),
        ("def test_cases_54_to_57_names() -> None:", {54, 55, 56, 57}),
        ('pytest.param(b"", id="case_1_empty")', {1}),
        ("for case in range(9): pass  # case_7", set()),
    ],
)
def test_the_numbers_of_a_test_are_read(source: str, cases: set[int]) -> None:
    assert find_cases(source) == cases


def test_every_case_has_a_test() -> None:
    tested = set[int]().union(*(find_cases(path.read_text()) for path in (ROOT / "tests").rglob("test_*.py")))
    assert sorted(set(CASES) - tested) == []
