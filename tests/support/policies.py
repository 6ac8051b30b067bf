"""NetworkPolicies enforced on the dev cluster while a block runs, and pods that try whom they reach.

The dev cluster's own pod network takes no notice of policies, so kube-router's firewall is run beside it.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace

from dev import docker, registry, versions
from tests.support.kubectl import Kubectl, Manifest
from tests.support.speech import ROOT
from tests.support.transcriptions import an_id
from tests.support.waiting import wait_for

NAME = "policy-enforcer"
PLACE = "kube-system"
FIREWALL = (
    "--run-router=false --run-service-proxy=false --run-firewall=true --enable-cni=false "
    "--service-cluster-ip-range=10.96.0.0/16 --iptables-sync-period=5s"
)
METADATA = "169.254.169.254"
START = f"kube-router {FIREWALL} & echo $! > /run/firewall; wait; exec sleep infinity"
STOP = f"""
pid=$(cat /run/firewall)
kill $pid
while kill -0 $pid; do sleep 0.2; done
# it takes its rules away, and falls over what it has never made
kube-router --cleanup-config
ip address del {METADATA}/32 dev lo
! iptables-save | grep KUBE-ROUTER-
"""
TRY = """
import json, socket, sys
def reaches(target):
    host, _, port = target.rpartition(":")
    try:
        socket.create_connection((host, int(port)), 3).close()
    except OSError:
        return False
    return True
print(json.dumps({target: reaches(target) for target in sys.argv[1:]}))
"""
SERVE = """
import http.server, sys
place = sys.argv[1], int(sys.argv[2])
http.server.ThreadingHTTPServer(place, http.server.BaseHTTPRequestHandler).serve_forever()
"""
LOCKED = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
ACCOUNT = {
    "rules": [
        {
            "apiGroups": ["", "networking.k8s.io", "discovery.k8s.io"],
            "resources": ["namespaces", "pods", "services", "nodes", "endpoints", "endpointslices", "networkpolicies"],
            "verbs": ["get", "list", "watch"],
        }
    ]
}


def build_image() -> str:
    """The enforcer's, in the registry beside the cluster."""
    engine, name = docker.find(), f"{versions.REGISTRY}/{NAME}:{an_id('test')}"
    program = ROOT / ".dev/bin/kube-router"
    assert program.exists(), "kube-router is not in .dev/bin: make soak builds it"
    dockerfile = ROOT / "dev/policies/Dockerfile"
    engine.build(name, {"Dockerfile": dockerfile, "kube-router": program}, "Dockerfile")
    engine.run("push", name)
    return name


def build_enforcer(image: str, node: str) -> list[Manifest]:
    """Its pod with an account that may only look, on a node."""
    meta = {"name": NAME, "namespace": PLACE}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": NAME}
    subject = {"kind": "ServiceAccount", "name": NAME, "namespace": PLACE}
    rbac = "rbac.authorization.k8s.io/v1"
    container = {
        "name": NAME,
        "image": image,
        "command": ["sh", "-c", START],
        "env": [{"name": "NODE_NAME", "value": node}],
        "securityContext": {"privileged": True},
        "readinessProbe": {"httpGet": {"path": "/healthz", "port": 20244}, "periodSeconds": 1},
    }
    spec = {"hostNetwork": True, "nodeName": node, "serviceAccountName": NAME, "containers": [container]}
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta},
        {"apiVersion": rbac, "kind": "ClusterRole", "metadata": {"name": NAME}, **ACCOUNT},
        {
            "apiVersion": rbac,
            "kind": "ClusterRoleBinding",
            "metadata": {"name": NAME},
            "roleRef": role,
            "subjects": [subject],
        },
        {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec},
    ]


@contextmanager
def enforced(kubectl: Kubectl) -> Iterator[None]:
    """Policies hold while the block runs, and the node has the address of a cloud's metadata."""
    system = replace(kubectl, namespace=PLACE)
    image = build_image()
    node = kubectl.list("node")[0]["metadata"]["name"]
    listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": build_enforcer(image, node)})
    system.run("create", "--filename=-", stdin=listed)
    try:
        system.wait(f"pod/{NAME}", "condition=Ready", 120)
        system.run("exec", NAME, "--", "ip", "address", "add", f"{METADATA}/32", "dev", "lo")
        yield
    finally:
        system.run("exec", NAME, "--", "sh", "-c", STOP)
        system.run("delete", "--filename=-", "--now", stdin=listed)
        docker.find().succeeds("rmi", image)
        registry.forget(NAME, image.rpartition(":")[2])


@dataclass(frozen=True)
class Prober:
    """A pod with labels that policies select by."""

    place: Kubectl
    name: str
    address: str

    def reach(self, *targets: str) -> dict[str, bool]:
        """Which of those, each host:port, take a connection."""
        answer = self.place.run("exec", self.name, "--", "python3", "-c", TRY, *targets)
        return dict(json.loads(answer))


def start_pod(place: Kubectl, name: str, image: str, labels: Mapping[str, str], listen: tuple[str, int]) -> str:
    """A restricted pod that listens at an address and port; its own address."""
    container = {
        "name": name,
        "image": image,
        "command": ["python3", "-c", SERVE, listen[0], str(listen[1])],
        "securityContext": LOCKED,
    }
    spec = {
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 0,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
    }
    if listen[0] == METADATA:
        rights = {"runAsUser": 0, "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}}
        spec |= {"hostNetwork": True, "securityContext": {}, "containers": [container | {"securityContext": rights}]}
    place.create({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": dict(labels)}, "spec": spec})
    place.wait(f"pod/{name}", "condition=Ready", 60)
    found = place.get("pod", name)
    assert found is not None
    return str(found["status"]["podIP"])


def wait_until_closed(prober: Prober, target: str) -> None:
    """Until the firewall knows the pod, which it hears of a moment after its start."""
    wait_for(lambda: not prober.reach(target)[target], 60, f"{prober.name} is kept from {target}")
