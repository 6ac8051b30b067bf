"""A model read the quick way is the one that whisper reads."""

from pathlib import Path
from typing import Any

import pytest
import torch
import whisper
from whisper.model import ModelDimensions

from tests.support.engine_models import CPU, SMALLEST, a_random_model
from worker.engine.door import load
from worker.engine.loading import RANDOMLY_FILLED, find_checkpoint, load_model
from worker.errors import ModelUnavailableError, ModelUnknownError


@pytest.fixture
def single_file(tmp_path: Path) -> Path:
    """A checkpoint in single precision, which is used as it lies in the file."""
    return save(a_random_model(SMALLEST), tmp_path / "single.pt")


def save(model: Any, path: Path, **options: Any) -> Path:
    torch.save({"dims": vars(model.dims), "model_state_dict": model.state_dict()}, path, **options)
    return path


def assert_same(mine: Any, theirs: Any) -> None:
    ours, whispers = mine.state_dict(), theirs.state_dict()
    assert list(ours) == list(whispers)
    for name in whispers:
        assert ours[name].dtype == whispers[name].dtype, name
        assert torch.equal(ours[name], whispers[name]), name
    for (name, own), other in zip(mine.named_buffers(), theirs.buffers(), strict=True):
        assert torch.equal(own.to_dense(), other.to_dense()), name
    assert (mine.dims, mine.device) == (theirs.dims, theirs.device)
    tokens, mel = torch.tensor([[50258, 50259, 50359, 7, 8]]), torch.linspace(-1, 1, 240_000).reshape(1, 80, 3000)
    with torch.inference_mode():
        assert torch.equal(mine(mel, tokens), theirs(mel, tokens))


def test_the_demo_model_is_the_one_that_whisper_loads(demo_file: Path) -> None:
    assert_same(load_model(demo_file, "demo", CPU), whisper.load_model(str(demo_file), device="cpu"))


def test_single_precision_is_the_one_that_whisper_loads(single_file: Path) -> None:
    assert_same(load_model(single_file, "x", CPU), whisper.load_model(str(single_file), device="cpu"))


def test_a_file_of_the_old_format_is_read(tmp_path: Path, single_file: Path) -> None:
    old = save(load_model(single_file, "x", CPU), tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    assert_same(load_model(old, "x", CPU), load_model(single_file, "x", CPU))


def test_the_weights_are_the_mapped_file(single_file: Path) -> None:
    weight = load_model(single_file, "x", CPU).decoder.token_embedding.weight
    mapped = [line for line in Path("/proc/self/maps").read_text().splitlines() if str(single_file) in line]
    spans = [[int(end, 16) for end in line.split()[0].split("-")] for line in mapped]
    assert any(begin <= weight.data_ptr() < end for begin, end in spans)


def test_no_weight_is_drawn_by_chance(single_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Any] = []
    before = {kind: kind.reset_parameters for kind in RANDOMLY_FILLED}
    for name in ("kaiming_uniform_", "normal_", "uniform_", "ones_", "zeros_"):
        monkeypatch.setattr(torch.nn.init, name, lambda *args, **_: drawn.append(args))
    load_model(single_file, "x", CPU)
    assert drawn == []
    assert {kind: kind.reset_parameters for kind in RANDOMLY_FILLED} == before
    torch.nn.Linear(1, 1)
    assert drawn, "other modules are filled as ever"


def test_a_known_model_gets_its_alignment_heads(tmp_path: Path) -> None:
    path = save(a_random_model(ModelDimensions(80, 1500, 48, 6, 1, 51865, 448, 48, 6, 4)), tmp_path / "tiny.pt")
    model = load_model(path, "tiny", CPU)
    model.set_alignment_heads(whisper._ALIGNMENT_HEADS["tiny"])
    wanted = model.alignment_heads.to_dense()
    assert torch.equal(load_model(path, "tiny", CPU).alignment_heads.to_dense(), wanted)
    assert not torch.equal(load_model(path, "another", CPU).alignment_heads.to_dense(), wanted)


def test_a_model_that_is_there_is_not_downloaded(single_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whisper, "_download", lambda *_, **__: pytest.fail("downloaded"))
    tiny = single_file.rename(single_file.with_name("tiny.pt"))
    assert find_checkpoint("tiny", tiny.parent, tiny.parent) == tiny
    assert find_checkpoint(str(tiny), Path("/nowhere"), None) == tiny


def test_a_model_of_whispers_is_downloaded_where_there_is_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whisper, "_download", lambda url, root, in_memory: f"{root}/{Path(url).name} {in_memory}")
    assert find_checkpoint("tiny", tmp_path, tmp_path / "down") == tmp_path / "down/tiny.pt False"


def test_nothing_is_downloaded_and_the_error_says_what_there_is_when_there_is_no_room(
    single_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whisper, "_download", lambda *_, **__: pytest.fail("downloaded"))
    with pytest.raises(ModelUnknownError) as caught:
        find_checkpoint("tiny", single_file.parent, None)
    assert "choose one of single, or" in caught.value.fault.message


@pytest.mark.parametrize("name", ["nothing", "/nowhere/x.pt"])
def test_an_unknown_model_is_told_from_a_broken_one(tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelUnknownError):
        load(name, tmp_path, tmp_path)


def test_a_failed_download_is_a_missing_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("checksum")

    monkeypatch.setattr(whisper, "_download", fail)
    with pytest.raises(ModelUnavailableError):
        load("tiny", tmp_path, tmp_path)


@pytest.mark.parametrize("change", ["cut", "empty", "text", "dims", "tensors"])
def test_a_broken_file_is_told_so(single_file: Path, change: str) -> None:
    whole = single_file.read_bytes()
    bodies = {"cut": whole[: len(whole) // 2], "empty": b"", "text": b"not a model\n" * 99}
    if change in bodies:
        single_file.write_bytes(bodies[change])
    else:
        checkpoint = torch.load(single_file)
        broken = {"dims": {"dims": {"n_mels": 80}}, "tensors": {"model_state_dict": {}}}
        torch.save(checkpoint | broken[change], single_file)
    with pytest.raises(ModelUnavailableError):
        load("single", single_file.parent, None)
