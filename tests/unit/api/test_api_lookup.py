"""Whose job it is: a foreign one is as an unknown one, in the answer and in what it costs."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from api.row import Row
from tests.support.api_fakes import Caller, FakeStore, TenantGate, a_result, a_row

BASE = "/api/upload-video"
FAILED = {"state": "Failed", "attempt": 1, "failure": {"reason": "NoAudio", "message": "No.", "retryable": False}}
DONE = {"state": "Succeeded", "attempt": 1, "result": a_result()}
READS = ("GET status/{}", "GET result/{}", "GET transcripts/{}.json", "GET jobs/{}/events")
ACTS = (
    "POST jobs/{}/cancel",
    "POST jobs/{}/retry",
    "POST jobs/{}/callback/redeliver",
    "DELETE jobs/{}",
    "DELETE jobs/{}?outputs=true",
)


@pytest.fixture
def client(client: Caller) -> Iterator[Caller]:
    """Its callers are tenants; those of other tests are not."""
    state = client.app.state
    before = state.parts
    state.parts = replace(before, gate=TenantGate())
    yield client
    state.parts = before


def bobs(name: str = "bobs-job") -> Row:
    return replace(a_row(name, 7, DONE), tenant="bob")


def send(client: Caller, call: str, name: str, tenant: str) -> tuple[int, bytes]:
    method, path = call.format(name).split()
    answer = client.request(method, f"{BASE}/{path}", headers={"x-api-key": tenant})
    return answer.status_code, answer.content


@pytest.mark.parametrize("call", READS + ACTS)
@pytest.mark.parametrize("is_deleting", [False, True])
def test_case_42_a_foreign_job_costs_the_look_of_an_unknown_one(
    client: Caller, store: FakeStore, call: str, is_deleting: bool
) -> None:
    """One look for a name as long, and never for the job itself: that would answer more bytes."""
    store.rows.see(replace(bobs(), is_deleting=is_deleting))
    foreign = send(client, call, "bobs-job", "alice")
    asked, store.asked = store.asked, []
    assert foreign == send(client, call, "eves-job", "alice")
    assert foreign[0] == 404
    assert store.asked == [("read", "eves-job")]
    assert [(kind, len(name)) for kind, name in asked] == [("read", len("eves-job"))]
    assert asked != [("read", "bobs-job")]
    assert store.rows.get("bobs-job") == replace(bobs(), is_deleting=is_deleting)


@pytest.mark.parametrize("call", [READS[0], ACTS[3]])
def test_a_foreign_job_that_is_not_in_the_cache_is_not_found_after_one_look(
    client: Caller, store: FakeStore, call: str
) -> None:
    store.unseen["bobs-job"] = bobs()
    assert send(client, call, "bobs-job", "alice")[0] == 404
    assert store.asked == [("read", "bobs-job")]


def test_ones_own_job_is_read_from_the_cache_and_past_it_before_an_act(client: Caller, store: FakeStore) -> None:
    store.rows.see(replace(a_row("bobs-job", 7, FAILED), tenant="bob"))
    assert send(client, READS[0], "bobs-job", "bob")[0] == 200
    assert store.asked == []
    assert send(client, ACTS[1], "bobs-job", "bob")[0] == 202
    assert store.asked == [("read", "bobs-job"), ("write", "bobs-job")]
