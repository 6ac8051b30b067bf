"""The tests' client of the REST API: the journey's requests, and what was started by them."""

import mimetypes
from pathlib import Path
from typing import Any, Literal

import httpx2 as httpx

from tests.support.waiting import wait_for

PREFIX = "/api/upload-video"
Dialect = Literal["content_type", "filetype"]
Document = dict[str, Any]


class Service:
    """One API; it remembers the ids and upload keys that it made, so that a test can clear them away."""

    def __init__(self, url: str) -> None:
        self._http = httpx.Client(base_url=url, timeout=30)
        self.ids: list[str] = []
        self.keys: list[str] = []

    def close(self) -> None:
        self._http.close()

    def call(self, method: str, path: str, body: Document | None = None) -> httpx.Response:
        """Any request under the prefix, whatever the answer."""
        return self._http.request(method, PREFIX + path, json=body)

    def ask(self, method: str, path: str, body: Document | None = None) -> Document:
        """A request that must succeed."""
        answer = self.call(method, path, body)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        document: Document = answer.json()
        return document

    def is_well(self, path: str) -> bool:
        """Whether a path without the prefix answers with success."""
        try:
            return bool(self._http.get(path).is_success)
        except httpx.TransportError:
            return False

    def generate_url(self, filename: str, content_type: str, dialect: Dialect = "content_type") -> Document:
        ticket = self.ask("POST", "/generate-url", {"filename": filename, dialect: content_type})
        self.keys.append(ticket["fileKey"])
        return ticket

    def upload(self, media: Path, filename: str | None = None, dialect: Dialect = "content_type") -> Document:
        """Ask for a URL and PUT the file to it, as a browser does."""
        content_type = mimetypes.guess_type(media.name)[0] or "video/mp4"
        ticket = self.generate_url(filename or media.name, content_type, dialect)
        answer = put(ticket["upload_url"], media.read_bytes(), content_type)
        assert answer.status_code == 200, f"PUT: {answer.status_code} {answer.text}"
        return ticket

    def request_process(self, video_url: str, **options: Any) -> str:
        """Start under an id of the server's choice."""
        answer = self.ask("POST", "/request-process", {"video_url": video_url, **options})
        self.ids.append(answer["job_id"])
        assert answer["status"] == "processing"
        return str(answer["job_id"])

    def process_video(self, job_id: str, video_url: str, **options: Any) -> Document:
        """Start under an id of our own."""
        self.ids.append(job_id)
        return self.ask("POST", "/process-video", {"job_id": job_id, "video_url": video_url, **options})

    def retry_process_video(self, job_id: str, video_url: str) -> Document | None:
        """The same request again, on a new connection; None while no API answers."""
        try:
            answer = self.call("POST", "/process-video", {"job_id": job_id, "video_url": video_url})
        except httpx.TransportError:
            return None
        return answer.json() if answer.is_success else None

    def status(self, job_id: str) -> Document:
        return self.ask("GET", f"/status/{job_id}")

    def result(self, job_id: str) -> Document:
        return self.ask("GET", f"/result/{job_id}")

    def wait_until_final(self, job_id: str, timeout_seconds: float) -> list[Document]:
        """Poll as the front end does; every answer up to the first that is not `processing`."""
        answers: list[Document] = []

        def is_final() -> bool:
            answers.append(self.status(job_id))
            return bool(answers[-1]["status"] != "processing")

        wait_for(is_final, timeout_seconds, f"{job_id} is final")
        return answers


def put(url: str, body: bytes, content_type: str) -> httpx.Response:
    """PUT to a presigned URL, which is an absolute one."""
    return httpx.put(url, content=body, headers={"Content-Type": content_type}, timeout=60)
