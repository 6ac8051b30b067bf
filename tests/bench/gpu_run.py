"""The run of the GPU's benches, shape by shape. Called by gpu once there is a device; imports torch."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from tests.bench import gpu, gpu_busy, gpu_sides
from tests.bench.figures import at_least, at_most
from tests.bench.gpu_sides import TOY, Scale, Stage
from tests.bench.harness import OURS, Bench, BenchError, Outcome, Sample, measure
from tests.bench.worker_units import load_unit_of
from tests.support.engine_models import SHAPES, SMALLEST

SHARES = {"batch": 0.28, "small batch": 0.14, "step": 0.06}
"""Of the time left, for each bench of a shape; a shape of fewer layers needs less of its own."""
LOADED = "turbo"

Found = tuple[list[Outcome], list[str], dict[str, Any]]
Tell = Callable[[str], None]


def run(is_toy: bool, tell: Tell) -> Found:
    """All outcomes, what could not be measured, and the facts of the device."""
    began_at, scale = time.monotonic(), TOY if is_toy else Scale()
    device = torch.device("cpu" if is_toy else "cuda")
    shapes = {"toy": SMALLEST} if is_toy else {name: SHAPES[name] for name in ("large-v3", "turbo")}
    outcomes: list[Outcome] = []
    notes: list[str] = []
    facts = describe(device, scale)
    for name, dims in shapes.items():
        tell(f"{name}: building random weights")
        stage = gpu_sides.build_stage(dims, device, scale)
        left = gpu.SECONDS - (time.monotonic() - began_at)
        outcomes += _measure_shape(name, stage, left, notes, tell)
        if name in (LOADED, "toy"):
            outcomes += _measure_rest(name, stage, notes, tell)
        del stage
        gpu_sides.free(device)
    return outcomes, notes, facts


def describe(device: torch.device, scale: Scale) -> dict[str, Any]:
    """The device, and its rates at the start."""
    rates = gpu_sides.measure_rates(device, scale)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU, a toy: no figure counts"
    return {
        "device": name,
        "cuda": torch.version.cuda,
        "matrix product": f"{rates.operations_per_second / 1e12:.3g} TFLOP/s",
        "copy": f"{rates.bytes_per_second / 1e12:.3g} TB/s",
    }


def _measure_shape(name: str, stage: Stage, left: float, notes: list[str], tell: Tell) -> list[Outcome]:
    outcomes = []
    for number, rows in enumerate(stage.scale.batches):
        sides = gpu_sides.build_batch_sides(stage, rows)
        rivals = gpu_sides.build_transformers_sides(stage, rows)
        if not rivals and not number:
            notes.append(f"transformers, {name}: not measured: it is not installed here")
        sides |= {**rivals, gpu_sides.ROOFLINE: gpu_sides.build_roofline(stage, rows)}
        if number:  # these are about the full batch
            del sides[gpu_sides.ONE_BY_ONE], sides[gpu_sides.ROOFLINE]
        sides = gpu.drop_failing(sides, notes)
        goals = gpu.batch_goals(gpu_sides.ONE_BY_ONE, gpu_sides.SAME_BATCH, gpu_sides.ROOFLINE, sides)
        bench = gpu.build_batch(name, rows, sides, goals, gpu_sides.SPEED)
        share = SHARES["small batch" if number else "batch"] * left
        outcomes.append(_run(bench, stage.scale, share, tell))
        del sides, rivals, bench
        gpu_sides.free(stage.device)
    steps = Bench(
        f"{name}-step",
        f"{name}, one window, token by token",
        gpu_sides.build_step_sides(stage),
        {gpu_sides.STEP: gpu.step_goal(name)},
    )
    return [*outcomes, _run(steps, stage.scale, SHARES["step"] * left, tell)]


def _run(bench: Bench, scale: Scale, share: float, tell: Tell) -> Outcome:
    tell(f"{bench.name}: warming up")
    return gpu.run_bench(replace(bench, rounds=scale.rounds), scale.warm_ups, share, tell)


def _measure_rest(name: str, stage: Stage, notes: list[str], tell: Tell) -> list[Outcome]:
    """What needs files: the start, and a whole recording."""
    outcomes = []
    with tempfile.TemporaryDirectory() as home:
        for measure_one in (_measure_load, _measure_busy):
            try:
                outcomes.append(measure_one(name, stage, Path(home), tell))
            except (BenchError, OSError, subprocess.SubprocessError) as error:
                notes.append(f"{measure_one.__name__[9:]}: not measured: {type(error).__name__}: {str(error)[-300:]}")
    return outcomes


def _measure_load(name: str, stage: Stage, home: Path, tell: Tell) -> Outcome:
    path = home / f"{name}.pt"
    weights = {key: value.half().cpu() for key, value in stage.theirs.state_dict().items()}
    torch.save({"dims": vars(stage.dims), "model_state_dict": weights}, path)
    sides = {
        OURS: partial(_run_loading, "ours", name, path),
        "openai-whisper, load_model and decode": partial(_run_loading, "whisper", name, path),
    }
    unit = load_unit_of(name)
    title = f"{name}, checkpoint file to the first token"
    bench = Bench("load", title, sides, {unit: at_most(0.25)}, rounds=stage.scale.loads)
    return measure(bench, tell)


def _run_loading(side: str, name: str, path: Path) -> Sample:
    command = [sys.executable, "-m", "tests.bench.load_sides", side, name, str(path)]
    known = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(command, env=known, capture_output=True, text=True, check=False, timeout=300)
    if done.returncode:
        raise BenchError(done.stderr)
    found: Mapping[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return Sample(found["figures"], len(found["answer"]))


def _measure_busy(name: str, stage: Stage, home: Path, tell: Tell) -> Outcome:
    tell(f"{name}: a recording from file to text")
    recording = gpu_busy.Recording(stage, home)
    sides = {OURS: recording.look_busy, "the whole run": recording.look_whole}
    bench = Bench(
        "busy",
        f"{name}, {recording.seconds} s of MP3 to text: the GPU's share of the time",
        sides,
        {gpu_busy.SECONDS: at_least(0.9)},
        rounds=1,
    )
    return measure(bench, tell)
