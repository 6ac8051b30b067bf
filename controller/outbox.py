"""The only door to receivers: one try of one callback, signed, bounded, without redirects. Called by couriers.

A name is resolved once, its addresses are judged, and the connection goes to one of those: what DNS says a moment
later changes nothing. TLS still asks for the name. No connection is kept, because the next name may have the same
address.
"""

import asyncio
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2

from controller.conditions import final_state
from controller.delivery import Report
from controller.errors import DeniedError, MissingError, RefusedError
from controller.results import Results
from controller.settings import ControllerSettings
from crds import callback
from crds.addresses import Allowed, judge
from crds.transcriptionjob import Failure, State, Transcription

CONNECT_SECONDS = 5
TRY_SECONDS = 20
MAX_RESPONSE_BYTES = 64 * 1024
MAX_ADDRESSES = 4
DEFAULT_PORTS = {"http": 80, "https": 443}
NO_ANSWER = (
    httpx2.TransportError,
    httpx2.InvalidURL,
    TimeoutError,
    socket.gaierror,
    UnicodeError,
)
"""What receivers and URLs are expected to do: UnicodeError is a name that no resolver takes."""

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]

logger = logging.getLogger(__name__)


async def resolve(host: str, port: int) -> Sequence[str]:
    """The addresses of a host, however it is spelt."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class ForbiddenError(Exception):
    """The URL leads inside, or to a port or with a user name that no receiver has; the message says which."""


class Outbox:
    """Sends callbacks; keeps nothing, the delivery record is in the resource."""

    def __init__(
        self,
        settings: ControllerSettings,
        results: Results,
        clock: Callable[[], datetime],
        verify: ssl.SSLContext | bool = True,
        resolve: Resolve = resolve,
    ) -> None:
        self._settings = settings
        self._results = results
        self._clock = clock
        self._resolve = resolve
        self._http = httpx2.AsyncClient(
            follow_redirects=False,
            trust_env=False,
            timeout=httpx2.Timeout(TRY_SECONDS, connect=CONNECT_SECONDS),
            limits=httpx2.Limits(max_keepalive_connections=0),
            verify=verify,
        )

    async def close(self) -> None:
        """Let go of the connections."""
        await self._http.aclose()

    def find_url(self, transcription: Transcription) -> str:
        """Where its callback goes; empty when nobody is told."""
        return transcription.spec.callback.url if transcription.spec.callback else self._settings.callback_url or ""

    async def send(self, transcription: Transcription) -> Report:
        """Try once; TransientError when S3 is away, which costs no try."""
        record = transcription.status.callback
        if record is None:
            raise RefusedError("there is no callback to send")
        try:
            body = await self._build_body(transcription)
        except (MissingError, RefusedError):
            return Report(record.id, self._clock(), is_hopeless=True)
        except DeniedError:
            return Report(record.id, self._clock())
        return await self._try(transcription, record.id, body)

    async def _build_body(self, transcription: Transcription) -> bytes:
        status, metadata = transcription.status, transcription.spec.metadata
        if final_state(status) is State.CANCELLED:
            error = {"code": "Cancelled", "message": status.message, "retryable": False}
            return callback.render_payload(callback.build_ended(transcription.name, "cancelled", error, metadata))
        if status.failure is not None:
            error = _build_error(status.failure)
            return callback.render_payload(callback.build_ended(transcription.name, "failed", error, metadata))
        if status.result is None:
            raise MissingError("there is no result")
        transcript = await self._results.read(status.result)
        return _splice(callback.build_completed(transcription.name, {}, metadata), transcript)

    async def _try(self, transcription: Transcription, message_id: str, body: bytes) -> Report:
        """Whatever happens is a try: the delivery record goes on, and ends."""
        facts = {"transcription": transcription.path, "callback": message_id}
        url = self.find_url(transcription)
        try:
            async with asyncio.timeout(TRY_SECONDS):
                return await self._post(url, message_id, body)
        except ForbiddenError as error:
            logger.warning("callback refused", extra=facts | {"reason": str(error)})
        except NO_ANSWER:
            pass
        except Exception:
            logger.exception("callback broke down", extra=facts)
        return Report(message_id, self._clock())

    async def _post(self, url: str, message_id: str, body: bytes) -> Report:
        target = httpx2.URL(url)
        headers = {"Content-Type": "application/json", "User-Agent": "transcription-controller"}
        headers |= {"Host": target.netloc.decode(), **self._sign(message_id, body)}
        fault: httpx2.TransportError = httpx2.ConnectError("the name has no address")
        for address in await self._find_addresses(target, Allowed.parse(self._settings.allowed_hosts(url))):
            try:
                return await self._call(target, address, headers, body)
            except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
                fault = error
        raise fault

    async def _find_addresses(self, target: httpx2.URL, allowed: Allowed) -> Sequence[str]:
        host, port = target.raw_host.decode(), target.port or DEFAULT_PORTS.get(target.scheme, 0)
        addresses = await self._resolve(host, port) if port and host else ()
        reason = judge(host, port, addresses, allowed)
        if target.userinfo and not allowed.has_name(host):
            reason = "user name"
        if reason:
            raise ForbiddenError(reason)
        return addresses[:MAX_ADDRESSES]

    async def _call(self, target: httpx2.URL, address: str, headers: Mapping[str, str], body: bytes) -> Report:
        url, name = target.copy_with(host=address), target.raw_host.decode().removesuffix(".")
        extensions = {"sni_hostname": name}
        async with self._http.stream("POST", url, content=body, headers=headers, extensions=extensions) as response:
            await _read_capped(response)
            pause = self._parse_pause(response.headers)
            return Report(headers[callback.ID_HEADER], self._clock(), response.status_code, pause)

    def _sign(self, message_id: str, body: bytes) -> dict[str, str]:
        secrets = self._settings.secrets
        if not secrets:
            return {callback.ID_HEADER: message_id}
        return callback.sign(secrets, message_id, self._clock(), body)

    def _parse_pause(self, headers: Mapping[str, str]) -> timedelta | None:
        text = headers.get("retry-after", "").strip()
        if text.isascii() and text.isdigit() and len(text) < 9:
            return timedelta(seconds=int(text))
        try:
            return max(parsedate_to_datetime(text) - self._clock(), timedelta())
        except (TypeError, ValueError):
            return None


def _build_error(failure: Failure) -> dict[str, Any]:
    return {"code": failure.reason, "message": failure.message, "retryable": failure.retryable}


def _splice(payload: Mapping[str, Any], transcript: bytes) -> bytes:
    """The stored bytes as `result`, the last of the payload: parsing hours of speech would hold up everything else."""
    return callback.render_payload(payload).removesuffix(b"{}}") + transcript + b"}"


async def _read_capped(response: httpx2.Response) -> None:
    """Read the answer so that the connection can be used again; leave off when it is long."""
    seen = 0
    async for chunk in response.aiter_raw():
        seen += len(chunk)
        if seen > MAX_RESPONSE_BYTES:
            return
