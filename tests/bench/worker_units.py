"""What the worker's benches count and how much, known to their sides in the image and to the benches outside."""

SHAPES = ("tiny", "base", "small")
WINDOWS = 8
TOKENS = 100
HOUR_SECONDS = 3600
RECORDING = "hour.mp3"

CPU_SPEED = "windows per CPU-second"
FIRST_WINDOW = "seconds to the first window"
FEED_MEMORY = "MiB above the imports"
DECODED = "seconds of sound a second"


def load_unit_of(shape: str) -> str:
    """From file to first token, on the clock."""
    return f"seconds to the first token, {shape}"


def read_unit_of(shape: str) -> str:
    """From file to model, on the clock."""
    return f"seconds to the model, {shape}"
