"""The benches that need a GPU run to their end on a toy, so that the first GPU they meet finds no slip of the pen."""

import json
from pathlib import Path

import pytest
import torch

from tests.bench import gpu


def test_every_line_runs_when_the_model_is_a_toy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "found.json"
    assert gpu.main(["--toy", "--out", str(out)]) == 0
    found, said = json.loads(out.read_text()), capsys.readouterr().out
    assert set(found["benches"]) == {"toy-3", "toy-2", "toy-step", "load", "busy"}, found["notes"]
    assert len(found["benches"]["toy-3"]["samples"]["ours"]) == 2
    for peer in ("openai-whisper, one after the other", "openai-whisper, the same batch", "roofline of this device"):
        assert f"| {peer} |" in said
    assert "ms a token" in said


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_nothing_is_measured_when_there_is_no_gpu(capsys: pytest.CaptureFixture[str]) -> None:
    assert gpu.main([]) == gpu.NOT_MEASURED
    assert "not measured: no GPU" in capsys.readouterr().out
