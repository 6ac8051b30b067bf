"""Bad input that others have collected, and where a test tells which case of the input corpus it plays."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

DATA = Path(__file__).parents[1] / "data"

_LABEL = re.compile(r'(?:def test_|id=f?")(?P<label>\w*?cases?(?:_(?:and_|to_)?\d+)+)')
_NUMBERS = re.compile(r"(?:_(?P<how>and|to))?_(?P<number>\d+)")


def read_json_suite() -> dict[str, bytes]:
    """The files of JSONTestSuite by name: `y_` must be read, `n_` must not be, `i_` either."""
    texts: dict[str, str] = json.loads((DATA / "json_test_suite.json").read_text())
    files = {name: text.encode(errors="surrogateescape") for name, text in texts.items()}
    files["n_structure_100000_opening_arrays"] = b"[" * 100_000
    files["n_structure_open_array_object"] = b'[{"":' * 50_000 + b"\n"
    return files


def read_naughty_strings() -> list[str]:
    """The big list of naughty strings."""
    texts: list[str] = json.loads((DATA / "naughty_strings.json").read_text())
    return texts


def find_cases(source: str) -> set[int]:
    """The cases that a test's name or a literal id tells: `case_7`, `cases_7_8_and_9`, `cases_7_to_9`."""
    return {number for match in _LABEL.finditer(source) for number in _expand(match["label"])}


def _expand(label: str) -> Iterator[int]:
    last = 0
    for match in _NUMBERS.finditer(label[label.rindex("case") :]):
        number = int(match["number"])
        yield from range(last + 1, number) if match["how"] == "to" else ()
        yield number
        last = number
