"""The images of the dev release hold what they need to run and no more."""

import json
import re
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest

from dev import docker, images
from tests.support.speech import ROOT

COMPILER = re.compile(r"(.*-)?(gcc|cc1?|[gc]\+\+|cpp|clang|tcc|as|ld|make|cmake|go|rustc)(-[\d.]+|\.[a-z]{3,4})?")
FOR_PEOPLE = {"sh", "dash", "bash", "busybox", "perl", "apt", "apt-get", "dpkg", "tar", "curl", "wget", "su", "mount"}
INSTALLERS = {"pip", "ensurepip"}
LOOK = (ROOT / "tests/support/image_contents.py").read_text()


@dataclass(frozen=True)
class Look:
    config: dict[str, Any]
    inside: dict[str, list[str]]


@cache
def look_at(image: images.Image) -> Look:
    engine = docker.find()
    name = images.full_name(engine, image)
    words = ("--rm", "--interactive", "--network=none", "--read-only", "--user=0", "--entrypoint=python3", name, "-")
    inside = json.loads(engine.output("run", *words, stdin=LOOK))  # brings it from the registry, too
    return Look(json.loads(engine.output("inspect", "--format", "{{json .Config}}", name)), inside)


@pytest.fixture(scope="module", params=images.PRODUCT, ids=lambda image: image.name)
def look(request: pytest.FixtureRequest) -> Look:
    return look_at(request.param)


def test_no_compiler_is_inside(look: Look) -> None:
    assert [name for name in look.inside["programs"] if COMPILER.fullmatch(name)] == []


def test_nothing_installs_packages(look: Look) -> None:
    assert INSTALLERS.isdisjoint(look.inside["packages"])
    assert look.inside["caches"] == []


def test_no_program_gives_more_rights(look: Look) -> None:
    assert look.inside["of_more_rights"] == []


def test_it_runs_as_nobody_and_says_what_it_is(look: Look) -> None:
    assert look.config["User"] == "65532:65532"
    said = {name.removeprefix("org.opencontainers.image.") for name in look.config["Labels"]}
    assert {"title", "description", "licenses"} <= said


@pytest.mark.parametrize("image", [images.API, images.CONTROLLER], ids=lambda image: image.name)
def test_python_is_the_only_program(image: images.Image) -> None:
    assert FOR_PEOPLE.isdisjoint(look_at(image).inside["programs"])
