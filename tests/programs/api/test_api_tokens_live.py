"""The key set over HTTP: what is taken, what is refused, and how long it may last."""

import asyncio
import time

import pytest

from api.doors import UnavailableError
from api.issuer import MAX_BYTES, Issuer, fetch
from api.settings import ApiSettings
from api.tokens import Tokens
from tests.support.api_fakes import NOW, some_settings
from tests.support.loopback import Answer, Loopback
from tests.support.tokens import OIDC, a_jwk, a_key_set, a_token


def a_reader(url: str) -> Tokens:
    settings: ApiSettings = some_settings(**OIDC | {"oidc_jwks_url": url})
    return Tokens(settings, Issuer(url, settings.oidc_algorithms, lambda: NOW, fetch))


def test_many_tokens_at_once_cost_one_fetch() -> None:
    async def story() -> None:
        async with Loopback(Answer(body=a_key_set())) as issuer:
            reader = a_reader(f"{issuer.url}/keys")
            subjects = await asyncio.gather(*(reader.read(a_token()) for _ in range(50)))
            assert set(subjects) == {"alice"}
            assert [(request.verb, request.path) for request in issuer.requests] == [("GET", "/keys")]

    asyncio.run(story())


@pytest.mark.parametrize(
    "answer",
    [
        Answer(500),
        Answer(404, a_key_set()),
        Answer(body=b"<html>"),
        Answer(body=a_key_set(a_jwk(), {"kty": "x" * MAX_BYTES})),
        Answer(body=a_key_set(), headers={"Content-Encoding": "gzip", "Content-Length": "9"}),
    ],
    ids=["error", "absent", "no_json", "too_large", "cut"],
)
def test_an_answer_that_is_no_key_set_lets_nobody_in(answer: Answer) -> None:
    async def story() -> None:
        async with Loopback(answer) as issuer:
            with pytest.raises(UnavailableError):
                await a_reader(issuer.url).read(a_token())

    asyncio.run(story())


@pytest.mark.parametrize("place", ["http://127.0.0.1:1/keys", "file:///etc/passwd", "/other"])
def test_no_redirect_is_followed(place: str) -> None:
    async def story() -> None:
        async with Loopback(Answer(302, headers={"Location": place}), Answer(body=a_key_set())) as issuer:
            with pytest.raises(UnavailableError):
                await a_reader(issuer.url).read(a_token())
            assert len(issuer.requests) == 1

    asyncio.run(story())


def test_an_issuer_that_hangs_holds_neither_the_loop_nor_the_caller_up() -> None:
    async def story() -> float:
        async with Loopback(Answer(hangs=True)) as issuer:
            reader = a_reader(issuer.url)
            waiting = asyncio.create_task(reader.read(a_token()))
            longest, began = 0.0, time.monotonic()
            while not waiting.done():
                turn = time.monotonic()
                await asyncio.sleep(0.005)
                longest = max(longest, time.monotonic() - turn)
                assert time.monotonic() - began < 3
            with pytest.raises(UnavailableError):
                await waiting
            with pytest.raises(UnavailableError):
                await asyncio.wait_for(reader.read(a_token()), 0.2)
            return longest

    assert asyncio.run(story()) < 0.5


def test_an_issuer_that_is_not_there_lets_nobody_in() -> None:
    with pytest.raises(UnavailableError):
        asyncio.run(a_reader("http://127.0.0.1:1/keys").read(a_token()))
