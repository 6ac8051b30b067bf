"""The mutants of the hostile media tests: the same for the same seed."""

from itertools import islice

from tests.support.hostile_mutants import breed

PARENTS = {"a": bytes(range(256)) * 8, "b": b"OggS" + bytes(3000), "tiny": b"x"}


def test_the_same_mutants_come_of_the_same_seed() -> None:
    assert list(breed(PARENTS, 7, 60)) == list(breed(PARENTS, 7, 60))
    assert list(breed(PARENTS, 7, 60)) == list(islice(breed(PARENTS, 7, 900), 60))
    assert list(breed(PARENTS, 7, 60)) != list(breed(PARENTS, 8, 60))


def test_nearly_all_mutants_differ_from_their_parents_and_keep_their_first_bytes() -> None:
    mutants = [m for m in breed(PARENTS, 7, 300) if " a " in m.name]
    assert sum(m.content != PARENTS["a"] for m in mutants) > 0.9 * len(mutants)
    assert sum(m.content[:12] == PARENTS["a"][:12] for m in mutants) > 0.9 * len(mutants)
