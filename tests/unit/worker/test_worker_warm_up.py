"""Filling a volume with models: what comes from where, and what is said when it does not."""

from pathlib import Path

import pytest

from worker import warm_up
from worker.errors import ModelUnavailableError, ModelUnknownError
from worker.warm_up import keep, run


def installed(folder: Path) -> warm_up.Find:
    """The image has this model."""
    (folder / "demo.pt").write_bytes(b"weights")
    return lambda name, _installed, _part: folder / f"{name}.pt"


def download(name: str, _installed: Path, part: Path) -> Path:
    part.mkdir()
    (part / f"large-v3-{name}.pt").write_bytes(b"fetched")
    return part / f"large-v3-{name}.pt"


def refuse(name: str, _installed: Path, _part: Path) -> Path:
    raise ModelUnknownError(name, "The model is not installed here.")


def miss(_name: str, _installed: Path, _part: Path) -> Path:
    raise ModelUnavailableError("URLError('no route')")


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    folder = tmp_path / "volume"
    folder.mkdir()
    return folder


def test_a_model_of_the_image_is_copied_and_stays_in_the_image(tmp_path: Path, volume: Path) -> None:
    assert keep("demo", volume, installed(tmp_path)).read_bytes() == b"weights"
    assert (tmp_path / "demo.pt").exists()
    assert [path.name for path in volume.glob("*.pt")] == ["demo.pt"]


def test_another_is_downloaded_and_gets_its_own_name(volume: Path) -> None:
    assert keep("turbo", volume, download) == volume / "turbo.pt"
    assert list((volume / ".part").iterdir()) == []


def test_nothing_is_looked_for_when_it_is_there(volume: Path) -> None:
    (volume / "turbo.pt").write_bytes(b"there")
    assert keep("turbo", volume, refuse).read_bytes() == b"there"


def test_each_file_is_told(tmp_path: Path, volume: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["demo"], volume, installed(tmp_path), print) == 0
    assert f"{volume}/demo.pt has 7 bytes" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("find", "code", "words"), [(refuse, 69, "not installed here. (turbo)"), (miss, 81, "(URLError('no route'))")]
)
def test_the_fault_is_told_in_a_sentence_when_a_model_cannot_be_had(
    volume: Path, capsys: pytest.CaptureFixture[str], find: warm_up.Find, code: int, words: str
) -> None:
    assert run(["turbo", "demo"], volume, find, print) == code
    said = capsys.readouterr().out
    assert said.startswith("turbo: ")
    assert words in said


def test_the_fault_is_told_when_the_volume_cannot_be_written(
    tmp_path: Path, volume: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (volume / ".part").write_bytes(b"in the way")
    assert run(["demo"], volume, installed(tmp_path), print) == 85
    assert "cannot be written" in capsys.readouterr().out
