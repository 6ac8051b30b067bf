"""Which models OpenAI's clients are shown, and which one they mean."""

import pytest

from api.errors import ProblemError
from api.openai.models import choose_model, get_model, list_models
from tests.support.api_fakes import Caller, some_settings

SETTINGS = some_settings(models="/models/own.pt,large-v3,other/model")


def test_models_are_listed_once_with_the_installed_ones_first() -> None:
    names = [model.id for model in list_models(SETTINGS).data]
    assert names[:4] == ["/models/own.pt", "large-v3", "other/model", "whisper-1"]
    assert len(names) == len(set(names))
    assert {get_model(name, SETTINGS).owned_by for name in names[:4]} == {"installation", "openai"}


@pytest.mark.parametrize(
    ("named", "wanted"), [("whisper-1", None), ("/models/own.pt", None), ("large-v3", "large-v3"), ("tiny", "tiny")]
)
def test_no_model_is_named_when_the_default_is_meant(named: str, wanted: str | None) -> None:
    assert choose_model(named, SETTINGS) == wanted


@pytest.mark.parametrize("name", ["gpt-4o-transcribe", "other/model", "Tiny", "", " tiny", "../../x"])
def test_model_is_not_found_when_the_resource_could_not_name_it(name: str) -> None:
    with pytest.raises(ProblemError) as refused:
        choose_model(name, SETTINGS)
    assert refused.value.status_code == 404


def test_models_are_answered_as_openai_does(client: Caller) -> None:
    listed = client.get("/v1/models").json()
    assert listed["object"] == "list"
    assert listed["data"][0] == client.get("/v1/models/whisper-1").json()
    assert listed["data"][0].keys() == {"id", "object", "created", "owned_by"}


def test_model_is_unknown_when_it_is_not_listed(client: Caller) -> None:
    answer = client.get("/v1/models/gpt-4o")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")
