import json
from typing import Any

import pytest
from chart_rendering import CHART, Chart, Manifest, leaf_paths, read_rows, read_values
from pydantic_settings import BaseSettings

from api.settings import ApiSettings
from controller.settings import ControllerSettings
from tests.support.api_fakes import SECRET

MORE = {"EXTRA", "AWS_CA_BUNDLE"}
AWS_KEYS = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
OWN_RESULT = "http://scribe-api.media.svc:8080/api/upload-video/result"


def env_of(objects: list[Manifest], name: str) -> dict[str, dict[str, Any]]:
    (pod,) = [
        o["spec"]["template"]["spec"] for o in objects if o["kind"] == "Deployment" and name in o["metadata"]["name"]
    ]
    return {entry["name"]: entry for entry in pod["containers"][0]["env"] if entry["name"] not in MORE}


def plain(env: dict[str, dict[str, Any]]) -> dict[str, str]:
    return {name: entry["value"] for name, entry in env.items() if "value" in entry}


@pytest.mark.parametrize(("part", "settings"), [("api", ApiSettings), ("controller", ControllerSettings)])
def test_the_environment_is_the_settings_and_nothing_else(
    full: list[Manifest], part: str, settings: type[BaseSettings]
) -> None:
    fields = {f"{settings.model_config['env_prefix']}{field}".upper() for field in settings.model_fields}
    assert set(env_of(full, part)) == fields | AWS_KEYS


@pytest.mark.parametrize(("part", "settings"), [("api", ApiSettings), ("controller", ControllerSettings)])
def test_the_settings_take_the_environment(
    rendered: list[Manifest], monkeypatch: pytest.MonkeyPatch, part: str, settings: type[BaseSettings]
) -> None:
    for name, entry in env_of(rendered, part).items():
        monkeypatch.setenv(name, entry.get("value", SECRET))
    assert settings().model_dump()["namespace"] == "media"


def test_secrets_reach_the_environment_by_reference_alone(full: list[Manifest]) -> None:
    for part in ("api", "controller"):
        env = env_of(full, part)
        for name in {*AWS_KEYS, f"{part.upper()}_CALLBACK_SECRET"}:
            assert set(env[name]["valueFrom"]) == {"secretKeyRef"}


def test_what_the_chart_says_of_workers_reaches_the_controller(
    full: list[Manifest], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in plain(env_of(full, "controller")).items():
        monkeypatch.setenv(name, value)
    settings = ControllerSettings()
    assert settings.worker_image == "mirror.example.org/worker:7"
    assert settings.worker_service_account == "scribe-worker"
    assert settings.worker_pod.image_pull_secrets == ({"name": "mirror"},)
    assert settings.worker_pod.annotations == {"note": 'a "quoted" one'}
    assert [mount["name"] for mount in settings.worker_pod.volume_mounts] == ["trust", "models", "cache"]


def test_callbacks_go_to_the_api_itself_when_no_url_is_given(chart: Chart) -> None:
    assert plain(env_of(chart.render(), "controller"))["CONTROLLER_CALLBACK_URL"] == OWN_RESULT


def test_large_numbers_are_written_out(chart: Chart) -> None:
    assert plain(env_of(chart.render(), "api"))["API_MAX_UPLOAD_BYTES"] == "5368709120"


@pytest.mark.parametrize(
    ("wrong", "place"),
    [
        ("replicas=2", ""),
        ("api.replica=2", "/api"),
        ("api.replicas=two", "/api/replicas"),
        ("api.image.tags=1", "/api/image"),
        ("api.service.type=nodeport", "/api/service/type"),
        ("controller.replicas=-1", "/controller/replicas"),
        ("controller.maxActive=-1", "/controller/maxActive"),
        ("crds.enable=false", "/crds"),
        ("logLevel=verbose", "/logLevel"),
        ("s3.endpoint=s3:9000", "/s3/endpoint"),
        ("s3.publicEndpoint=https://example.org/s3", "/s3/publicEndpoint"),
        ("callback.retrySchedule=1..2", "/callback/retrySchedule"),
        ("callback.allowedHosts={http://hooks}", "/callback/allowedHosts/0"),
        ("worker.model=../demo.pt", "/worker/model"),
        ("s3.pathstyle=true", "/s3"),
        ("callback.signingSecret=whsec_C2FVsBQIhrscChlQIMV", "/callback/signingSecret"),
        ("worker.gpu.count=9", "/worker/gpu/count"),
        ("worker.image.pullPolicy=Sometimes", "/worker/image/pullPolicy"),
        ("worker.resources.limit.memory=1Gi", "/worker/resources"),
        ("worker.models={../demo}", "/worker/models/0"),
        ("api.auth.mode=basic", "/api/auth/mode"),
        ("api.auth.oidc.issuer=id.example.org", "/api/auth/oidc/issuer"),
        ("api.auth.oidc.algorithms={HS256}", "/api/auth/oidc/algorithms/0"),
        ("api.rate.seconds=0", "/api/rate/seconds"),
        ("api.trustedProxies={proxy.example.org}", "/api/trustedProxies/0"),
        ("api.image.registry=https://mirror", "/api/image/registry"),
        ("global.imageRegistry=mirror/", "/global/imageRegistry"),
        ("controller.tolerations=all", "/controller/tolerations"),
        ("worker.serviceAccount.creat=false", "/worker/serviceAccount"),
        ("networkPolicy.blockedAddresses={metadata}", "/networkPolicy/blockedAddresses/0"),
        ("flowControl.shares=many", "/flowControl/shares"),
        ("worker.modelSource.hostPath=models", "/worker/modelSource/hostPath"),
        ("s3.caBundle.configmap=ca", "/s3/caBundle"),
        ("priorityClasses.low.value=high", "/priorityClasses/low/value"),
        ("priorityClasses.high.name=Urgent", "/priorityClasses/high/name"),
    ],
)
def test_a_wrong_value_is_refused(chart: Chart, wrong: str, place: str) -> None:
    assert f"at '{place}'" in chart.refuse(wrong)


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ("api.auth.mode=api-key callback.signingSecret=signing", "api.auth.keysSecret"),
        ("api.auth.mode=api-key api.auth.keysSecret=keys", "callback.signingSecret"),
        ("api.auth.mode=oidc callback.signingSecret=signing", "api.auth.oidc.audience"),
        (
            "api.auth.mode=oidc callback.signingSecret=signing api.auth.oidc.audience=a"
            " api.auth.oidc.issuer=https://id.example.org",
            "api.auth.oidc.jwksUrl",
        ),
    ],
)
def test_half_a_way_of_knowing_callers_is_refused(chart: Chart, given: str, missing: str) -> None:
    assert f"needs {missing} too" in chart.refuse(*given.split())


def test_requests_get_the_classes_that_the_installation_names(chart: Chart, full: list[Manifest]) -> None:
    env = plain(env_of(full, "api"))
    assert (env["API_PRIORITY_LOW"], env["API_PRIORITY_HIGH"]) == ("media.scribe.low", "media.scribe.high")
    done = chart.run(
        "template", "scribe", CHART, "--set", "priorityClasses.create=false", "--set", "priorityClasses.low.name=spare"
    )
    assert "kind: PriorityClass" not in done.stdout
    assert '{name: API_PRIORITY_LOW, value: "spare"}' in done.stdout
    assert "API_PRIORITY_HIGH" not in done.stdout


def test_the_default_model_comes_first_in_the_list_of_models(full: list[Manifest]) -> None:
    assert plain(env_of(full, "api"))["API_MODELS"] == "large-v3,turbo"


def test_the_schema_is_closed_wherever_a_key_could_be_mistyped() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    open_ones = set(find_open(schema, ""))
    assert open_ones == {
        "/properties/global",
        "/definitions/affinity",
        "/definitions/strings",
        "/definitions/objects/items",
        "/definitions/resources/properties/requests",
        "/definitions/resources/properties/limits",
    }


def find_open(schema: Any, path: str) -> list[str]:
    """Where the schema takes keys that it does not name."""
    if not isinstance(schema, dict):
        return []
    own = [path] if schema.get("type") == "object" and schema.get("additionalProperties") is not False else []
    return own + [found for key, value in schema.items() for found in find_open(value, f"{path}/{key}")]


def test_every_value_has_a_comment_and_a_row_in_the_readme() -> None:
    rows = read_rows()
    paths = [row.path for row in rows]
    assert paths == list(leaf_paths(read_values(), set(paths)))
    table = "\n".join(["| Value | Default | What it is |", "|---|---|---|", *map(str, rows)])
    assert table in (CHART / "README.md").read_text(), f"the table of the chart's README is now:\n{table}"


def test_the_notes_show_a_first_request_and_how_to_watch(chart: Chart) -> None:
    notes = chart.notes()
    assert "curl -s http://127.0.0.1:8080/api/upload-video/generate-url" in notes
    assert "kubectl -n media port-forward service/scribe-api 8080:8080" in notes
    assert "kubectl -n media get transcriptionjobs --watch" in notes


def test_the_notes_warn_when_s3_has_no_keys(chart: Chart) -> None:
    keys = ("api.s3Secret=a", "controller.s3Secret=b", "worker.s3Secret=c")
    assert "some accounts have no Secret" in chart.notes()
    assert "is used without keys" in chart.notes("s3.endpoint=http://s3:9000", *keys[:2])
    complete = chart.notes("s3.endpoint=http://s3:9000", *keys)
    assert "no Secret" not in complete
    assert "without keys" not in complete


def test_the_notes_say_where_files_are_kept_and_what_to_look_at_when_no_pod_gets_ready(chart: Chart) -> None:
    assert "in the bucket transcriptions of AWS (us-east-1)" in chart.notes()
    notes = chart.notes("s3.endpoint=https://s3.example.org", "s3.bucket=media")
    assert "in the bucket media of https://s3.example.org." in notes
    assert "kubectl -n media logs deployment/scribe-api | grep 'not ready'" in notes


@pytest.mark.parametrize("inside", ["http://s3:9000", "http://s3.media.svc:9000", "http://s3.media.svc.cluster.local"])
def test_the_notes_warn_when_browsers_cannot_reach_s3(chart: Chart, inside: str) -> None:
    assert "set s3.publicEndpoint" in chart.notes(f"s3.endpoint={inside}")
    assert "set s3.publicEndpoint" not in chart.notes(
        f"s3.endpoint={inside}", "s3.publicEndpoint=https://s3.example.org"
    )
    assert "set s3.publicEndpoint" not in chart.notes("s3.endpoint=https://s3.example.org")


def test_the_notes_warn_when_callbacks_are_not_signed(chart: Chart) -> None:
    assert "callbacks are not signed" in chart.notes()
    assert "callbacks are not signed" not in chart.notes("callback.signingSecret=signing")


def test_the_notes_warn_when_anybody_may_call(chart: Chart) -> None:
    assert "whoever reaches the API may use it" in chart.notes()
    known = ("api.auth.mode=api-key", "api.auth.keysSecret=keys", "callback.signingSecret=signing")
    assert "whoever reaches the API" not in chart.notes(*known)
