"""The S3 server that the chart can bring, for trials."""

from chart_rendering import Chart, Manifest
from test_chart_network import open_ports, spec_of
from test_chart_pods import find, pod_of, render

TRIAL = ("trialS3.enabled=true", "trialS3.secret=trial")
ENDPOINT = "http://scribe-s3.media.svc:9000"


def env_of(objects: list[Manifest], part: str) -> dict[str, Manifest]:
    (container,) = pod_of(objects, part)["spec"]["containers"]
    return {entry["name"]: entry for entry in container["env"]}


def test_no_server_is_brought_when_nobody_asks(chart: Chart) -> None:
    assert "scribe-s3" not in {found["metadata"]["name"] for found in chart.render()}


def test_all_programs_use_the_server_with_its_keys(chart: Chart) -> None:
    objects = render(chart, *TRIAL)
    for part in ("api", "controller"):
        env = env_of(objects, part)
        assert env[f"{part.upper()}_S3_ENDPOINT"]["value"] == ENDPOINT
        assert env[f"{part.upper()}_S3_PATH_STYLE"]["value"] == "true"
        assert env["AWS_SECRET_ACCESS_KEY"]["valueFrom"]["secretKeyRef"]["name"] == "trial"
    assert env_of(objects, "controller")["CONTROLLER_WORKER_S3_SECRET"]["value"] == "trial"


def test_pods_may_reach_the_server_and_it_may_reach_nobody(chart: Chart) -> None:
    objects = render(chart, *TRIAL)
    (port,) = find(objects, "Service", "scribe-s3")["spec"]["ports"]
    assert all(port["port"] in open_ports(spec_of(objects, part)) for part in ("api", "controller", "worker"))
    assert spec_of(objects, "s3")["egress"] == []


def test_the_server_makes_the_bucket_and_lets_browsers_in(chart: Chart) -> None:
    pod = pod_of(render(chart, *TRIAL, "s3.bucket=media", "trialS3.corsOrigin=https://front.example.org"), "s3")["spec"]
    assert pod["initContainers"][0]["command"][-1] == "/srv/s3/media"
    args = pod["containers"][0]["args"]
    assert args[args.index("--cors-allow-origin") + 1] == "https://front.example.org"
    assert args[-2:] == ["posix", "/srv/s3"]


def test_the_server_is_as_restricted_as_the_others(chart: Chart) -> None:
    objects = render(chart, *TRIAL)
    pod, api = pod_of(objects, "s3")["spec"], pod_of(objects, "api")["spec"]
    assert pod["securityContext"] == api["securityContext"]
    assert (pod["automountServiceAccountToken"], pod["enableServiceLinks"]) == (False, False)
    for container in pod["initContainers"] + pod["containers"]:
        assert container["securityContext"] == api["containers"][0]["securityContext"]


def test_files_lie_in_a_claim_when_one_is_named(chart: Chart) -> None:
    for setting, kind in (("trialS3.volumeClaim=files", "persistentVolumeClaim"), ("trialS3.volumeClaim=", "emptyDir")):
        (volume,) = pod_of(render(chart, *TRIAL, setting), "s3")["spec"]["volumes"]
        assert set(volume) == {"name", kind}


def test_a_server_without_keys_is_refused(chart: Chart) -> None:
    assert "needs trialS3.secret" in chart.refuse("trialS3.enabled=true")


def test_the_notes_warn_that_files_go_with_the_pod(chart: Chart) -> None:
    assert "loses them with it" in chart.notes(*TRIAL)
    assert "loses them with it" not in chart.notes(*TRIAL, "trialS3.volumeClaim=files")
    assert "without keys" not in chart.notes(*TRIAL)
