"""One quick try to deliver the callback. Called by the pipeline; the controller's outbox does the rest.

A GPU never waits for a receiver: five seconds in all, whatever the receiver does. As in the outbox, a name is resolved
once, its addresses are judged, and the connection goes to one of those.
"""

import logging
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import httpx2

from crds.addresses import Allowed, judge
from crds.callback import ID_HEADER, build_completed, render_payload, sign
from crds.worker import WorkerTask

TOTAL_SECONDS = 5.0
TIMEOUT = httpx2.Timeout(4.0, connect=2.0)
MAX_ADDRESSES = 2
DEFAULT_PORTS = {"http": 80, "https": 443}
NO_ANSWER = (httpx2.HTTPError, httpx2.InvalidURL, OSError, UnicodeError)

Resolve = Callable[[str, int], Sequence[str]]

logger = logging.getLogger(__name__)


def resolve(host: str, port: int) -> Sequence[str]:
    """The addresses of a host, however it is spelt."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class ForbiddenError(Exception):
    """The URL leads inside, or to a port or with a user name that no receiver has; the message says which."""


class Courier:
    """Posts the transcript to the task's callback URL."""

    def __init__(
        self,
        task: WorkerTask,
        secrets: Sequence[str],
        now: Callable[[], datetime],
        allowed: Allowed,
        resolve: Resolve = resolve,
    ) -> None:
        self._task = task
        self._secrets = secrets
        self._now = now
        self._allowed = allowed
        self._resolve = resolve

    def deliver(self, transcript: Mapping[str, Any]) -> int | None:
        """The receiver's status code; None when there was no answer in time."""
        answers: list[int] = []
        post = threading.Thread(target=self._try, args=(transcript, answers), daemon=True)
        post.start()
        post.join(TOTAL_SECONDS)
        return answers[0] if answers else None

    def _try(self, transcript: Mapping[str, Any], answers: list[int]) -> None:
        try:
            answers.append(self._post(transcript))
        except ForbiddenError as error:
            logger.warning("callback refused", extra={"reason": str(error)})
        except NO_ANSWER as error:
            logger.warning("callback not delivered", extra={"error": repr(error)})
        except Exception:
            logger.exception("callback broke down")

    def _post(self, transcript: Mapping[str, Any]) -> int:
        body = render_payload(build_completed(self._task.target.name, transcript, self._task.metadata))
        target = httpx2.URL(self._task.callback_url or "")
        headers = {"host": target.netloc.decode(), **self._headers(body)}
        fault: httpx2.TransportError = httpx2.ConnectError("the name has no address")
        for address in self._find_addresses(target):
            try:
                return _call(target, address, headers, body)
            except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
                fault = error
        raise fault

    def _find_addresses(self, target: httpx2.URL) -> Sequence[str]:
        host, port = target.raw_host.decode(), target.port or DEFAULT_PORTS.get(target.scheme, 0)
        addresses = self._resolve(host, port) if port and host else ()
        reason = judge(host, port, addresses, self._allowed)
        if target.userinfo and not self._allowed.has_name(host):
            reason = "user name"
        if reason:
            raise ForbiddenError(reason)
        return addresses[:MAX_ADDRESSES]

    def _headers(self, body: bytes) -> dict[str, str]:
        content_type = {"content-type": "application/json"}
        if not self._secrets:
            return content_type | {ID_HEADER: self._task.callback_id}
        return content_type | sign(self._secrets, self._task.callback_id, self._now(), body)


def _call(target: httpx2.URL, address: str, headers: Mapping[str, str], body: bytes) -> int:
    """Straight to the address, past any proxy; TLS asks for the name, and trusts what SSL_CERT_FILE says."""
    url, name = target.copy_with(host=address), target.raw_host.decode().removesuffix(".")
    extensions, verify = {"sni_hostname": name}, httpx2.create_ssl_context()
    with (
        httpx2.Client(timeout=TIMEOUT, follow_redirects=False, trust_env=False, verify=verify) as client,
        client.stream("POST", url, content=body, headers=headers, extensions=extensions) as answer,
    ):
        return answer.status_code
