"""The tests' own tools work: what they compare, compose, receive and wait for."""

import json
import subprocess
import sys
import urllib.error
import urllib.request
from itertools import islice, pairwise
from pathlib import Path

import pytest

from tests.support.kubectl import Watch
from tests.support.receiver import Receiver, address_towards
from tests.support.speech import ROOT, SLOTS, compose, speak
from tests.support.waiting import wait_for
from tests.support.words import assert_same_words, count_errors, words_of


def test_words_are_bare() -> None:
    assert words_of(" Where is the\nred BOX? We need 10.") == ["where", "is", "the", "red", "box", "we", "need", "ten"]


@pytest.mark.parametrize(
    ("heard", "errors"), [("a b c d", 0), ("a b d", 1), ("a x c d", 1), ("a b b c d", 1), ("", 4), ("d c b a", 4)]
)
def test_errors_are_counted(heard: str, errors: int) -> None:
    assert count_errors(["a", "b", "c", "d"], heard.split()) == errors


def test_a_wrong_word_is_told() -> None:
    with pytest.raises(AssertionError, match="1 of 3 words wrong"):
        assert_same_words("the red box", "The blue box.")


def test_the_same_sentences_come_for_the_same_seed() -> None:
    assert list(islice(compose(7), 50)) == list(islice(compose(7), 50)) != list(islice(compose(8), 50))


def test_sentences_keep_to_what_the_model_knows() -> None:
    readme = (ROOT / "whisper-job-image/model/README.md").read_text()
    known = set(words_of(next(line for line in readme.splitlines() if line.startswith("All 93 words:"))))
    said = words_of(" ".join(islice(compose(7), 2000)))
    assert set(said) <= known
    assert len(set(said)) == 93


def test_no_number_is_said_twice_in_a_sentence() -> None:
    for sentence in islice(compose(7), 500):
        numbers = [word for word in words_of(sentence) if word in SLOTS["num"]]
        assert len(numbers) == len(set(numbers))


def test_no_sentence_follows_itself() -> None:
    assert not any(a == b for a, b in pairwise(islice(compose(7), 2000)))


def test_speech_becomes_a_video_with_sound(tmp_path: Path) -> None:
    speech = speak(7, 3, tmp_path / "a.wav")
    probe = ["ffprobe", "-v", "error", "-of", "json", "-show_entries", "stream=codec_type:format=duration"]
    found = json.loads(subprocess.run([*probe, speech.mp4], capture_output=True, check=True).stdout)
    assert {stream["codec_type"] for stream in found["streams"]} == {"video", "audio"}
    assert float(found["format"]["duration"]) == pytest.approx(speech.seconds, abs=0.6)
    assert speech.mp3.stat().st_size > 1000


def post(url: str) -> int:
    request = urllib.request.Request(url, data=b"{}", headers={"Webhook-Id": "msg_1"})
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_the_receiver_refuses_until_it_is_open() -> None:
    with Receiver("127.0.0.1", answers=[500]) as receiver:
        with pytest.raises(urllib.error.URLError, match="refused"):
            post(receiver.url)
        receiver.open()
        assert [post(receiver.url), post(receiver.url)] == [500, 204]
        first = receiver.next(5)
    assert (first.path, first.body, first.headers["webhook-id"], first.answered) == ("/hook", b"{}", "msg_1", 500)
    assert receiver.waiting == 1


def test_the_receiver_tells_when_nothing_came() -> None:
    with Receiver("127.0.0.1") as receiver, pytest.raises(AssertionError, match="no callback came"):
        receiver.next(0.01)


def test_an_address_is_this_machines_own() -> None:
    assert address_towards("127.0.0.1") == "127.0.0.1"


def test_waiting_ends_with_the_first_true_answer() -> None:
    answers = iter([0, "", 7])
    assert wait_for(lambda: next(answers), 5, "seven", every_seconds=0) == 7


def test_waiting_fails_with_what_was_waited_for() -> None:
    with pytest.raises(AssertionError, match="rain; last seen: 0"):
        wait_for(lambda: 0, 0, "rain")


def test_a_watch_shows_one_object_after_the_other() -> None:
    text = "".join(json.dumps({"metadata": {}, "n": n}, indent=4) + "\n" for n in range(3))
    process = subprocess.Popen([sys.executable, "-c", f"print({text!r}, end='')"], stdout=subprocess.PIPE, text=True)
    watch = Watch(process)
    assert watch.until(lambda manifest: manifest["n"] == 1, 5, "the second")["n"] == 1
    with pytest.raises(AssertionError, match="ended before: the ninth"):
        watch.until(lambda manifest: manifest["n"] == 9, 5, "the ninth")
    process.communicate()
    assert [manifest["n"] for manifest in watch.seen] == [0, 1, 2]
