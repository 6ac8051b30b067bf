"""The batched engine with the demo model: whisper's result, window by window."""

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from crds.transcriptionjob import Source
from crds.worker import Target, WorkerTask
from tests.support.engine_models import MODELS, SMALLEST, a_random_model, load_samples, make_noises
from tests.support.worker_fakes import a_sound
from worker.engine.batched import WindowResult
from worker.engine.door import Engine, Run, choose_batch_size
from worker.errors import GpuOutOfMemoryError, InvalidTaskError
from worker.windows import Window, cut


def a_task(**changes: Any) -> WorkerTask:
    known: dict[str, Any] = {
        "target": Target(namespace="ns", name="talk", uid="u1", attempt=1),
        "source": Source(bucket="b", key="k"),
        "model": "demo",
        "language": "en",
        "engine": "batched",
        "formats": ("json",),
        "result_bucket": "b",
        "result_prefix": "p/",
        "callback_id": "msg",
    }
    return WorkerTask.model_validate(known | changes)


def transcribe(model: Any, samples: np.ndarray, batch_size: int = 8, **changes: Any) -> dict[str, Any]:
    return Engine(model, batch_size).transcribe(a_sound(samples.tobytes()), a_task(**changes), lambda _: None)


def run_whole(model: Any, samples: np.ndarray, **changes: Any) -> dict[str, Any]:
    """One window, whatever it holds."""
    window = Window(0, samples, len(samples) // 160)
    run = Engine(model).open(a_task(**changes), [window])
    return run.assemble(list(run.run([window])))


def words(text: str) -> list[str]:
    return re.findall(r"[a-z]+", text.lower())


@pytest.mark.parametrize("word_timestamps", [False, True])
@pytest.mark.parametrize(
    ("name", "seconds"), [("sample-5s.flac", 30), ("sample-25s.flac", 30), ("sample-90s.opus", 12)]
)
def test_segments_and_times_of_one_window_are_whispers_own(
    demo: Any, name: str, seconds: int, word_timestamps: bool
) -> None:
    samples = load_samples(name)[: seconds * 16000]
    mine = run_whole(demo, samples, word_timestamps=word_timestamps)
    theirs = demo.transcribe(
        samples.astype(np.float32) / 32768,
        language="en",
        fp16=False,
        condition_on_previous_text=False,
        word_timestamps=word_timestamps,
    )
    assert mine["language"] == "en"
    assert len(mine["segments"]) == len(theirs["segments"]) > 0
    pairs = list(zip(mine["segments"], theirs["segments"], strict=True))
    # whisper drops a sentence whose words its alignment gives no time; ours keeps it
    kept = [pair for pair in pairs if pair[1]["start"] != pair[1]["end"]]
    assert "".join(ours["text"] for ours, _ in kept) == theirs["text"]
    assert word_timestamps or kept == pairs
    for ours, whispers in pairs:
        if whispers["start"] == whispers["end"]:
            assert (whispers["text"], ours["start"] < ours["end"], len(ours["words"]) > 0) == ("", True, True)
            continue
        exact = ("id", "seek", "start", "end", "text", "tokens", "temperature", "compression_ratio")
        assert {key: ours[key] for key in exact} == {key: whispers[key] for key in exact}
        assert ours["avg_logprob"] == pytest.approx(whispers["avg_logprob"], abs=1e-4)
        assert ours["no_speech_prob"] == pytest.approx(whispers["no_speech_prob"], abs=1e-4)
        assert set(ours) == set(whispers)
        if word_timestamps:
            assert [(w["word"], w["start"], w["end"]) for w in ours["words"]] == [
                (w["word"], w["start"], w["end"]) for w in whispers["words"]
            ]


@pytest.mark.parametrize("name", ["sample-5s.flac", "sample-25s.flac", "sample-90s.opus"])
def test_the_words_are_those_that_were_spoken(demo: Any, name: str) -> None:
    found = transcribe(demo, load_samples(name))
    assert words(found["text"]) == words((MODELS / name).with_suffix(".txt").read_text())
    assert words("".join(segment["text"] for segment in found["segments"])) == words(found["text"])
    starts = [segment["start"] for segment in found["segments"]]
    assert starts == sorted(starts)


def test_the_text_does_not_depend_on_the_batch_size(demo: Any) -> None:
    samples = np.concatenate([load_samples("sample-90s.opus"), load_samples("sample-25s.flac")])
    texts = {transcribe(demo, samples, size)["text"] for size in (1, 3, 8)}
    assert len(texts) == 1


def test_windows_come_in_order_and_a_run_may_begin_later(demo: Any) -> None:
    windows = list(cut([load_samples("sample-90s.opus")]))
    run = Engine(demo, 2).open(a_task(), windows[:1])
    results = list(run.run(windows))
    assert [(r.start, r.end) for r in results] == [(w.start, w.end) for w in windows]
    later = list(Engine(demo, 3).open(a_task(), windows[:1]).run(windows[1:]))
    assert [texts(r) for r in later] == [texts(r) for r in results[1:]]


def texts(result: WindowResult) -> list[str]:
    return [segment["text"] for segment in result.segments]


def test_silence_is_an_empty_transcript(demo: Any) -> None:
    found = transcribe(demo, np.zeros(40 * 16000, np.int16), language="auto")
    assert (found["text"], found["segments"], found["language"]) == ("", [], "en")


def test_the_language_is_found_among_the_options(demo: Any) -> None:
    samples = load_samples("sample-25s.flac")
    assert transcribe(demo, samples, language="auto")["language"] == "en"
    found = transcribe(demo, samples, language="auto", language_options=("de", "fr"))
    assert found["language"] in {"de", "fr"}
    assert found["segments"][0]["flags"] == ["language_switch"]


@pytest.mark.parametrize("change", [{"language": "xx"}, {"language_options": ("en", "qq")}])
def test_an_unknown_language_is_refused(demo: Any, change: dict[str, Any]) -> None:
    with pytest.raises(InvalidTaskError):
        transcribe(demo, load_samples("sample-5s.flac"), **change)


@pytest.mark.parametrize("language", [None, "en", "de"])
def test_a_model_of_english_alone_hears_english(language: str | None) -> None:
    model = a_random_model(replace(SMALLEST, n_vocab=51864))
    windows = [Window(0, make_noises(1)[0], 3000)]
    found = Engine(model).open(a_task(language=language), windows).assemble([])
    assert (found["language"], "language_probability" in found) == ("en", False)


def test_progress_ends_with_the_whole_length(demo: Any) -> None:
    heard: list[float] = []
    samples = load_samples("sample-90s.opus")
    Engine(demo, 2).transcribe(a_sound(samples.tobytes()), a_task(), heard.append)
    assert heard == sorted(heard)
    assert heard[-1] == len(samples) / 16000


def test_the_result_tells_what_the_run_took(demo: Any) -> None:
    figures = transcribe(demo, load_samples("sample-90s.opus"), 3)["figures"]
    assert set(figures["seconds"]) == {"mel", "encode", "decode"}
    assert sum(int(size) * count for size, count in figures["batch_sizes"].items()) >= 3
    assert figures["peak_memory_bytes"] > 10**7
    assert figures["realtime_factor"] > 0


def test_the_quality_engine_is_whispers_own_way(demo: Any) -> None:
    samples = load_samples("sample-90s.opus")
    found = transcribe(demo, samples, engine="quality")
    assert found["text"] == demo.transcribe(samples.astype(np.float32) / 32768, language="en", fp16=False)["text"]
    assert found["figures"]["engine"] == "quality"


def test_the_batch_is_halved_when_memory_runs_out(demo: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    notes: list[str] = []
    samples = load_samples("sample-90s.opus")
    wanted = transcribe(demo, samples)["text"]
    narrow(monkeypatch, 1)
    found = Engine(demo, 8).transcribe(a_sound(samples.tobytes()), a_task(), lambda _: None, notes.append)
    assert found["text"] == wanted
    assert [note.split()[4:5] + note.split()[-1:] for note in notes] == [["4", "2."], ["2", "1."]]
    assert found["figures"]["notes"] == notes
    assert set(found["figures"]["batch_sizes"]) == {"1"}, "of those that were finished"


def test_a_window_for_which_there_is_no_memory_is_the_end(demo: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    narrow(monkeypatch, 0)
    with pytest.raises(GpuOutOfMemoryError):
        transcribe(demo, load_samples("sample-90s.opus"))


def narrow(monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    """A device on which so many windows fit."""
    decode = Run._decode_at_once

    def decode_if_it_fits(self: Run, jobs: list[Any]) -> Any:
        if len(jobs) > rows:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return decode(self, jobs)

    monkeypatch.setattr(Run, "_decode_at_once", decode_if_it_fits)


def test_the_batch_is_smaller_where_memory_is_short(demo: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    for free in (10**6, 2 * 10**8, 10**10):
        monkeypatch.setattr("worker.engine.gpu.count_free_bytes", lambda free=free: free)
        sizes.append(choose_batch_size(demo.dims, demo.device, torch.float32))
    assert sizes[0] == 1 < sizes[1] < sizes[2] == 8
