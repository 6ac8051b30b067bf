"""The parts of a running API, and how handlers get at them. Filled by app."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated

from fastapi import Depends, Request

from api.auth import Gate
from api.doors import Store, Uploads
from api.metrics import Metrics
from api.rates import Rates
from api.seats import Seats
from api.settings import ApiSettings
from api.shown import Shown
from api.sources import Storage

RECEIVERS = 4
UPLOADERS = 4
SUBMIT_SECONDS = 1.9
"""The rest of two seconds is for reading the request and writing the answer."""


@dataclass(frozen=True, slots=True)
class Parts:
    """`receiving` bounds how many callbacks are held at once, `uploading` how many files;

    `parsing` lets one document at a time unfold in memory. `submitting` counts the requests for each id that is
    being made.
    """

    settings: ApiSettings
    store: Store
    uploads: Uploads
    metrics: Metrics
    storage: Storage
    gate: Gate
    rates: Rates
    now: Callable[[], datetime]
    shown: Shown = field(default_factory=Shown)
    receiving: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(RECEIVERS))
    uploading: Seats = field(default_factory=lambda: Seats(UPLOADERS))
    parsing: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(1))
    submitting: dict[str, int] = field(default_factory=dict)
    submit_seconds: float = SUBMIT_SECONDS


def build_storage(settings: ApiSettings) -> Storage:
    """Where uploads live, as the settings say."""
    endpoints = tuple(e for e in (settings.public_endpoint, settings.s3_endpoint) if e)
    return Storage(settings.s3_bucket, settings.public_endpoint, endpoints)


def parts_of(request: Request) -> Parts:
    """The parts of the app that a request came to."""
    parts: Parts = request.app.state.parts
    return parts


async def _wire(request: Request) -> Parts:
    """Not a plain function: FastAPI would call that on another thread."""
    return parts_of(request)


Wired = Annotated[Parts, Depends(_wire)]
