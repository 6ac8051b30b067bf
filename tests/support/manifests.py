"""TranscriptionJobs as the API server sends them, for tests of more than one part."""

from typing import Any

from crds import transcriptionjob as contract


def a_manifest(**spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": contract.API_VERSION,
        "kind": contract.KIND,
        "metadata": {
            "name": "talk",
            "namespace": "transcription",
            "uid": "0b6e",
            "resourceVersion": "7",
            "generation": 1,
            "creationTimestamp": "2026-01-02T03:04:05Z",
        },
        "spec": {"source": {"bucket": "media", "key": "videos/a.mp4"}} | spec,
    }
