"""Whether the installation around the API works, tried as the API's own account. Run by `helm test`."""

import argparse
import asyncio
import io
import os
import re
import ssl
import sys
import urllib.error
import urllib.request
import uuid
import wave
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from api.apiserver import ApiServer, Call
from api.doors import UnavailableError, Uploads
from api.settings import ApiSettings
from api.uploads import S3Uploads
from crds.transcriptionjob import API_VERSION, PLURAL, Resources, Source, Spec, State, build_transcription

SOUND_KEY = "videos/selftest/sound.wav"
"""It stays: the API's account may not delete uploads."""

BYTE = b"1"
TYPE = "application/octet-stream"
FETCH_SECONDS = 10
SAMPLES_PER_SECOND = 16_000

Fetch = Callable[[str, str, bytes | None], Awaitable[tuple[int, str]]]
"""Method, URL and body; the status and the beginning of the answer. UnavailableError without one."""

Check = Callable[[], Awaitable[str]]
"""What was found to be well; CheckError when it is not."""


class CheckError(Exception):
    """What is wrong, and what to do."""

    def __init__(self, what: str, advice: str) -> None:
        super().__init__(what)
        self.advice = advice


class Server(Protocol):
    """What is needed of ApiServer."""

    async def call(self, call: Call) -> tuple[int, dict[str, Any]]: ...


@dataclass(frozen=True)
class Installation:
    """What the checks look at, and how: the doors, the address of the API, a pause between two looks."""

    settings: ApiSettings
    server: Server
    uploads: Uploads
    fetch: Fetch
    api_url: str
    pause: Callable[[], Awaitable[None]]

    @property
    def path(self) -> str:
        return f"/apis/{API_VERSION}/namespaces/{self.settings.namespace}/{PLURAL}"

    async def check_api(self) -> str:
        """The API answers at its Service and has seen all transcriptions."""
        status, text = await self.fetch("GET", f"{self.api_url}/ready", None)
        if status != 200:
            raise CheckError(
                f"{self.api_url}/ready answered {status} {text}",
                "look at the logs of the API: kubectl logs deployment/...",
            )
        return f"{self.api_url} is ready"

    async def check_kubernetes(self) -> str:
        """The API server would take a transcription from this account; none is made."""
        call = Call(
            "dry-run", "POST", self.path, self._build("dry-run"), {"dryRun": "All", "fieldValidation": "Strict"}
        )
        self._expect_made(*await self.server.call(call))
        return f"a transcription would be admitted in namespace {self.settings.namespace}"

    async def check_s3(self) -> str:
        """One byte goes in by a signed URL, comes out again, and is deleted."""
        prefix = f"callbacks/selftest/{uuid.uuid4()}/"
        key = f"{prefix}byte"
        status, text = await self.fetch("PUT", await self.uploads.presign_put(key, TYPE), BYTE)
        if status != 200:
            raise CheckError(f"the signed PUT was answered {status} {text}", _advise_on_put(status))
        try:
            await self._check_byte(key)
        finally:
            await self.uploads.delete_all(prefix)
        if await self.uploads.head(key) is not None:
            raise CheckError(
                "the byte is still there after its DELETE", "give the account s3:DeleteObject on callbacks/*"
            )
        return f"signed PUT, GET and DELETE of one byte in bucket {self.settings.s3_bucket}"

    async def check_job(self, looks: int) -> str:
        """One second of sound becomes a transcript within that many looks; it is deleted when all went well."""
        name = f"selftest-{uuid.uuid4().hex[:8]}"
        sound = await self.uploads.put_file(SOUND_KEY, io.BytesIO(build_sound()), "audio/wav")
        self._expect_made(*await self.server.call(Call("create", "POST", self.path, self._build(name, sound.etag))))
        status = await self._wait_for_end(name, looks)
        if status.get("state") != State.SUCCEEDED:
            state = status.get("state", State.PENDING)
            raise CheckError(f"{name} is {state}: {status.get('message', 'nobody has looked at it')}", _look_at(name))
        await self.server.call(Call("delete", "DELETE", f"{self.path}/{name}"))
        return f"{name} has been transcribed"

    async def _check_byte(self, key: str) -> None:
        download = await self.uploads.open(key)
        if download is None:
            raise CheckError("what was PUT is not there", "give the account s3:GetObject and s3:ListBucket")
        if b"".join([chunk async for chunk in download.chunks]) != BYTE:
            raise CheckError("another byte came out than went in", "look at what stands between the API and S3")

    async def _wait_for_end(self, name: str, looks: int) -> Mapping[str, Any]:
        status: Mapping[str, Any] = {}
        for _ in range(looks):
            _, answer = await self.server.call(Call("get", "GET", f"{self.path}/{name}"))
            status = answer.get("status", {})
            if State(status.get("state", State.PENDING)).is_final:
                break
            await self.pause()
        return status

    def _build(self, name: str, etag: str | None = None) -> dict[str, Any]:
        source = Source(bucket=self.settings.s3_bucket, key=SOUND_KEY, etag=etag)
        settings = self.settings
        resources = Resources(gpu=settings.default_gpu_count, gpu_resource=settings.default_gpu_resource)
        return build_transcription(
            name, settings.namespace, Spec(source=source, resources=resources, delete_outputs=True)
        )

    def _expect_made(self, status: int, answer: Mapping[str, Any]) -> None:
        if status != 201:
            raise CheckError(
                f"the API server answered {status}: {answer.get('message', '')}", _advise_on_create(status)
            )


def _look_at(name: str) -> str:
    return f"see `kubectl describe transcriptionjob {name}` and the logs of the controller, then delete it"


def _advise_on_put(status: int) -> str:
    known = {
        403: "see whether the keys and s3.region are right; the account needs s3:PutObject on callbacks/* and videos/*",
        404: "make the bucket, or set s3.bucket; if it exists, try s3.pathStyle",
        301: "set s3.region to that of the bucket",
    }
    return known.get(status, "see what S3 says, and whether s3.endpoint is S3")


def _advise_on_create(status: int) -> str:
    known = {
        403: "the API's Role is missing, or an admission policy or a quota refuses: the message says which",
        404: "install the resource definition: crds.enabled=true, or kubectl apply --server-side -f crds/",
        400: "the resource definition is older than this release: upgrade it",
        422: "the resource definition is older than this release: upgrade it",
    }
    return known.get(status, "see whether the API server is well: kubectl get --raw /readyz")


def build_sound() -> bytes:
    """A WAV file of one second without a sound."""
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(SAMPLES_PER_SECOND)
        sound.writeframes(bytes(2 * SAMPLES_PER_SECOND))
    return file.getvalue()


async def run_checks(checks: Mapping[str, Check], say: Callable[[str], object]) -> bool:
    """Make all checks, say a line of each, and whether all went well."""
    results = [await _run_check(name, check, say) for name, check in checks.items()]
    return all(results)


async def _run_check(name: str, check: Check, say: Callable[[str], object]) -> bool:
    try:
        say(f"ok      {name}: {await check()}")
    except CheckError as error:
        say(f"FAILED  {name}: {error}\n        what to do: {error.advice}")
    except UnavailableError as error:
        cause = f" ({error.__cause__})" if error.__cause__ else ""
        advice = "see whether its address is right and no NetworkPolicy stands between"
        say(f"FAILED  {name}: {error}{cause}\n        what to do: {advice}")
    else:
        return True
    return False


async def fetch(method: str, url: str, body: bytes | None) -> tuple[int, str]:
    """Implements Fetch; an error's answer is an answer."""
    return await asyncio.to_thread(_fetch, method, url, body)


def _fetch(method: str, url: str, body: bytes | None) -> tuple[int, str]:
    headers = {} if body is None else {"Content-Type": TYPE}
    request = urllib.request.Request(url, body, headers, method=method)  # noqa: S310  # the installation's own addresses
    trust = ssl.create_default_context(cafile=os.environ.get("AWS_CA_BUNDLE"))  # as boto3 does
    try:
        with urllib.request.urlopen(request, timeout=FETCH_SECONDS, context=trust) as answer:  # noqa: S310  # the same
            return answer.status, ""
    except urllib.error.HTTPError as error:
        with error:
            return error.code, _shorten(error.read(300).decode(errors="replace"))
    except OSError as error:
        raise UnavailableError(f"{method} {url.partition('?')[0]} was not answered") from error


def _shorten(answer: str) -> str:
    """The code of an S3 error alone; its other words may tell of keys."""
    code = re.search(r"<Code>(\w+)</Code>", answer)
    return code[1] if code else answer


async def check(api_url: str, job_seconds: int) -> bool:
    """All checks with the real doors; 0 seconds leave out the job."""
    settings = ApiSettings()
    inside = settings.model_copy(update={"s3_public_endpoint": None})  # a pod may not reach the browsers' endpoint
    server, uploads = ApiServer(), S3Uploads(inside, FETCH_SECONDS)
    await server.start()
    try:
        place = Installation(settings, server, uploads, fetch, api_url.rstrip("/"), lambda: asyncio.sleep(1))
        checks = {"API": place.check_api, "Kubernetes": place.check_kubernetes, "S3": place.check_s3}
        if job_seconds:
            checks["Job"] = lambda: place.check_job(job_seconds)
        return await run_checks(checks, lambda line: sys.stdout.write(f"{line}\n"))
    finally:
        await uploads.stop()
        await server.stop()


def main(words: Sequence[str] | None = None) -> int:
    """The exit code: 0 when all is well."""
    parser = argparse.ArgumentParser(prog="api.selftest", description=__doc__)
    parser.add_argument("--api-url", required=True, help="where the API's Service is")
    parser.add_argument("--job-seconds", type=int, default=0, help="how long one tiny job may take; 0 makes none")
    asked = parser.parse_args(words)
    return 0 if asyncio.run(check(asked.api_url, asked.job_seconds)) else 1


if __name__ == "__main__":
    sys.exit(main())
