"""One run against fake doors: the order of things, and what is left when one of them fails."""

import json
import math
from hashlib import sha256

import pytest

from crds.transcriptionjob import CallbackRecord, CallbackState, Progress, Stage, Status
from crds.worker import WorkerTask
from tests.support.worker_fakes import FakeClock, FakeWorld, a_result, a_task, a_transcript, fill_at_once
from worker.errors import StorageUnavailableError, UnreadableMediaError
from worker.pipeline import Doors, Run
from worker.progress import ProgressGate
from worker.sound import BYTES_PER_SECOND, Sound


def a_run(world: FakeWorld, task: WorkerTask | None = None, clock: FakeClock | None = None) -> Run:
    doors = Doors(
        store=world,
        keeper=world.kept,
        open_sound=world.open_sound,
        load_engine=world.load_engine,
        reporter=world,
        courier=world,
        tell_result=world.tell_result,
        save_at_end=world.save_at_end,
    )
    gate = ProgressGate("pod-1", 1, 10.0, clock or FakeClock())
    return Run(task or a_task(), doors, gate)


def test_things_happen_in_order() -> None:
    world = FakeWorld()
    a_run(world).run()
    assert world.events == [
        "open sound",
        "load",
        "transcribe 90 s with demo",
        "close sound",
        "write json application/json",
        "write txt text/plain",
        "write srt application/x-subrip",
        "tell result",
        "report result",
        "deliver",
    ]


def test_the_result_points_at_the_stored_json() -> None:
    world = FakeWorld()
    result = a_run(world).run()
    body = world.files[result.key]
    assert result.key == "transcripts/ns/talk/u1/1/transcript.json"
    assert (result.sha256, result.bytes) == (sha256(body).hexdigest(), len(body))
    assert (result.formats, result.language) == (("json", "txt", "srt"), "en")
    assert (result.segments, result.duration_seconds) == (2, 90)
    found = json.loads(body)
    del found["figures"]
    assert found == a_transcript()


def test_json_is_stored_when_only_another_format_was_asked_for() -> None:
    result = a_run(FakeWorld(), a_task(formats=("vtt",))).run()
    assert result.formats == ("json", "vtt")


def test_every_stage_is_reported_and_100_comes_with_the_result() -> None:
    world = FakeWorld()
    a_run(world).run()
    assert [(p.stage, p.percent) for p in world.sent] == [
        (Stage.STARTING, None),
        (Stage.DOWNLOADING, 0),
        (Stage.LOADING_MODEL, 0),
        (Stage.TRANSCRIBING, 0),
        (Stage.SAVING, 99),
        (Stage.DELIVERING, 100),
    ]


def test_windows_are_reported_when_they_take_long() -> None:
    clock = FakeClock()

    def take_long() -> None:
        clock.seconds += 15

    world = FakeWorld(on_window=take_long)
    a_run(world, clock=clock).run()
    assert [p.percent for p in world.sent if p.stage is Stage.TRANSCRIBING] == [0, 33, 66, 99]


def test_what_the_engine_notes_is_reported_to_the_end() -> None:
    world = FakeWorld(notes=("Memory ran out with 8 windows at a time; going on with 4.",))
    a_run(world).run()
    assert [progress.note for progress in world.sent][-3:] == list(world.notes) * 3


def test_the_heart_beats_when_nothing_was_reported_for_an_interval() -> None:
    clock = FakeClock()
    world = FakeWorld()
    run = a_run(world, clock=clock)
    run._beat()
    assert world.beats == []
    clock.seconds = 10
    run._beat()
    assert world.beats == [Progress(pod_uid="pod-1", attempt=1, stage=Stage.STARTING)]


def test_percent_starts_where_the_earlier_pod_was() -> None:
    stored = Progress(pod_uid="pod-0", attempt=1, percent=66)
    world = FakeWorld(status=Status(progress=stored))
    a_run(world).run()
    assert [p.percent for p in world.sent] == [None, 66, 66, 66, 99, 100]


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        (200, CallbackState.DELIVERED),
        (204, CallbackState.DELIVERED),
        (302, CallbackState.PENDING),
        (410, CallbackState.PENDING),
        (500, CallbackState.PENDING),
        (None, CallbackState.PENDING),
    ],
)
def test_the_callback_row_tells_what_the_receiver_said(
    answer: int | None,
    state: CallbackState,
) -> None:
    world = FakeWorld(answer=answer)
    a_run(world).run()
    first, last = world.callbacks
    assert first == CallbackRecord(state=CallbackState.PENDING, id="msg_u1_1")
    assert last is not None
    assert (last.state, last.attempts, last.last_status_code) == (state, 1, answer)
    assert last.last_attempt_time is not None


def test_nobody_is_told_when_there_is_no_callback() -> None:
    world = FakeWorld()
    a_run(world, a_task(callback_url=None)).run()
    assert world.callbacks == [None]
    assert world.payloads == []


def test_the_run_succeeds_when_the_api_server_is_away() -> None:
    world = FakeWorld(is_reachable=False)
    assert a_run(world).run() == world.told[-1]


def test_nobody_is_told_when_the_status_does_not_take_the_result() -> None:
    world = FakeWorld(is_reachable=False)
    a_run(world).run()
    assert world.payloads == []


def test_a_stored_result_is_adopted_when_a_pod_is_replaced() -> None:
    pending = CallbackRecord(state=CallbackState.PENDING, id="msg_u1_1", attempts=1)
    world = FakeWorld(status=Status(result=a_result(), callback=pending))
    world.files["transcripts/t.json"] = json.dumps(a_transcript()).encode()
    assert a_run(world).run() == a_result()
    assert world.events == ["tell result", "deliver"]
    assert world.payloads == [a_transcript()]
    assert world.callbacks[-1] is not None
    assert world.callbacks[-1].attempts == 2


def test_a_callback_is_not_sent_again_when_it_was_delivered() -> None:
    delivered = CallbackRecord(state=CallbackState.DELIVERED, id="msg_u1_1", attempts=1)
    world = FakeWorld(status=Status(result=a_result(), callback=delivered))
    a_run(world).run()
    assert world.events == ["tell result"]


JSON_KEY = "transcripts/ns/talk/u1/1/transcript.json"
OTHER = a_transcript((0.0, 1.0, " Other words."))


def publishing_meanwhile(world: FakeWorld, body: bytes) -> FakeWorld:
    """Another pod comes first while this one transcribes."""
    world.on_window = lambda: world.files.update({JSON_KEY: body})
    return world


def test_the_run_gives_way_when_another_pod_has_announced() -> None:
    delivered = CallbackRecord(state=CallbackState.DELIVERED, id="msg_u1_1", attempts=1)
    theirs = json.dumps(OTHER).encode()
    world = FakeWorld(status_at_end=Status(result=a_result(), callback=delivered))
    assert a_run(publishing_meanwhile(world, theirs)).run() == a_result()
    assert world.events[-2:] == ["close sound", "tell result"]
    assert world.files == {JSON_KEY: theirs}


def test_all_files_hold_the_words_of_the_first_pod_when_it_died_before_the_others_were_stored() -> None:
    theirs = json.dumps(OTHER).encode()
    world = publishing_meanwhile(FakeWorld(), theirs)
    result = a_run(world).run()
    assert world.files[JSON_KEY] == theirs
    assert result.sha256 == sha256(theirs).hexdigest()
    assert world.files[result.key_of("txt")] == b"Other words.\n"
    assert b"Other words." in world.files[result.key_of("srt")]
    assert world.payloads == [OTHER]


def test_nothing_is_transcribed_again_when_the_transcript_is_there() -> None:
    world = FakeWorld(files={JSON_KEY: json.dumps(OTHER).encode()})
    world.kept.files["transcripts/ns/talk/u1/checkpoint.json.gz"] = b"left over"
    result = a_run(world).run()
    assert world.events == [
        "write txt text/plain",
        "write srt application/x-subrip",
        "tell result",
        "report result",
        "deliver",
    ]
    assert (result.formats, result.segments) == (("json", "txt", "srt"), 1)
    assert world.kept.files == {}


@pytest.mark.parametrize("damaged", [b"", b"\xff", b"[]", b"{}", b'{"text": "", "language": "en", "segments": [{}]}'])
def test_a_transcript_is_overwritten_when_it_is_damaged(damaged: bytes) -> None:
    world = FakeWorld(files={JSON_KEY: damaged})
    result = a_run(world).run()
    assert sha256(world.files[JSON_KEY]).hexdigest() == result.sha256
    assert json.loads(world.files[JSON_KEY])["text"] == a_transcript()["text"]


def test_the_figures_of_the_run_are_in_the_json() -> None:
    world = FakeWorld(transcript=a_transcript() | {"figures": {"batch_sizes": {"8": 3}}})
    figures = json.loads(world.files[a_run(world).run().key])["figures"]
    assert figures["batch_sizes"] == {"8": 3}
    assert (figures["audio_seconds"], figures["resumed_seconds"]) == (90, 0)
    assert figures["stage_seconds"].keys() == {"download", "load_model", "transcribe"}
    assert figures["host_peak_bytes"] > 1 << 20


def test_the_next_pod_goes_on_where_the_last_window_ended() -> None:
    class KilledError(Exception):
        pass

    def kill() -> None:
        if world.kept.files or len(begun) == 2:
            raise KilledError
        begun.append("window")

    begun: list[str] = []
    world = FakeWorld(on_window=kill)
    with pytest.raises(KilledError):
        a_run(world).run()
    assert world.save is not None
    world.save()  # as at SIGTERM
    windows: list[str] = []
    world.on_window = lambda: windows.append("window")
    result = a_run(world).run()
    assert (len(begun), len(windows)) == (2, 1)
    assert json.loads(world.files[result.key])["figures"]["resumed_seconds"] == 60
    assert world.kept.files == {}


def test_the_callback_is_what_is_stored_when_whisper_gives_nan() -> None:
    world = FakeWorld(transcript=a_transcript() | {"avg_logprob": math.nan})
    result = a_run(world).run()
    assert world.payloads == [json.loads(world.files[result.key], parse_constant=pytest.fail)]
    assert world.payloads[0]["avg_logprob"] is None


def test_an_adopted_result_stands_when_it_is_damaged() -> None:
    pending = CallbackRecord(state=CallbackState.PENDING, id="msg_u1_1")
    world = FakeWorld(status=Status(result=a_result(), callback=pending))
    world.files["transcripts/t.json"] = b"\xff{"
    assert a_run(world).run() == a_result()
    assert world.payloads == []


def test_an_adopted_result_stands_when_it_cannot_be_read() -> None:
    class Unreadable(FakeWorld):
        def read(self, key: str) -> bytes:
            raise StorageUnavailableError(key)

    pending = CallbackRecord(state=CallbackState.PENDING, id="msg_u1_1")
    world = Unreadable(status=Status(result=a_result(), callback=pending))
    assert a_run(world).run() == a_result()


def test_nothing_is_announced_when_the_json_is_not_stored() -> None:
    class Full(FakeWorld):
        def write(self, key: str, body: bytes, content_type: str) -> None:
            if key.endswith(".json"):
                raise StorageUnavailableError("no space")
            super().write(key, body, content_type)

    world = Full()
    with pytest.raises(StorageUnavailableError):
        a_run(world).run()
    assert world.told == []
    assert max(p.percent or 0 for p in world.sent) == 99


@pytest.mark.parametrize(
    ("declared", "sent"),
    [(None, [None, 91.0, 91.0, 91.0]), (45.0, [45.0, 91.0, 91.0, 91.0]), (400.0, [400.0, 91.0, 91.0, 91.0])],
)
def test_the_length_is_corrected_when_the_file_said_another(declared: float | None, sent: list[float | None]) -> None:
    def begin(sound: Sound) -> None:
        sound.declared_seconds = declared
        sound.append(bytes(BYTES_PER_SECOND))
        sounds.append(sound)

    def go_on() -> None:
        clock.seconds += 15
        if not sounds[0].is_whole:
            fill_at_once(sounds[0])

    sounds: list[Sound] = []
    clock = FakeClock()
    world = FakeWorld(fill=begin, on_window=go_on, windows=(30.0, 60.0, 89.0))
    a_run(world, clock=clock).run()
    assert [p.total_seconds for p in world.sent if p.stage is Stage.TRANSCRIBING] == sent
    percents = [p.percent for p in world.sent if p.percent is not None]
    assert percents == sorted(percents)


def test_no_model_is_loaded_when_the_file_is_unreadable() -> None:
    world = FakeWorld(fill=lambda sound: sound.fail(UnreadableMediaError("damaged")))
    with pytest.raises(UnreadableMediaError):
        a_run(world).run()
    assert world.events == ["open sound"]


def test_the_model_is_loaded_and_the_first_window_transcribed_while_sound_is_still_coming() -> None:
    def begin(sound: Sound) -> None:
        sound.append(bytes(BYTES_PER_SECOND))
        sounds.append(sound)

    def look() -> None:
        seen.append(sounds[0].is_whole)
        sounds[0].finish()

    sounds: list[Sound] = []
    seen: list[bool] = []
    world = FakeWorld(fill=begin, on_window=look, windows=(1.0,))
    a_run(world).run()
    assert seen == [False]
