"""Long sweeps of generated input over pure steps of the API."""

import base64
import re
from datetime import UTC, datetime, timedelta, timezone

from hypothesis import example, given, settings
from hypothesis import strategies as st

from api.auth import Caller
from api.errors import ProblemError
from api.listing import ListQuery, _build_seal, _digest, list_page
from api.rows import Rows
from crds.transcriptionjob import NAME_PATTERN
from tests.support.api_fakes import NOW, a_row

ANYBODY = Caller()
FEW = Rows([a_row("a", 1), a_row("b", 2)])
OFFSETS = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))
MOMENTS = st.one_of(st.datetimes(), st.datetimes(timezones=OFFSETS), st.datetimes(timezones=st.just(UTC)))
TIMES = MOMENTS.map(datetime.isoformat)
NAMES = st.one_of(st.text(max_size=30), st.from_regex(r"[a-z0-9-]{0,60}", fullmatch=True))
TEXTS = st.one_of(
    st.binary(max_size=150),
    st.text(max_size=30).map(lambda text: text.encode(errors="surrogatepass")),
    st.builds(lambda time, name: f"{time} {name}".encode(errors="surrogatepass"), TIMES, NAMES),
)


@settings(max_examples=1500, deadline=None)
@given(TEXTS, st.sampled_from([{}, {"created_before": NOW}, {"created_after": NOW}]))
@example(b"2025-09-11T03:45:49 a", {})
@example(b"0001-01-01T00:00:00+14:00 a", {})
@example(b"2025-09-11T03:45:49+00:00 a", {"created_before": NOW})
def test_case_43_a_sealed_text_is_a_token_of_ours_or_refused(text: bytes, query: dict[str, datetime]) -> None:
    seal = _build_seal(ListQuery.model_validate(query), ANYBODY)
    token = base64.urlsafe_b64encode(_digest(text, seal) + text).rstrip(b"=").decode()
    asked = ListQuery.model_validate(query | {"next_token": token})
    try:
        list_page(asked, FEW, ANYBODY)
    except ProblemError as problem:
        assert problem.status_code == 422
    else:
        created, name = text.decode().split(" ")
        assert datetime.fromisoformat(created).isoformat() == created
        assert created.endswith("+00:00")
        assert re.fullmatch(NAME_PATTERN, name)


@settings(max_examples=500, deadline=None)
@given(st.text(st.sampled_from("ABCXYZabcxyz0189_-"), min_size=1, max_size=256))
def test_case_43_any_other_token_is_refused(token: str) -> None:
    try:
        list_page(ListQuery(next_token=token), FEW, ANYBODY)
    except ProblemError as problem:
        assert problem.status_code == 422
    else:
        raise AssertionError(token)


@settings(max_examples=500, deadline=None)
@given(st.datetimes(timezones=st.just(UTC)))
def test_any_time_can_be_asked_for(moment: datetime) -> None:
    text = moment.isoformat() if 1 < moment.year < 9999 else "0001-01-01T00:00:00+14:00"
    for query in ({"created_after": text}, {"created_before": text}):
        page, _ = list_page(ListQuery.model_validate(query), FEW, ANYBODY)
        assert len(page) in (0, 2)
