"""The only door to receivers: one try of one callback, signed, bounded, without redirects. Called by couriers."""

import asyncio
import ssl
from collections.abc import Callable, Mapping
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
from crds.transcriptionjob import Failure, State, Transcription

CONNECT_SECONDS = 5
TRY_SECONDS = 20
MAX_RESPONSE_BYTES = 64 * 1024
NO_ANSWER = (
    httpx2.HTTPError,
    httpx2.InvalidURL,
    httpx2.StreamError,
    OSError,
    ValueError,
    ArithmeticError,
    LookupError,
    TypeError,
    RuntimeError,
    ExceptionGroup,
)
"""All that sending has raised or may raise: addresses come from users, answers from anybody."""


class Outbox:
    """Sends callbacks; keeps nothing, the delivery record is in the resource."""

    def __init__(
        self,
        settings: ControllerSettings,
        results: Results,
        clock: Callable[[], datetime],
        verify: ssl.SSLContext | bool = True,
    ) -> None:
        self._url = settings.callback_url
        self._secret = settings.callback_secret
        self._results = results
        self._clock = clock
        self._http = httpx2.AsyncClient(
            follow_redirects=False,
            trust_env=False,
            timeout=httpx2.Timeout(TRY_SECONDS, connect=CONNECT_SECONDS),
            verify=verify,
        )

    async def close(self) -> None:
        """Let go of the connections."""
        await self._http.aclose()

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
        url = transcription.spec.callback.url if transcription.spec.callback else self._url or ""
        return await self._post(url, record.id, body)

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

    async def _post(self, url: str, message_id: str, body: bytes) -> Report:
        headers = {"Content-Type": "application/json", "User-Agent": "transcription-controller"}
        headers |= self._sign(message_id, body)
        try:
            async with (
                asyncio.timeout(TRY_SECONDS),
                self._http.stream("POST", url, content=body, headers=headers) as response,
            ):
                await _read_capped(response)
                return Report(message_id, self._clock(), response.status_code, self._parse_pause(response.headers))
        except NO_ANSWER:
            return Report(message_id, self._clock())

    def _sign(self, message_id: str, body: bytes) -> dict[str, str]:
        if self._secret is None:
            return {callback.ID_HEADER: message_id}
        return callback.sign(self._secret.get_secret_value(), message_id, self._clock(), body)

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
