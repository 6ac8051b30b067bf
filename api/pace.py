"""How much of a body may come, and how slowly: it may take long, but neither stand still nor trickle.

Used by receive and openai.form.
"""

import asyncio
from dataclasses import dataclass

from starlette.types import Message, Receive

from api.bodies import too_large
from api.errors import Code, ProblemError


@dataclass(frozen=True, slots=True)
class Pace:
    """`grace_seconds` may pass before the pace counts; `total_seconds` is the end whatever the pace."""

    idle_seconds: float = 30
    bytes_per_second: float = 64 * 1024
    grace_seconds: float = 120
    total_seconds: float = 30 * 60


def cap(receive: Receive, limit_bytes: int, pace: Pace) -> Receive:
    """The same messages, until they hold more than the limit or come too slowly."""
    now = asyncio.get_running_loop().time
    begin, taken = now(), 0

    async def receive_capped() -> Message:
        nonlocal taken
        allowed = min(pace.total_seconds, pace.grace_seconds + taken / pace.bytes_per_second)
        try:
            async with asyncio.timeout(min(pace.idle_seconds, begin + allowed - now())):
                message = await receive()
        except TimeoutError as error:
            detail = "The body did not arrive in time: send it again."
            raise ProblemError(408, Code.REQUEST_TIMEOUT, detail).and_close() from error
        taken += len(message.get("body", b""))
        if taken > limit_bytes:
            raise too_large(limit_bytes)
        return message

    return receive_capped
