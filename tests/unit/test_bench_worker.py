"""What the worker's benches put together outside the image."""

from tests.bench.__main__ import expand
from tests.bench.harness import Sample
from tests.bench.worker_benches import BENCHES, load_all
from tests.bench.worker_units import SHAPES


def test_a_sample_has_all_shapes_when_each_ran_in_a_process_of_its_own() -> None:
    calls: list[tuple[str, ...]] = []

    def run(_module: str, *words: str) -> Sample:
        calls.append(words)
        return Sample({f"seconds, {words[1]}": 1.0}, words[1])

    found = load_all("ours", run)
    assert [words[1] for words in calls] == list(SHAPES)
    assert found.figures == {f"seconds, {shape}": 1.0 for shape in SHAPES}
    assert found.answer == {shape: shape for shape in SHAPES}


def test_every_goal_names_a_peer_and_a_unit_when_a_bench_is_built() -> None:
    for build in BENCHES.values():
        bench = build()
        for peer, goals in bench.peer_goals.items():
            assert peer in bench.sides
            assert set(goals) <= set(bench.goals)


def test_a_group_is_all_its_benches_when_it_is_named() -> None:
    assert expand(["engine", "load"], BENCHES) == ["engine-tiny", "engine-base", "engine-small", "load"]
    assert expand(["engine-base"], BENCHES) == ["engine-base"]
    assert expand(["eng"], BENCHES) == []
