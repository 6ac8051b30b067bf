"""Which tokens open the gate, and what happens while the issuer is down."""

import asyncio
import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from jwt.algorithms import RSAAlgorithm
from starlette.datastructures import Headers

from api.auth import Caller, TokenGate, build_gate
from api.doors import UnavailableError
from api.errors import ProblemError
from api.issuer import Issuer, KeySetError, parse_key_set
from api.tenants import build_tenant
from api.tokens import MAX_CHARS, TokenError, Tokens
from tests.support.api_fakes import some_settings
from tests.support.tokens import OIDC, a_forged_token, a_jwk, a_key_set, a_token, public_pem, some_claims

URL = OIDC["oidc_jwks_url"]
NOW = datetime.now(UTC)


class FakeIssuer:
    """Answers key sets in order, the last one for ever; None is an issuer that is down."""

    def __init__(self, *answers: bytes | None) -> None:
        self.answers = list(answers or [a_key_set()])
        self.calls = 0
        self.now = NOW

    def __call__(self, url: str) -> bytes:
        assert url == URL
        self.calls += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer is None:
            raise ConnectionRefusedError
        return answer

    def pass_time(self, **time: float) -> None:
        self.now += timedelta(**time)


def a_reader(issuer: Callable[[str], bytes] | None = None) -> Tokens:
    fetch = issuer or FakeIssuer()
    clock = (lambda: fetch.now) if isinstance(fetch, FakeIssuer) else (lambda: NOW)
    settings = some_settings(**OIDC)
    return Tokens(settings, Issuer(URL, settings.oidc_algorithms, clock, fetch))


def read(reader: Tokens, token: str) -> str:
    return asyncio.run(reader.read(token))


def shifted(**seconds: float) -> dict[str, object]:
    return some_claims(**{name: datetime.now(UTC).timestamp() + value for name, value in seconds.items()})


def test_the_subject_of_a_good_token_is_read() -> None:
    assert read(a_reader(), a_token()) == "alice"
    assert read(a_reader(), a_token(some_claims(nbf=None, aud=["other", "transcription"]))) == "alice"


def test_clocks_may_differ_by_less_than_the_leeway() -> None:
    assert read(a_reader(), a_token(shifted(exp=-20))) == "alice"
    assert read(a_reader(), a_token(shifted(nbf=20, iat=20))) == "alice"


REFUSED = {
    "expired": lambda: a_token(shifted(exp=-60)),
    "not_yet_valid": lambda: a_token(shifted(nbf=90)),
    "issued_in_the_future": lambda: a_token(shifted(iat=90)),
    "never_expires": lambda: a_token(some_claims(exp=None)),
    "exp_infinite": lambda: a_token(some_claims(exp=float("inf"))),
    "without_iat": lambda: a_token(some_claims(iat=None)),
    "without_sub": lambda: a_token(some_claims(sub=None)),
    "empty_sub": lambda: a_token(some_claims(sub="")),
    "wrong_aud": lambda: a_token(some_claims(aud="other")),
    "without_aud": lambda: a_token(some_claims(aud=None)),
    "wrong_iss": lambda: a_token(some_claims(iss="https://id.example.com.evil.test")),
    "without_iss": lambda: a_token(some_claims(iss=None)),
    "alg_none": lambda: a_forged_token({"alg": "none", "kid": "first"}),
    "alg_None": lambda: a_forged_token({"alg": "None", "kid": "first"}),
    "alg_missing": lambda: a_forged_token({"kid": "first"}),
    "alg_list": lambda: a_forged_token({"alg": ["ES256"], "kid": "first"}),
    "hs256_with_the_public_key": lambda: a_forged_token({"alg": "HS256", "kid": "first"}, public_pem()),
    "es256_label_on_hmac": lambda: a_forged_token({"alg": "ES256", "kid": "first"}, public_pem()),
    "another_key": lambda: a_token(key="stranger", kid="first"),
    "kid_path": lambda: a_token(kid="../../../../dev/null"),
    "kid_url": lambda: a_token(kid="https://evil.test/keys"),
    "kid_sql": lambda: a_token(kid="' UNION SELECT 'x"),
    "kid_missing": lambda: a_forged_token({"alg": "ES256"}, b"x"),
    "kid_list": lambda: a_forged_token({"alg": "ES256", "kid": ["first"]}, b"x"),
    "jku": lambda: a_token(key="stranger", jku="https://evil.test/keys"),
    "x5u": lambda: a_token(key="stranger", x5u="https://evil.test/keys"),
    "jwk_inside": lambda: a_token(key="stranger", jwk=a_jwk("stranger")),
    "crit_unknown": lambda: a_token(crit=["x"], x=1),
    "b64_false": lambda: a_token(b64=False, crit=["b64"]),
    "empty": lambda: ".",
    "two_parts": lambda: a_token().rpartition(".")[0],
    "changed": lambda: a_token().replace(".e", ".f", 1),
    "no_signature": lambda: a_token().rpartition(".")[0] + ".",
    "not_base64": lambda: "\xff.é.ÿ",
    "nested_header": lambda: a_forged_token({"alg": "ES256"}, b"x").replace("ey", "W1tb" * 3000, 1),
    "too_long": lambda: "a" * (MAX_CHARS + 1),
}


@pytest.mark.parametrize("make", REFUSED.values(), ids=REFUSED)
def test_case_41_a_token_that_does_not_hold_opens_nothing(make: Callable[[], str]) -> None:
    issuer = FakeIssuer()
    gate = TokenGate(a_reader(issuer))
    with pytest.raises(ProblemError) as caught:
        asyncio.run(gate.admit(Headers({"authorization": f"Bearer {make()}"})))
    assert (caught.value.status_code, caught.value.headers) == (401, {"WWW-Authenticate": "Bearer"})
    assert issuer.calls <= 1


def test_a_token_may_be_long_and_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    assert MAX_CHARS == 16 * 1024
    token = a_token(some_claims(groups=["a" * 11_000]))
    monkeypatch.setattr("api.tokens.MAX_CHARS", len(token))
    assert read(a_reader(), token) == "alice"
    monkeypatch.setattr("api.tokens.MAX_CHARS", len(token) - 1)
    issuer = FakeIssuer()
    with pytest.raises(TokenError, match="too long"):
        read(a_reader(issuer), token)
    assert issuer.calls == 0


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")  # that is what the test is about
@pytest.mark.parametrize(("bits", "is_taken"), [(1024, False), (2048, True)])
def test_a_key_of_the_issuer_that_is_too_short_opens_nothing(bits: int, is_taken: bool) -> None:
    key = generate_private_key(65537, bits)
    jwk = json.loads(RSAAlgorithm.to_jwk(key.public_key())) | {"kid": "rsa"}
    settings = some_settings(**OIDC | {"oidc_algorithms": ("RS256",)})
    issuer = FakeIssuer(a_key_set(jwk))
    reader = Tokens(settings, Issuer(URL, settings.oidc_algorithms, lambda: issuer.now, issuer))
    token = jwt.encode(some_claims(), key, "RS256", headers={"kid": "rsa"})
    if is_taken:
        assert read(reader, token) == "alice"
        return
    with pytest.raises(TokenError, match="InvalidKeyError"):
        read(reader, token)


def test_every_cause_has_the_same_answer() -> None:
    gate = TokenGate(a_reader())
    details = set()
    for make in REFUSED.values():
        with pytest.raises(ProblemError) as caught:
            asyncio.run(gate.admit(Headers({"authorization": f"Bearer {make()}"})))
        details.add((caught.value.detail, caught.value.code))
    assert len(details) == 1


def test_neither_token_nor_its_words_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    token = a_token(some_claims(aud="other-audience"), jku="https://evil.test/keys")
    with pytest.raises(ProblemError):
        asyncio.run(TokenGate(a_reader()).admit(Headers({"authorization": f"Bearer {token}"})))
    logged = " ".join(str(vars(record)) for record in caplog.records)
    assert "InvalidAudienceError" in logged
    assert not any(secret in logged for secret in (token, "other-audience", "evil.test", "alice"))


def test_the_subject_is_the_tenant() -> None:
    gate = TokenGate(a_reader())
    for subject in ("alice", "auth0|6f1e"):
        caller = asyncio.run(gate.admit(Headers({"authorization": f"bearer {a_token(some_claims(sub=subject))}"})))
        assert caller == Caller(build_tenant(subject), is_confined=True)


def test_the_key_set_is_fetched_once_in_five_minutes() -> None:
    issuer = FakeIssuer()
    reader = a_reader(issuer)
    for _ in range(3):
        read(reader, a_token())
        issuer.pass_time(seconds=99)
    assert issuer.calls == 1
    issuer.pass_time(seconds=10)
    read(reader, a_token())
    assert issuer.calls == 2


def test_a_new_key_is_found_by_fetching_again() -> None:
    issuer = FakeIssuer(a_key_set(), a_key_set(a_jwk("second")))
    reader = a_reader(issuer)
    read(reader, a_token())
    issuer.pass_time(seconds=31)
    assert read(reader, a_token(key="second")) == "alice"
    with pytest.raises(TokenError):
        read(reader, a_token())


def test_unknown_keys_make_one_fetch_in_thirty_seconds() -> None:
    issuer = FakeIssuer()
    reader = a_reader(issuer)
    read(reader, a_token())
    for number in range(40):
        issuer.pass_time(seconds=1)
        with pytest.raises(TokenError):
            read(reader, a_token(kid=f"unknown-{number}"))
    assert issuer.calls == 2


def test_nobody_enters_while_no_key_set_could_ever_be_had() -> None:
    issuer = FakeIssuer(None, a_key_set())
    reader = a_reader(issuer)
    for _ in range(3):
        with pytest.raises(UnavailableError):
            read(reader, a_token())
    assert issuer.calls == 1
    issuer.pass_time(seconds=6)
    assert read(reader, a_token()) == "alice"


def test_an_old_set_serves_for_an_hour_while_the_issuer_is_down() -> None:
    issuer = FakeIssuer(a_key_set(), None)
    reader = a_reader(issuer)
    read(reader, a_token())
    issuer.pass_time(minutes=59)
    assert read(reader, a_token()) == "alice"
    with pytest.raises(UnavailableError):
        read(reader, a_token(kid="unknown"))
    issuer.pass_time(minutes=2)
    with pytest.raises(UnavailableError):
        read(reader, a_token())


@pytest.mark.parametrize("answer", [b"", b"[]", b"{}", b'{"keys": []}', b'{"keys": ["x"]}', b"[" * 100_000, b"<html>"])
def test_an_answer_that_is_no_key_set_is_as_none(answer: bytes) -> None:
    with pytest.raises(KeySetError):
        parse_key_set(answer, ["ES256"])
    with pytest.raises(UnavailableError):
        read(a_reader(FakeIssuer(answer)), a_token())


def test_only_public_signing_keys_of_the_accepted_algorithms_are_kept() -> None:
    unfit = [
        a_jwk("enc", use="enc"),
        a_jwk("other", alg="ES384"),
        a_jwk("private", d="AAAA"),
        {**a_jwk("nameless"), "kid": None},
        {**a_jwk("listed"), "kid": ["x"]},
        {"kty": "oct", "k": "c2VjcmV0", "kid": "secret", "alg": "HS256"},
        {"kty": "oct", "k": "c2VjcmV0", "kid": "plain-secret"},
        {"kty": "EC"},
        {"kty": 1, "kid": "odd"},
    ]
    assert set(parse_key_set(a_key_set(*unfit, a_jwk()), ["ES256"])) == {("first", "ES256")}


def test_many_at_once_share_one_fetch_and_none_waits_for_an_issuer_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.issuer.FETCH_SECONDS", 0.05)
    answered, calls = threading.Event(), []

    def hang(url: str) -> bytes:
        calls.append(url)
        answered.wait(5)
        return a_key_set()

    async def ask_together() -> list[object]:
        reader = a_reader(hang)
        early = await asyncio.gather(*(reader.read(a_token()) for _ in range(20)), return_exceptions=True)
        answered.set()
        late = await reader._issuer._fetching
        return [*early, late, await reader.read(a_token())]

    *early, _, late = asyncio.run(ask_together())
    assert {type(outcome) for outcome in early} == {UnavailableError}
    assert (late, len(calls)) == ("alice", 1)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://id.example.com/keys", "data:,{}", "id.example.com"])
def test_a_key_set_that_is_not_on_the_web_stops_the_start(url: str) -> None:
    with pytest.raises(ValueError, match="https://"):
        build_gate(some_settings(**OIDC | {"oidc_jwks_url": url}), lambda: NOW)
