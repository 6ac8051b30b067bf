"""Pages of transcriptions: filters, tokens, tenants."""

import base64
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from api.auth import Caller
from api.errors import ProblemError
from api.listing import ListQuery, _build_seal, _digest, list_page
from api.row import Row
from api.rows import Rows
from tests.support.api_fakes import NOW, a_row

ANYBODY = Caller()
MINE = Caller("me", True)
DONE = {"state": "Succeeded"}
FEW = Rows([a_row("a", 1), a_row("b", 2)])


def some_rows(count: int, **changes: Any) -> Rows:
    """Two in each second, so that the name decides too."""
    rows = (a_row(f"job-{n:04}", n + 1) for n in range(count))
    return Rows(replace(row, created=NOW + timedelta(seconds=row.version // 2), **changes) for row in rows)


def names(rows: list[Row]) -> list[str]:
    return [row.name for row in rows]


def walk(rows: Rows, caller: Caller = ANYBODY, **query: Any) -> list[list[str]]:
    pages, token = [], None
    while True:
        page, token = list_page(ListQuery.model_validate(query | {"next_token": token}), rows, caller)
        pages.append(names(page))
        if token is None:
            return pages


def walk_through(rows: Rows, **query: Any) -> list[str]:
    return [name for page in walk(rows, **query) for name in page]


def a_token(rows: Rows, caller: Caller = ANYBODY, **query: Any) -> str:
    _, token = list_page(ListQuery.model_validate({"limit": 1} | query), rows, caller)
    assert token is not None
    return token


def a_sealed_token(text: bytes, **query: Any) -> str:
    """Any text under the seal of a query, which whoever reads this code can make."""
    seal = _build_seal(ListQuery.model_validate(query), ANYBODY)
    return base64.urlsafe_b64encode(_digest(text, seal) + text).rstrip(b"=").decode()


def refuse(token: str, rows: Rows, caller: Caller = ANYBODY, **query: Any) -> None:
    with pytest.raises(ProblemError) as refused:
        list_page(ListQuery.model_validate(query | {"next_token": token}), rows, caller)
    assert refused.value.status_code == 422
    assert len(token) < 8 or token not in refused.value.detail


@pytest.mark.parametrize("limit", [1, 2, 3, 6, 7, 100])
def test_the_pages_hold_all_once_newest_first(limit: int) -> None:
    rows = some_rows(6)
    pages = walk(rows, limit=limit)
    assert [name for page in pages for name in page] == [f"job-{n:04}" for n in (5, 4, 3, 2, 1, 0)]
    assert all(len(page) <= limit for page in pages)
    assert all(pages)


def test_there_is_no_token_when_exactly_limit_remain() -> None:
    rows = some_rows(4)
    assert list_page(ListQuery(limit=4), rows, ANYBODY)[1] is None
    assert list_page(ListQuery(limit=4), Rows(), ANYBODY) == ([], None)


def test_the_next_page_stays_what_it_was_when_jobs_are_added_and_deleted() -> None:
    rows = some_rows(4)
    token = a_token(rows, limit=2)
    rows.see(a_row("newer", 90))
    rows.delete(rows.page(lambda row: row.name == "job-0002", None, 1)[0])
    page, _ = list_page(ListQuery(next_token=token), rows, ANYBODY)
    assert names(page) == ["job-0001", "job-0000"]


def test_those_being_deleted_are_left_out() -> None:
    assert walk(some_rows(3, is_deleting=True)) == [[]]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"status": "completed"}, ["c"]),
        ({"status": "processing"}, ["d", "a"]),
        ({"status": "failed"}, ["b"]),
        ({"status": "cancelled"}, []),
        ({"model": "turbo"}, ["d", "b"]),
        ({"model": "turbo", "status": "failed"}, ["b"]),
        ({"created_after": "2025-09-11T03:45:51Z"}, ["d", "c"]),
        ({"created_before": "2025-09-11T03:45:51Z"}, ["b", "a"]),
        ({"created_after": "2025-09-11T12:45:50+09:00", "created_before": "2025-09-11T03:45:51.5Z"}, ["c", "b"]),
        ({"created_after": "2025-09-12T00:00:00Z"}, []),
    ],
)
def test_only_those_that_fit_are_listed(query: dict[str, Any], expected: list[str]) -> None:
    states = {"a": {"state": "Running"}, "b": {"state": "Failed"}, "c": DONE, "d": {}}
    made = [a_row(name, n, states[name]) for n, name in enumerate("abcd", 1)]
    rows = Rows(replace(row, model="turbo" if row.name in "bd" else None) for row in made)
    assert walk_through(rows, **query) == expected
    assert walk_through(rows, limit=1, **query) == expected


def test_case_43_a_confined_caller_lists_its_own_only() -> None:
    rows = Rows([replace(a_row("mine", 1), tenant="me"), a_row("theirs", 2)])
    assert walk(rows, MINE) == [["mine"]]
    assert walk(rows) == [["theirs", "mine"]]


@pytest.mark.parametrize(
    "query",
    [
        {"limit": text}
        for text in ("-1", "0", "101", "1e9", "1000000000", "a", "", "1.0", " 1", "+1", "١", "1_0", "9" * 5000)
    ]
    + [{"status": text} for text in ("Succeeded", "", "done", "completed,failed")]
    + [{"model": text} for text in ("", "../x", "a b", "m" * 65, "a\n")]
    + [
        {"created_after": text}
        for text in (
            "",
            "yesterday",
            "0",
            "1757562348",
            "2025-09-11",
            "2025-09-11T03:45:48",
            "2025-09-11T03:45:48 09:00",
        )
    ]
    + [{"created_before": "2025-13-11T03:45:48Z"}, {"created_before": "0000-01-01T00:00:00Z"}]
    + [{"next_token": text} for text in ("", "a b", "=", "ä", "A" * 257)]
    + [{"page": "1"}, {"Status": "failed"}],
)
def test_case_43_a_query_is_refused_when_it_does_not_fit(query: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        ListQuery.model_validate(query)


def test_case_43_a_token_is_refused_when_it_is_forged() -> None:
    rows = some_rows(3)
    token = a_token(rows)
    raw = bytearray(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    raw[-1] ^= 1
    text = base64.urlsafe_b64encode(b"2025-09-11T03:45:49+00:00 job-0001").decode().rstrip("=")
    for forged in (
        token[:-1],
        token + "A",
        base64.urlsafe_b64encode(raw).decode().rstrip("="),
        text,
        "A",
        "AAAA",
        "a" * 256,
    ):
        refuse(forged, rows)


@pytest.mark.parametrize("changed", [{"status": "processing"}, {"model": "turbo"}, {"created_after": NOW.isoformat()}])
def test_a_token_is_refused_when_the_filters_are_others(changed: dict[str, Any]) -> None:
    rows = some_rows(3)
    refuse(a_token(rows), rows, **changed)


def test_a_token_is_refused_when_another_tenant_sends_it() -> None:
    rows = some_rows(3)
    refuse(a_token(rows), rows, MINE)


def test_a_token_holds_when_only_the_limit_changes() -> None:
    rows = some_rows(3)
    page, token = list_page(ListQuery(next_token=a_token(rows), limit=50), rows, ANYBODY)
    assert (names(page), token) == (["job-0001", "job-0000"], None)


@pytest.mark.parametrize(
    "text",
    [
        "2025-09-11T03:45:49 job-0001",
        "2025-09-11 job-0001",
        "20250911T034549Z job-0001",
        "2025-09-11T03:45:49Z job-0001",
        "2025-09-11T12:45:49+09:00 job-0001",
        "2025-09-11T03:45:49.000000+00:00 job-0001",
        "0001-01-01T00:00:00+14:00 job-0001",
        "9999-12-31T23:59:59-14:00 job-0001",
        "2025-09-11T03:45:49+00:00",
        "2025-09-11T03:45:49+00:00 job-0001 b",
        "2025-09-11T03:45:49+00:00 ../x",
        "",
    ],
)
@pytest.mark.parametrize("query", [{}, {"created_before": NOW}, {"created_after": NOW}])
def test_case_43_a_token_is_refused_when_its_seal_is_right_and_its_text_is_not_ours(
    text: str, query: dict[str, Any]
) -> None:
    refuse(a_sealed_token(text.encode(), **query), FEW, **query)


def test_a_sealed_text_as_ours_is_a_token() -> None:
    rows = some_rows(3)
    place = rows.page(lambda _: True, None, 1)[0].place
    assert a_sealed_token(f"{place[0].isoformat()} {place[1]}".encode()) == a_token(rows)


def test_case_43_a_token_is_refused_when_any_character_is_another() -> None:
    rows = some_rows(3)
    token = a_token(rows)
    for place, letter in enumerate(token):
        refuse(token[:place] + ("A" if letter != "A" else "B") + token[place + 1 :], rows)


def test_only_rows_of_the_asked_time_are_looked_at_and_no_more_than_a_page_needs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked: list[str] = []

    def note(caller: Caller, row: Row) -> bool:
        looked.append(row.name)
        return row.tenant == caller.tenant

    monkeypatch.setattr(Caller, "may_see", note)
    rows = some_rows(5000)
    page, _ = list_page(ListQuery(limit=3), rows, ANYBODY)
    assert looked == [*names(page), "job-4996"]
    looked.clear()
    between = {"created_after": NOW + timedelta(seconds=10), "created_before": NOW + timedelta(seconds=12)}
    assert list_page(ListQuery.model_validate(between), rows, MINE) == ([], None)
    assert looked == ["job-0022", "job-0021", "job-0020", "job-0019"]


def test_a_page_has_a_hundred_unless_fewer_are_asked_for() -> None:
    assert [len(page) for page in walk(some_rows(101))] == [100, 1]
