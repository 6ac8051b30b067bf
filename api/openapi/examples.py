"""Examples of requests and answers, as openapi.json shows them. Data alone; used by openapi, checked by its tests."""

from typing import Any

ID = "8e3c1f0a-52c4-4b3e-9a57-0d6f2b9c7e11"
KEY = "videos/anonymous/20250911_034548_3b3673a3_sample.mp4"
VIDEO_URL = f"https://transcriptions.s3.amazonaws.com/{KEY}"
UPLOAD_URL = f"{VIDEO_URL}?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Expires=900&X-Amz-Signature=..."
PREFIX = "/api/upload-video"

ACCEPTED = {
    "job_id": ID,
    "status": "processing",
    "message": "비디오 처리가 시작되었습니다",
    "status_url": f"{PREFIX}/status/{ID}",
}

QUEUED = {
    "job_id": ID,
    "status": "processing",
    "progress": 0,
    "state": "Queued",
    "stage": "queued",
    "message": "Waiting: no node has what it asks for, often a free GPU.",
    "attempt": 1,
    "queue": {
        "reason": "Unschedulable",
        "message": "Waiting: no node has what it asks for, often a free GPU.",
        "position": 3,
    },
    "created_at": "2025-09-11T03:45:48Z",
}

RUNNING = {
    "job_id": ID,
    "status": "processing",
    "progress": 40,
    "state": "Running",
    "stage": "transcribing",
    "audio_seconds_done": 240.0,
    "audio_seconds_total": 600.0,
    "eta_seconds": 18.0,
    "realtime_factor": 20.0,
    "attempt": 1,
    "created_at": "2025-09-11T03:45:48Z",
    "started_at": "2025-09-11T03:46:02Z",
}

COMPLETED = {
    "job_id": ID,
    "status": "completed",
    "progress": 100,
    "state": "Succeeded",
    "attempt": 1,
    "created_at": "2025-09-11T03:45:48Z",
    "started_at": "2025-09-11T03:46:02Z",
    "completed_at": "2025-09-11T03:46:34Z",
    "outputs": {form: f"{PREFIX}/transcripts/{ID}.{form}" for form in ("json", "txt", "srt", "vtt", "tsv")},
    "callback": {
        "state": "Delivered",
        "attempts": 1,
        "last_status_code": 200,
        "last_attempt_at": "2025-09-11T03:46:34Z",
    },
    "metadata": {"course": "biology-101"},
}

ERROR: dict[str, Any] = {
    "code": "NoAudio",
    "message": "The file has no audio track: upload one with sound and send a new request.",
    "retryable": False,
}

FAILED = {
    "job_id": ID,
    "status": "failed",
    "progress": 0,
    "state": "Failed",
    "attempt": 1,
    "created_at": "2025-09-11T03:45:48Z",
    "started_at": "2025-09-11T03:46:02Z",
    "completed_at": "2025-09-11T03:46:05Z",
    "error": ERROR,
}

CANCELLED_ERROR: dict[str, Any] = {"code": "Cancelled", "message": "Cancelled on request.", "retryable": False}

TRANSCRIPT = {
    "text": " Good morning.",
    "segments": [{"id": 0, "start": 0.0, "end": 1.4, "text": " Good morning."}],
    "language": "en",
}

CALLBACKS: dict[str, dict[str, Any]] = {
    "completed": {"job_id": ID, "status": "completed", "result": TRANSCRIPT},
    "failed": {"job_id": ID, "status": "failed", "metadata": {"course": "biology-101"}, "error": ERROR},
    "cancelled": {"job_id": ID, "status": "cancelled", "error": CANCELLED_ERROR},
}

PROCESS: dict[str, dict[str, Any]] = {
    "shortest": {"video_url": VIDEO_URL},
    "with options": {
        "video_url": VIDEO_URL,
        "model": "large-v3",
        "language": "ko",
        "word_timestamps": True,
        "formats": ["json", "srt"],
        "initial_prompt": "Names: 김민수, Ann.",
        "callback_url": "https://example.org/transcripts",
        "metadata": {"course": "biology-101"},
        "priority": "high",
    },
}

STATUSES: dict[str, Any] = {"waits": QUEUED, "runs": RUNNING, "completed": COMPLETED, "failed": FAILED}

REQUESTS: dict[str, dict[str, Any]] = {
    "generateUrl": {
        "content_type": {"filename": "example.mp4", "content_type": "video/mp4"},
        "filetype": {"filename": "sample.mp4", "filetype": "video/mp4"},
    },
    "requestProcess": PROCESS,
    "processVideo": {name: {"job_id": ID, **body} for name, body in PROCESS.items()},
    "receiveResult": CALLBACKS,
    "createTranscription": {
        "text alone": {"file": "(the file's bytes)", "model": "whisper-1"},
        "with times": {"file": "(the file's bytes)", "model": "large-v3", "response_format": "verbose_json"},
    },
}
"""By operation id, and then by the example's name."""

FILES: dict[str, dict[str, Any]] = {
    "application/json": {"a transcript": TRANSCRIPT},
    "text/plain": {"txt": "Good morning.\n"},
    "application/x-subrip": {"srt": "1\n00:00:00,000 --> 00:00:01,400\nGood morning.\n"},
    "text/vtt": {"vtt": "WEBVTT\n\n00:00.000 --> 00:01.400\nGood morning.\n"},
    "text/tab-separated-values": {"tsv": "start\tend\ttext\n0\t1400\tGood morning.\n"},
}

MODEL = {"id": "large-v3", "object": "model", "created": 1663718400, "owned_by": "openai"}

EVENT = f'id: 48211\ndata: {{"job_id":"{ID}","status":"processing","progress":40}}\n\n'


def _json(**examples: Any) -> dict[str, dict[str, Any]]:
    return {"application/json": examples}


ANSWERS: dict[str, dict[str, dict[str, Any]]] = {
    "generateUrl": _json(
        ticket={"upload_url": UPLOAD_URL, "video_url": VIDEO_URL, "url": UPLOAD_URL, "fileKey": KEY},
    ),
    "requestProcess": _json(accepted=ACCEPTED),
    "processVideo": _json(accepted=ACCEPTED),
    "getStatus": _json(**STATUSES),
    "watchJob": {"text/event-stream": {"one event": EVENT}},
    "listJobs": _json(
        page={"jobs": [RUNNING, COMPLETED], "next_token": "eyJjIjoxNzU3NTYyMzQ4LCJuIjoiYSJ9"},
        last={"jobs": [FAILED], "next_token": None},
    ),
    "cancelJob": _json(asked=RUNNING),
    "retryJob": _json(asked=QUEUED),
    "redeliverCallback": _json(asked=COMPLETED),
    "getResult": {"application/json": FILES["application/json"]},
    "getTranscript": FILES,
    "receiveResult": _json(received={"status": "received"}),
    "createTranscription": _json(
        json={"text": "Good morning."},
        verbose_json={
            "task": "transcribe",
            "language": "english",
            "duration": 1.4,
            "text": "Good morning.",
            "words": [{"word": "Good", "start": 0.0, "end": 0.6}, {"word": "morning.", "start": 0.6, "end": 1.4}],
        },
    ),
    "listModels": _json(models={"object": "list", "data": [MODEL]}),
    "getModel": _json(model=MODEL),
    "getHealth": _json(well={"status": "ok"}),
    "getHealth 503": _json(stuck={"status": "stuck"}),
    "getReady": _json(ready={"status": "ready"}),
    "getReady 503": _json(starting={"status": "starting"}),
}
"""What success looks like, by operation id, media type and the example's name; another status stands beside the id."""
