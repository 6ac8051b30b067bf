"""The rights that the chart gives to people."""

from chart_rendering import CHART, RELEASE, Chart, Manifest

AGGREGATE = "rbac.authorization.k8s.io/aggregate-to-"
READ = {"get", "list", "watch"}
WRITE = {"create", "update", "patch", "delete", "deletecollection"}


def people_roles(objects: list[Manifest]) -> dict[str, Manifest]:
    return {o["metadata"]["name"].rpartition(".")[2]: o for o in objects if o["kind"] == "ClusterRole"}


def rights_of(role: Manifest) -> dict[str, set[str]]:
    return {resource: set(rule["verbs"]) for rule in role["rules"] for resource in rule["resources"]}


def added_to(role: Manifest) -> set[str]:
    return {name.removeprefix(AGGREGATE) for name in role["metadata"]["labels"] if name.startswith(AGGREGATE)}


def test_viewers_read_and_editors_write_all_but_the_status(rendered: list[Manifest]) -> None:
    roles = people_roles(rendered)
    assert {name: rights_of(role) for name, role in roles.items()} == {
        "viewer": {"transcriptionjobs": READ, "transcriptionjobs/status": {"get"}},
        "editor": {"transcriptionjobs": READ | WRITE},
    }
    assert {name: added_to(role) for name, role in roles.items()} == {
        "viewer": {"view", "edit", "admin"},
        "editor": {"edit", "admin"},
    }


def test_people_get_nothing_when_it_is_switched_off(chart: Chart) -> None:
    done = chart.run("template", RELEASE, CHART, "--set", "rbac.aggregate=false")
    assert done.returncode == 0, done.stderr
    assert "kind: ClusterRole" not in done.stdout
