"""Whole lives of transcriptions on a stage, and what must be so at their end."""

from typing import Any

from crds.transcriptionjob import State
from tests.support.arena import Arena
from tests.support.transcriptions import an_id

PATIENCE_SECONDS = 60


def live(arena: Arena, purpose: str) -> str:
    """From the request to its good end, whatever stands in between."""
    name = arena.ask(name=an_id(purpose))
    finish(arena, name)
    return name


def finish(arena: Arena, name: str) -> None:
    """Let its worker run, store its result and deliver its callback; return when nothing is left to do."""
    pod = arena.run(name, seconds=PATIENCE_SECONDS)
    arena.set_status(name, result=arena.build_result(name).to_manifest(), callback=a_delivered(arena.read(name).uid))
    arena.node.end(pod, 0, arena.build_message(name))
    arena.until_state(name, State.SUCCEEDED, PATIENCE_SECONDS)
    arena.until_settled(name, PATIENCE_SECONDS)


def a_delivered(uid: str) -> dict[str, Any]:
    """The worker's own callback row: its quick try went well."""
    return {"state": "Delivered", "id": f"msg_{uid}_1", "attempts": 1, "lastStatusCode": 204}


def assert_one_job(arena: Arena, *names: str) -> None:
    """One Job, one pod, one attempt each."""
    for name in names:
        assert (arena.jobs_of(name), arena.read(name).status.attempt) == ([f"{name}-1"], 1)
        assert len(arena.pods(name)) == 1
