import pytest

from crds.gpus import explain_misfit, find_model_gigabytes, find_slice_gigabytes

WHOLE = ["nvidia.com/gpu", "nvidia.com/gpu.shared", "amd.com/gpu", "gpu.intel.com/i915", "nvidia.com/mig-strange"]
SLICES = [
    ("nvidia.com/mig-1g.5gb", 5),
    ("nvidia.com/mig-1g.10gb", 10),
    ("nvidia.com/mig-2g.20gb", 20),
    ("nvidia.com/mig-7g.80gb", 80),
    ("nvidia.com/mig-1g.5gb.me", 5),
    ("nvidia.com/mig-1g.10gb.shared", 10),
]
MODELS = [
    ("tiny", 1),
    ("tiny.en", 1),
    ("base", 1),
    ("small.en", 2),
    ("medium", 5),
    ("large", 10),
    ("large-v3", 10),
    ("large-v3-turbo", 6),
    ("turbo", 6),
    ("demo", None),
    ("distil-large-v3", None),
]


@pytest.mark.parametrize("name", WHOLE)
def test_nothing_is_known_of_the_memory_when_the_name_promises_none(name: str) -> None:
    assert find_slice_gigabytes(name) is None
    assert explain_misfit("large-v3", 1, name) is None


@pytest.mark.parametrize(("name", "gigabytes"), SLICES)
def test_memory_is_read_from_the_name_of_a_slice(name: str, gigabytes: int) -> None:
    assert find_slice_gigabytes(name) == gigabytes


@pytest.mark.parametrize(("model", "gigabytes"), MODELS)
def test_memory_is_known_of_whispers_own_models(model: str, gigabytes: int | None) -> None:
    assert find_model_gigabytes(model) == gigabytes


@pytest.mark.parametrize(
    ("model", "name", "fits"),
    [
        ("medium", "nvidia.com/mig-1g.5gb", True),
        ("turbo", "nvidia.com/mig-1g.5gb", False),
        ("turbo", "nvidia.com/mig-1g.10gb", True),
        ("large-v3", "nvidia.com/mig-1g.5gb", False),
        ("large-v3", "nvidia.com/mig-1g.10gb", True),
        ("demo", "nvidia.com/mig-1g.5gb", True),
    ],
)
def test_model_fits_or_the_sentence_says_what_to_do(model: str, name: str, fits: bool) -> None:
    told = explain_misfit(model, 1, name)
    assert (told is None) == fits
    if told is not None:
        assert model in told
        assert name in told
        assert "choose a smaller model or a larger slice" in told


def test_slice_does_not_matter_when_it_runs_on_the_cpu() -> None:
    assert explain_misfit("large-v3", 0, "nvidia.com/mig-1g.5gb") is None
