"""Who may call: gates, tenants, and the step before every route of users."""

import asyncio
import hashlib
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import APIRouter, FastAPI
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel
from starlette.datastructures import Headers

from api.admit import AdmittedRoute, Called
from api.auth import Caller, Gate, OpenGate, build_gate
from api.doors import UnavailableError
from api.errors import install_handlers
from api.keys import KeyFileError
from api.metrics import Metrics
from api.rates import FAILURES, Rates
from api.tenants import build_tenant, is_plain_tenant
from api.wiring import Parts, build_storage
from tests.support.api_fakes import NOW, SECRET, FakeStore, FakeUploads, a_row, some_settings

TENANT = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
SIGNED = {"webhook-id": "1", "webhook-timestamp": "1", "webhook-signature": "v1,x"}


class Sent(BaseModel):
    text: str


class DownGate:
    async def admit(self, _: Headers) -> Caller:
        raise UnavailableError


@pytest.fixture
def key_gate(tmp_path: Path) -> Gate:
    digest = hashlib.sha256(b"key-of-alice").hexdigest()
    (tmp_path / "keys").write_text(f"alice sha256:{digest}\n")
    chosen = some_settings(auth_mode="api-key", keys_file=tmp_path / "keys", callback_secret=SECRET)
    return build_gate(chosen, lambda: NOW)


def an_app(gate: Gate, rate: int = 0) -> FastAPI:
    router = APIRouter(route_class=AdmittedRoute)

    @router.get("/whoami")
    async def whoami(caller: Called) -> str:
        return caller.tenant

    @router.post("/say")
    async def say(sent: Sent, caller: Called) -> str:
        return f"{caller.tenant}: {sent.text}"

    app = FastAPI()
    app.include_router(router)
    install_handlers(app)
    chosen, store = some_settings(), FakeStore()
    parts: dict[str, Any] = {"gate": gate, "rates": Rates(rate, 10, lambda: 1000.0), "now": lambda: NOW}
    app.state.parts = Parts(chosen, store, FakeUploads(), Metrics(), build_storage(chosen), **parts)
    return app


async def _call(app: FastAPI, calls: list[dict[str, Any]]) -> list[httpx2.Response]:
    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://api") as client:
        return [await client.request(**({"method": "GET", "url": "/whoami"} | call)) for call in calls]


def call(app: FastAPI, headers: dict[str, str] | None = None, times: int = 1, **parts: Any) -> httpx2.Response:
    """The last answer."""
    return asyncio.run(_call(app, [{"headers": headers, **parts}] * times))[-1]


@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer x"}, {"authorization": "\xff"}, SIGNED])
def test_everybody_is_anonymous_and_sees_all_when_nothing_is_asked_for(headers: dict[str, str]) -> None:
    caller = asyncio.run(OpenGate().admit(Headers(headers)))
    assert caller == Caller("anonymous", is_confined=False)
    assert caller.may_see(replace(a_row(), tenant="alice"))


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer key-of-alice"},
        {"Authorization": "bearer  key-of-alice"},
        {"X-API-Key": "key-of-alice"},
    ],
)
def test_a_key_opens_for_its_tenant(key_gate: Gate, headers: dict[str, str]) -> None:
    assert call(an_app(key_gate), headers).json() == "alice"


def test_a_confined_caller_sees_its_own_rows_alone() -> None:
    alice = Caller("alice", is_confined=True)
    assert alice.may_see(replace(a_row(), tenant="alice"))
    assert not alice.may_see(replace(a_row(), tenant="bob"))
    assert not alice.may_see(a_row())


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer "},
        {"Authorization": "Basic a2V5LW9mLWFsaWNl"},
        {"Authorization": "key-of-alice"},
        {"Authorization": "Bearer key-of-bob", "X-API-Key": "key-of-alice"},
        {"X-API-Key": ""},
        {"X-API-Key": "alice"},
        SIGNED | {"X-API-Key": "wrong"},
    ],
)
def test_case_40_who_shows_no_good_key_is_refused_alike(key_gate: Gate, headers: dict[str, str]) -> None:
    answer = call(an_app(key_gate), headers)
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "unauthorized"
    assert answer.json()["detail"] == "Send a valid credential in the header Authorization: Bearer."


def test_case_44_a_workers_signature_opens_nothing_of_users(key_gate: Gate) -> None:
    answer = call(an_app(key_gate), SIGNED)
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


def test_case_45_very_many_wrong_keys_are_too_many(key_gate: Gate) -> None:
    app = an_app(key_gate)
    answer = call(app, {"X-API-Key": "wrong"}, times=FAILURES)
    assert answer.status_code == 401
    answer = call(app, {"X-API-Key": "wrong"})
    assert (answer.status_code, answer.json()["code"]) == (429, "rate_limited")
    assert int(answer.headers["retry-after"]) >= 1


def test_no_credential_is_asked_for_before_the_body_is_read(key_gate: Gate) -> None:
    app = an_app(key_gate)
    assert call(app, method="POST", url="/say", content=b"{").status_code == 401
    told = call(app, {"X-API-Key": "key-of-alice"}, method="POST", url="/say", json={"text": "hello"})
    assert told.json() == "alice: hello"


@pytest.mark.parametrize(("size", "connection"), [(99_999, None), (100_000, "close")])
def test_a_long_body_of_one_that_may_not_call_is_not_waited_for(
    key_gate: Gate, size: int, connection: str | None
) -> None:
    answer = call(an_app(key_gate), method="POST", url="/say", content=b" " * size)
    assert (answer.status_code, answer.headers.get("connection")) == (401, connection)


def test_who_calls_too_often_is_told_to_wait() -> None:
    app = an_app(OpenGate(), rate=3)
    assert call(app, times=3).status_code == 200
    answer = call(app)
    assert (answer.status_code, answer.json()["code"]) == (429, "rate_limited")
    assert int(answer.headers["retry-after"]) >= 1


def test_a_gate_that_cannot_tell_answers_unavailable_and_counts_no_failure() -> None:
    answer = call(an_app(DownGate()), times=FAILURES + 1)
    assert answer.status_code == 503
    assert answer.headers["retry-after"]


def test_a_broken_keys_file_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("alice\n")
    chosen = some_settings(auth_mode="api-key", keys_file=tmp_path / "keys", callback_secret=SECRET)
    with pytest.raises(KeyFileError, match="line 1"):
        build_gate(chosen, lambda: NOW)


def test_the_gate_is_open_by_default() -> None:
    assert isinstance(build_gate(some_settings(), lambda: NOW), OpenGate)


@pytest.mark.parametrize("subject", ["alice", "a", "A.b_c-d", "a" * 63, "system", "0", "a..b"])
def test_a_plain_subject_is_the_tenant(subject: str) -> None:
    assert build_tenant(subject) == subject


@pytest.mark.parametrize(
    ("subject", "begin"),
    [
        ("anonymous", "anonymous-"),
        ("auth0|6f1e", "auth0-6f1e-"),
        ("alice@example.com", "alice-example.com-"),
        ("system:serviceaccount:a:b", "system-serviceaccount-a-b-"),
        ("../../etc", "etc-"),
        ("..", "subject-"),
        ("한국", "subject-"),
        ("a\n", "a-"),
        ("a" * 64, "a" * 46 + "-"),
        ("alice-0123456789abcdef", "alice-0123456789abcdef-"),
        ("\ud800", "subject-"),
    ],
)
def test_any_other_subject_is_cleaned_and_carries_a_digest(subject: str, begin: str) -> None:
    tenant = build_tenant(subject)
    assert re.fullmatch(re.escape(begin) + "[0-9a-f]{16}", tenant)
    assert not is_plain_tenant(tenant)


@settings(max_examples=60, deadline=None)
@given(st.text(min_size=1, max_size=80), st.text(min_size=1, max_size=80))
@example("alice@x", "alice-x")
@example("alice@x", build_tenant("alice@x"))
@example("anonymous", build_tenant("anonymous"))
def test_every_tenant_fits_a_label_and_no_two_subjects_share_one(one: str, other: str) -> None:
    assert TENANT.fullmatch(build_tenant(one))
    assert (build_tenant(one) == build_tenant(other)) is (one == other)
