"""Speech made at test time: sentences that the demo model knows, spoken by espeak-ng, as WAV, MP3 or MP4 files.

The grammar, voices and pauses are those of whisper-job-image/model/README.md; others come out as wrong words.
"""

import random
import re
import subprocess
import wave
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "whisper-job-image/model/sample-25s.flac"

SLOTS = {
    "who": ["customer", "manager", "driver", "doctor", "teacher", "team"],
    "thing": ["order", "report", "letter", "ticket", "invoice", "message"],
    "obj": ["car", "box", "door", "house", "table", "phone"],
    "objs": ["books", "boxes", "tickets", "cars", "phones", "letters"],
    "verb": ["send", "check", "open", "read", "print", "close"],
    "color": ["red", "green", "blue", "black", "white", "yellow"],
    "state": ["ready", "broken", "new", "late", "clean", "open"],
    "num": ["two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"],
    "day": ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"],
    "when": ["today", "tomorrow", "now"],
    "event": ["meeting", "party", "show"],
}
TEMPLATES = [
    "The {who} called about the {thing}.",
    "Please {verb} the {thing} on {day}.",
    "The {color} {obj} is {state}.",
    "We need {num} {color} {objs}.",
    "The {event} starts at {num} on {day}.",
    "My number is {num} {num} {num} {num}.",
    "{num} {objs} arrived on {day}.",
    "Thank you for the {thing}.",
    "Hello and welcome to the {event}.",
    "I will {verb} the {thing} {when}.",
    "Where is the {color} {obj}?",
    "The {who} will {verb} the {thing} {when}.",
    "The {thing} was late on {day}.",
    "The {who} needs a {color} {obj}.",
    "We have {num} {objs} and {num} {objs}.",
    "This is a test of the {thing}.",
]
VOICES = ("en-us", "en-gb")
WORDS_PER_MINUTE, PITCH, PAUSE_SECONDS = (150, 165), (45, 55), (0.3, 1.0)
BYTES_PER_SAMPLE = 2


@dataclass(frozen=True)
class Speech:
    """A spoken WAV file and what it says; other containers are made of it when asked for."""

    wav: Path
    text: str
    seed: int
    seconds: float

    @cached_property
    def mp4(self) -> Path:
        """A video with this sound, made as examples/make-video.sh makes it."""
        out = self.wav.with_suffix(".mp4")
        run(ROOT / "examples/make-video.sh", out, self.wav)
        return out

    @cached_property
    def mp3(self) -> Path:
        out = self.wav.with_suffix(".mp3")
        run("ffmpeg", "-nostdin", "-v", "error", "-y", "-i", self.wav, "-b:a", "96k", out)
        return out


def compose(seed: int) -> Iterator[str]:
    """Sentences of the grammar without end, the same for the same seed; no two alike follow each other."""
    rng = random.Random(seed)
    last = ""
    while True:
        sentence = _fill(rng.choice(TEMPLATES), rng)
        if sentence != last:
            last = sentence
            yield sentence


def _fill(template: str, rng: random.Random) -> str:
    """A sentence whose numbers all differ: the model drops one of a number said twice in a row."""
    numbers = iter(rng.sample(SLOTS["num"], 4))
    text = re.sub(r"{(\w+)}", lambda slot: next(numbers) if slot[1] == "num" else rng.choice(SLOTS[slot[1]]), template)
    return text[0].upper() + text[1:]


def speak(seed: int, at_least_seconds: float, wav: Path) -> Speech:
    """Record sentences until they last that long; the same for the same seed."""
    rng = random.Random(seed)
    said: list[str] = []
    seconds = 0.0
    with wave.open(str(wav), "wb") as out:
        for sentence in compose(seed):
            rate, frames = _record(sentence, rng, wav.with_suffix(".clip"))
            if not said:
                out.setparams((1, BYTES_PER_SAMPLE, rate, 0, "NONE", ""))
            out.writeframes(frames)
            seconds += len(frames) / BYTES_PER_SAMPLE / rate
            said.append(sentence)
            if seconds >= at_least_seconds:
                break
    return Speech(wav, " ".join(said), seed, seconds)


def _record(sentence: str, rng: random.Random, clip: Path) -> tuple[int, bytes]:
    """Samples per second, and the samples of a sentence and the pause after it."""
    voice, speed, pitch = rng.choice(VOICES), rng.randint(*WORDS_PER_MINUTE), rng.randint(*PITCH)
    run("espeak-ng", "-v", voice, "-s", speed, "-p", pitch, "-w", clip, sentence)
    with wave.open(str(clip), "rb") as spoken:
        rate, frames = spoken.getframerate(), spoken.readframes(spoken.getnframes())
    clip.unlink()
    return rate, frames + bytes(BYTES_PER_SAMPLE * int(rng.uniform(*PAUSE_SECONDS) * rate))


def run(*words: object) -> None:
    """Run a program; its words on standard error are in the failure."""
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, f"{words[0]}: exit code {done.returncode}\n{done.stderr}"
