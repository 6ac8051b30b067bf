"""The pure part of the bench by length: what is said in its files, and the rows of its table."""

from itertools import pairwise
from pathlib import Path

from tests.bench.lengths import HEAD, Clip, Talk, count_wrong, draw_clips, render_row

CLIPS = [Clip(bytes(5), "five"), Clip(bytes(20), "twenty")]


def test_a_talk_is_about_as_long_as_it_may_be_when_clips_are_drawn() -> None:
    drawn = [clip.text for clip in draw_clips(CLIPS, 1003)]
    assert 980 <= sum(len(clip.sound) for clip in draw_clips(CLIPS, 1003)) <= 1003
    assert all(one != other for one, other in pairwise(drawn))


def test_the_same_talk_is_drawn_when_it_is_as_long() -> None:
    assert list(draw_clips(CLIPS, 1003)) == list(draw_clips(CLIPS, 1003))


def test_words_are_counted_wrong_when_they_are_others_or_missing() -> None:
    assert count_wrong("The red car is new.", "the red car is new") == "0 of 5"
    assert count_wrong("The red car is new.", "The bed car is") == "2 of 5, -1 in all"


def test_a_row_has_a_cell_for_each_title() -> None:
    figures = {"stage_seconds": {"download": 1.0, "load_model": 0.5, "transcribe": 3.0}, "realtime_factor": 20.0}
    memory = {"resident": 1 << 30, "anonymous": 1 << 29, "ffmpeg": 1 << 26}
    found = {"figures": figures, "memory": memory, "seconds": 7.25, "text": "Hello."}
    row = render_row("quality", Talk(Path("long.mp3"), 60.0, "Hello."), found)
    assert row == "| quality | 1.0 | 7.2 | 1.0 | 0.5 | 3.0 | 20.0 | 1024 | 512 | 64 | 0 of 1 |"
    assert row.count("|") == HEAD.splitlines()[0].count("|")
