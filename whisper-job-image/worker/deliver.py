"""One quick try to deliver the callback. Called by the pipeline; the controller's outbox does the rest.

A GPU never waits for a receiver: five seconds in all, whatever the receiver does.
"""

import logging
import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import httpx2

from crds.callback import ID_HEADER, build_completed, render_payload, sign
from crds.worker import WorkerTask

TOTAL_SECONDS = 5.0
TIMEOUT = httpx2.Timeout(4.0, connect=2.0)

logger = logging.getLogger(__name__)


class Courier:
    """Posts the transcript to the task's callback URL."""

    def __init__(self, task: WorkerTask, secret: str | None, now: Callable[[], datetime]) -> None:
        self._task = task
        self._secret = secret
        self._now = now

    def deliver(self, transcript: Mapping[str, Any]) -> int | None:
        """The receiver's status code; None when there was no answer in time."""
        answers: list[int] = []
        post = threading.Thread(target=self._post, args=(transcript, answers), daemon=True)
        post.start()
        post.join(TOTAL_SECONDS)
        return answers[0] if answers else None

    def _post(self, transcript: Mapping[str, Any], answers: list[int]) -> None:
        try:
            body = render_payload(build_completed(self._task.target.name, transcript, self._task.metadata))
            with (
                httpx2.Client(timeout=TIMEOUT, follow_redirects=False) as client,
                client.stream(
                    "POST", self._task.callback_url or "", content=body, headers=self._headers(body)
                ) as answer,
            ):
                answers.append(answer.status_code)
        except (httpx2.HTTPError, httpx2.InvalidURL, TypeError, ValueError) as error:
            logger.warning("callback not delivered", extra={"error": repr(error)})

    def _headers(self, body: bytes) -> dict[str, str]:
        content_type = {"content-type": "application/json"}
        if self._secret is None:
            return content_type | {ID_HEADER: self._task.callback_id}
        return content_type | sign(self._secret, self._task.callback_id, self._now(), body)
