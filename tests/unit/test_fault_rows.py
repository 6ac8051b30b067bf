"""Every fault of the matrix that is the controller's has a test with its number: F16 to F38 and F48 to F62."""

import re

import pytest

from tests.support.speech import ROOT

ROWS = {*range(16, 39), *range(48, 63)}
NAMED = re.compile(r"def test_(?:case_\d+_and_)?((?:f\d+_)+)|_and_f(\d+)_")


def find_rows(source: str) -> set[int]:
    """The numbers in the names of tests: test_f16_..., test_f24_f36_..., test_case_136_and_f60_..."""
    found = set()
    for many, one in NAMED.findall(source):
        found |= {int(number) for number in re.findall(r"\d+", many or one)}
    return found


@pytest.mark.parametrize(
    ("source", "rows"),
    [
        ("def test_f16_it_is_so() -> None:", {16}),
        ("def test_f24_f36_it_is_so() -> None:", {24, 36}),
        ("def test_case_136_and_f60_it_is_so() -> None:", {60}),
        ("def test_fast() -> None:", set()),
        ("assert f16_", set()),
    ],
)
def test_the_rows_of_a_test_are_read(source: str, rows: set[int]) -> None:
    assert find_rows(source) == rows


def test_every_row_has_a_test() -> None:
    tested = set[int]().union(*(find_rows(path.read_text()) for path in (ROOT / "tests").rglob("test_*.py")))
    assert sorted(ROWS - tested) == []
