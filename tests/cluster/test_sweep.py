"""What a killed run of the tests leaves behind is gone with the next one."""

import subprocess
from dataclasses import replace

from crds.transcriptionjob import API_VERSION, KIND, PLURAL
from tests.support.arena import SOURCE
from tests.support.kubectl import Kubectl
from tests.support.namespaces import RUN_LABEL, open_namespace, sweep
from tests.support.transcriptions import an_id
from tests.support.waiting import wait_for


def a_dead_process() -> str:
    """The id of one that has ended."""
    process = subprocess.Popen(["true"])
    process.wait()
    return str(process.pid)


def test_what_a_killed_run_has_left_is_deleted(kubectl: Kubectl) -> None:
    left, gone = replace(kubectl, namespace=an_id("left")), {RUN_LABEL: a_dead_process()}
    left.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": left.namespace, "labels": gone}})
    held = {"name": "held", "finalizers": ["tests.example.org/nobody-undoes-this"]}
    left.create({"apiVersion": API_VERSION, "kind": KIND, "metadata": held, "spec": {"source": SOURCE}})
    pod = {"nodeName": left.namespace, "containers": [{"name": "main", "image": "none"}]}
    left.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": left.namespace, "labels": gone}})
    left.create({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "held"}, "spec": pod})
    role = {"name": f"{left.namespace}.scribe.viewer"}
    left.create({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": role})

    sweep(kubectl)

    assert left.get("node", left.namespace) is None
    assert left.get("clusterrole", role["name"]) is None
    wait_for(lambda: left.get("namespace", left.namespace) is None, 60, "the namespace is gone")


def test_what_a_run_still_uses_is_left_alone(kubectl: Kubectl) -> None:
    with open_namespace(kubectl, "used") as used:
        used.create({"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": "a"}, "spec": {"source": SOURCE}})
        sweep(kubectl)
        assert used.get(PLURAL, "a") is not None
