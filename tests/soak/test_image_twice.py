"""The same commit gives the same image: built twice with nothing kept from before, its layers are the same."""

import json
from collections.abc import Iterator

import pytest

from dev import docker, images

NAMES = ["transcription-twice:first", "transcription-twice:second"]


@pytest.fixture
def engine() -> Iterator[docker.Docker]:
    engine = docker.find()
    yield engine
    for name in NAMES:
        engine.succeeds("rmi", name)


@pytest.mark.soak
@pytest.mark.parametrize("image", [images.API, images.CONTROLLER], ids=lambda image: image.name)
def test_the_layers_are_the_same_when_it_is_built_twice(engine: docker.Docker, image: images.Image) -> None:
    for name in NAMES:
        engine.build(name, images.inputs(image), image.dockerfile, "--no-cache")
    first, second = (
        json.loads(engine.output("inspect", "--format", "{{json .RootFS.Layers}}", name)) for name in NAMES
    )
    assert first == second
    assert len(first) == 3
