"""What the guides name is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GUIDES = [
    "README.md",
    "CONTRIBUTING.md",
    "docs/api.md",
    "docs/images.md",
    "docs/metrics.md",
    "docs/walkthrough.md",
    "charts/transcription/README.md",
]
FOLDERS = (
    "",
    "api",
    "tests",
    "docs",
    "docs/decisions",
    "charts/transcription",
    "whisper-job-image",
    "whisper-job-image/worker",
    "controller",
)
"""Where a guide may leave the beginning of a path out."""

PATH = re.compile(r"(?:[\w.{},-]+/)+|(?:[\w.{},-]+/)*[\w-]+\.(?:py|md|sh|yaml|toml|txt|mod)")


def paths_of(text: str) -> set[str]:
    """The words in code quotes, and the targets of links, that look like a file or folder of ours."""
    quoted = re.findall(r"`([^`\s]+)`", text) + re.findall(r"\]\(([^)\s#]+)\)", text)
    return {word for word in quoted if PATH.fullmatch(word) and not word.startswith((".dev/", "application/"))}


def spelt_out(path: str) -> list[str]:
    """`a/{b,c}` as `a/b` and `a/c`."""
    if not (choice := re.search(r"\{([^}]+)\}", path)):
        return [path]
    return [path.replace(choice[0], part) for part in choice[1].split(",")]


def is_there(path: str, guide: Path) -> bool:
    places = [guide.parent, *(ROOT / folder for folder in FOLDERS)]
    return all(any((place / one).exists() for place in places) for one in spelt_out(path))


@pytest.mark.parametrize("guide", GUIDES)
def test_every_path_that_a_guide_names_is_there(guide: str) -> None:
    text = (ROOT / guide).read_text()
    missing = [path for path in sorted(paths_of(text)) if not is_there(path, ROOT / guide)]
    assert missing == []


def test_a_path_that_is_not_there_is_found() -> None:
    assert paths_of("see `api/nowhere.py` and [this](docs/none.md)") == {"api/nowhere.py", "docs/none.md"}
    assert not is_there("api/nowhere.py", ROOT / "README.md")


@pytest.mark.parametrize("command", re.findall(r"make (\w+)", (ROOT / "README.md").read_text()))
def test_every_command_that_the_readme_names_is_there(command: str) -> None:
    assert command in (ROOT / "Makefile").read_text()
