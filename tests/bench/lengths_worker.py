"""One run of the worker on one file, in the worker's image: `python3 -m tests.bench.lengths_worker FILE ENGINE`.

S3 and Kubernetes are stood in for here; the worker is a fresh process, whole, from the first range to the stored
transcript. The last line that is printed has what it took. Called by lengths.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

from crds.transcriptionjob import Source
from crds.worker import TASK_ENV, Target, WorkerTask

BUCKET, KEY, ETAG = "media", "videos/long.mp3", '"long"'
TARGET = Target(namespace="bench", name="long", uid="u1", attempt=1)
AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
LOOK_SECONDS = 0.05
CHUNK_BYTES = 1 << 20


class StandIn(BaseHTTPRequestHandler):
    """S3 with one file to read, which keeps what is stored; and an API server that takes all patches."""

    protocol_version = "HTTP/1.1"
    media: ClassVar[Path]
    stored: ClassVar[dict[str, bytes]] = {}

    def do_GET(self) -> None:
        if self.path.endswith(KEY):
            self._send_media()
        elif self.path in self.stored:
            self._answer(200, self.stored[self.path])
        else:
            self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>")

    def do_PUT(self) -> None:
        self.stored[self.path] = self._read()
        self._answer(200)

    def do_PATCH(self) -> None:
        self._read()
        self._answer(200, json.dumps({"metadata": {"uid": TARGET.uid}, "status": {}}).encode())

    def do_DELETE(self) -> None:
        self.stored.pop(self.path, None)
        self._answer(204)

    def log_message(self, *_: object) -> None:
        """Nothing: the worker logs."""

    def _read(self) -> bytes:
        return self.rfile.read(int(self.headers.get("content-length", 0)))

    def _send_media(self) -> None:
        size = self.media.stat().st_size
        first, _, last = self.headers.get("range", f"bytes=0-{size - 1}").removeprefix("bytes=").partition("-")
        start, end = int(first), min(int(last or size), size - 1) + 1
        self.send_response(206 if "range" in self.headers else 200)
        self.send_header("Content-Range", f"bytes {start}-{end - 1}/{size}")
        self._send_head(end - start)
        with self.media.open("rb") as file, suppress(ConnectionError):
            file.seek(start)
            while start < end:
                chunk = file.read(min(CHUNK_BYTES, end - start))
                start += len(chunk)
                self.wfile.write(chunk)

    def _answer(self, code: int, body: bytes = b"") -> None:
        self.send_response(code)
        self._send_head(len(body))
        self.wfile.write(body)

    def _send_head(self, size: int) -> None:
        self.send_header("Content-Length", str(size))
        self.send_header("ETag", ETAG)
        self.end_headers()


def main(media: str, engine: str) -> int:
    """Stand in for what is around a worker, and run one."""
    StandIn.media = Path(media)
    with tempfile.TemporaryDirectory() as folder, ThreadingHTTPServer(("127.0.0.1", 0), StandIn) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        command = [sys.executable, "-m", "tests.bench.lengths_worker", "--run", url, folder]
        done = subprocess.run(command, env=build_env(url, engine), stdout=subprocess.PIPE, check=False)
        server.shutdown()
    if done.returncode == 0:
        transcript = next(body for path, body in StandIn.stored.items() if path.endswith("transcript.json"))
        sys.stdout.write(json.dumps(json.loads(done.stdout) | pick(json.loads(transcript))) + "\n")
    return done.returncode


def build_env(url: str, engine: str) -> dict[str, str]:
    """What the controller would tell the worker."""
    task = WorkerTask(
        target=TARGET,
        source=Source(bucket=BUCKET, key=KEY, etag=ETAG),
        model="demo",
        language="en",
        engine=engine,  # type: ignore[arg-type]  # checked by the model
        formats=("json", "txt", "srt"),
        result_bucket=BUCKET,
        result_prefix="transcripts/bench/long/u1/1/",
        callback_id="msg_u1_1",
    )
    return os.environ | {
        TASK_ENV: task.model_dump_json(by_alias=True),
        "WORKER_POD_UID": "pod-1",
        "WORKER_S3_ENDPOINT": url,
        "WORKER_S3_PATH_STYLE": "true",
        "WORKER_LOG_LEVEL": "WARNING",
        "AWS_ACCESS_KEY_ID": "id",
        "AWS_SECRET_ACCESS_KEY": "secret",
    }


def pick(transcript: Mapping[str, Any]) -> dict[str, Any]:
    """What the run says of itself, and the words."""
    return {"figures": transcript["figures"], "text": transcript["text"]}


def work(url: str, folder: str) -> int:
    """Be the worker, and print what memory it took."""
    from worker import process, report
    from worker.last_words import LastWords
    from worker.settings import read_settings

    account = Path(folder)
    (account / "token").write_text("token")
    (account / "ca.crt").symlink_to(AUTHORITIES)
    peaks = Peaks()
    process.run(read_settings(), LastWords(account / "message"), report.Cluster(url, account))
    peaks.look()
    sys.stdout.write(json.dumps({"memory": {"resident": measure_resident(), **peaks.found}}))
    return 0


def measure_resident() -> int:
    """The most memory that this process has held, what it has mapped included."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def read_memory(process: Path, field: str) -> int:
    """One of the sizes that the kernel tells of a process; 0 when it is gone."""
    try:
        lines = (process / "status").read_text().splitlines()
    except OSError:
        return 0
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith(f"{field}:")), 0)


def find_programs(name: str) -> Iterator[Path]:
    """The processes of a program."""
    for file in Path("/proc").glob("[0-9]*/comm"):
        with suppress(OSError):
            if file.read_text().strip() == name:
                yield file.parent


class Peaks:
    """What is seen at the most of memory of its own, without mapped files, which the kernel may drop; and of ffmpeg's.

    A child's part in `getrusage` is no use: it begins as a copy of this process.
    """

    def __init__(self) -> None:
        self.found = {"anonymous": 0, "ffmpeg": 0}
        threading.Thread(target=self._look_on, daemon=True).start()

    def look(self) -> None:
        """Once more."""
        self._see("anonymous", read_memory(Path("/proc/self"), "RssAnon"))
        for program in find_programs("ffmpeg"):
            self._see("ffmpeg", read_memory(program, "VmHWM"))

    def _see(self, name: str, size: int) -> None:
        self.found[name] = max(self.found[name], size)

    def _look_on(self) -> None:
        pause = threading.Event()
        while not pause.wait(LOOK_SECONDS):
            self.look()


if __name__ == "__main__":
    sys.exit(work(*sys.argv[2:]) if sys.argv[1] == "--run" else main(*sys.argv[1:]))
