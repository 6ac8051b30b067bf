"""The kind cluster: one node, two advertised GPUs, ports on 127.0.0.1. Called by the commands.

Whether a cluster that is already there can be used is found out by using it: after a kill -9 the node may come back
whole or broken, and making a new one takes less time than mending it.
"""

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from dev import binaries, kubectl, process, state, versions
from dev.docker import Docker, wait

POD_NETWORK = {
    "cniVersion": "1.0.0",
    "name": "pods",
    "plugins": [
        {
            "type": "ptp",
            "ipMasq": True,
            "ipam": {"type": "host-local", "dataDir": "/run/cni-ipam-state", "routes": [{"dst": "0.0.0.0/0"}]},
        },
        {"type": "portmap", "capabilities": {"portMappings": True}},
    ],
}

KUBELET = {
    "apiVersion": "kubelet.config.k8s.io/v1beta1",
    "kind": "KubeletConfiguration",
    "failCgroupV1": False,
    # At 85 % disk the kubelet would delete images that no pod uses just now, and a bare machine cannot pull them again.
    "imageGCHighThresholdPercent": 100,
    "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
    "featureGates": {"KubeletInUserNamespace": True},
}
KUBE_PROXY = {
    "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
    "kind": "KubeProxyConfiguration",
    "conntrack": {"maxPerCore": 0},
}
AUDIT_FLAGS = {
    "audit-policy-file": "/etc/kubernetes/audit/policy.yaml",
    "audit-log-path": "/var/log/kubernetes/audit.log",
    "audit-log-maxsize": "100",
    "audit-log-maxbackup": "1",
}
CONTROLLER_FLAGS = {"kube-api-qps": "200", "kube-api-burst": "300", "concurrent-job-syncs": "20"}
"""With the defaults the Job controller ends three Jobs a second, and a soak would show nothing but that."""
AUDIT_VOLUMES = [
    {
        "name": "audit-policy",
        "hostPath": "/etc/kubernetes/audit",
        "mountPath": "/etc/kubernetes/audit",
        "readOnly": True,
    },
    {"name": "audit-log", "hostPath": "/var/log/kubernetes", "mountPath": "/var/log/kubernetes"},
]
CONTAINERD = '[plugins."io.containerd.grpc.v1.cri".registry]\nconfig_path = "/etc/containerd/certs.d"\n'


def build_control_plane() -> list[dict[str, object]]:
    """The API server writes down who wrote what of ours, and controllers may ask it often.

    In kubeadm's two forms, of which the node's own counts.
    """
    return [
        {
            "apiVersion": f"kubeadm.k8s.io/{version}",
            "kind": "ClusterConfiguration",
            "apiServer": {"extraArgs": render(AUDIT_FLAGS), "extraVolumes": AUDIT_VOLUMES},
            "controllerManager": {"extraArgs": render(CONTROLLER_FLAGS)},
        }
        for version, render in (("v1beta3", dict), ("v1beta4", list_flags))
    ]


def list_flags(flags: Mapping[str, str]) -> list[dict[str, str]]:
    """Flags as kubeadm's newer form has them."""
    return [{"name": name, "value": value} for name, value in flags.items()]


def build_config(s3_folder: Path, audit_policy: Path, own_network: bool) -> dict[str, object]:
    """kind's configuration; `own_network` where the node image was made here and brings no CNI."""
    ports = {versions.API_NODE_PORT: versions.API_PORT, versions.S3_NODE_PORT: versions.S3_PORT}
    node: dict[str, object] = {
        "role": "control-plane",
        "extraPortMappings": [
            {"containerPort": inner, "hostPort": outer, "listenAddress": "127.0.0.1"} for inner, outer in ports.items()
        ],
        "extraMounts": [
            {"hostPath": str(s3_folder), "containerPath": "/srv/s3"},
            {"hostPath": str(audit_policy), "containerPath": AUDIT_FLAGS["audit-policy-file"], "readOnly": True},
        ],
    }
    if not own_network and versions.chosen() == versions.OLDEST:
        node["image"] = versions.PUBLISHED_OLDEST
    return {
        "kind": "Cluster",
        "apiVersion": "kind.x-k8s.io/v1alpha4",
        "networking": {"disableDefaultCNI": own_network},
        "kubeadmConfigPatches": [json.dumps(patch) for patch in (KUBELET, KUBE_PROXY, *build_control_plane())],
        "containerdConfigPatches": [CONTAINERD],
        "nodes": [node],
    }


def made_from() -> Path:
    """The configuration that the present cluster was made from."""
    return state.directory() / "kind.json"


def render_config(node_image: str | None) -> str:
    """The configuration that the cluster should have."""
    return json.dumps(build_config(s3_folder(), audit_policy(), own_network=node_image is not None), indent=1)


def ensure(docker: Docker, node_image: str | None) -> None:
    """Use the cluster that is there, or make one; `node_image` is None where kind's own can be pulled."""
    if docker.inspect(versions.NODE, "{{.State.Status}}") in ("exited", "created"):
        docker.succeeds("start", versions.NODE)
    if not is_healthy(docker, node_image):
        create(docker, node_image)
    advertise_gpus()


def is_healthy(docker: Docker, node_image: str | None) -> bool:
    """Whether the cluster that is there is the one we want and runs a pod to its end."""
    if docker.inspect(versions.NODE, "{{.State.Running}}") != "true":
        return False
    if node_image and docker.inspect(versions.NODE, "{{.Config.Image}}") != node_image:
        return False
    if not made_from().exists() or made_from().read_text() != render_config(node_image):
        return False
    write_kubeconfig(docker)
    return wait(lambda: kubectl.succeeds("get", "--raw", "/readyz"), 60) and runs_a_pod()


def runs_a_pod() -> bool:
    """Whether scheduler, kubelet, containerd and pod network do their work, seen by a pod that ends well."""
    coredns = ["-n", "kube-system", "get", "deployment", "coredns"]
    try:
        image = kubectl.output(*coredns, "-o", "jsonpath={.spec.template.spec.containers[0].image}")
        run_to_end("probe", image, ["-version"], timeout_seconds=60)
        kubectl.output("-n", "kube-system", "rollout", "status", "deployment/coredns", "--timeout=60s")
    except process.ProgramError:
        return False
    return True


def bring_image(image: str) -> None:
    """Have the node pull an image before the first pod waits for it; quick when it is there."""
    run_to_end("bring-image", image, ["true"], timeout_seconds=600, as_command=True)


def run_to_end(
    name: str, image: str, arguments: Sequence[str], timeout_seconds: int, *, as_command: bool = False
) -> None:
    """Run a pod beside the system's own and wait until it has ended well."""
    where, waiting = ["-n", "kube-system"], f"--timeout={timeout_seconds}s"
    command = ["--command"] if as_command else []
    kubectl.output(*where, "delete", "pod", name, "--ignore-not-found", "--now")
    kubectl.output(*where, "run", name, f"--image={image}", "--restart=Never", *command, "--", *arguments)
    ended = "--for=jsonpath={.status.phase}=Succeeded"
    kubectl.output(*where, "wait", ended, f"pod/{name}", waiting, timeout_seconds=timeout_seconds + 10)
    kubectl.output(*where, "delete", "pod", name, "--wait=false")


def create(docker: Docker, node_image: str | None) -> None:
    """Make the cluster anew, up to the point where the node is Ready."""
    kind = binaries.path(binaries.KIND)
    process.run(
        kind, "delete", "cluster", "--name", versions.CLUSTER, "--kubeconfig", kubectl.kubeconfig(), env=docker.env()
    )
    made_from().write_text(render_config(node_image))
    image = ["--image", node_image] if node_image else ["--wait=120s"]
    process.run(
        kind,
        "create",
        "cluster",
        "--name",
        versions.CLUSTER,
        "--config",
        made_from(),
        "--kubeconfig",
        kubectl.kubeconfig(),
        *image,
        env=docker.env(),
    )
    if node_image:
        connect_pods(docker)
    kubectl.output("wait", "--for=condition=Ready", "node", "--all", "--timeout=120s")
    kubectl.output("-n", "kube-system", "rollout", "status", "deployment/coredns", "--timeout=120s")


def delete(docker: Docker) -> None:
    """Remove the cluster and kind's network."""
    kind = binaries.path(binaries.KIND)
    if kind.exists():
        process.run(
            kind,
            "delete",
            "cluster",
            "--name",
            versions.CLUSTER,
            "--kubeconfig",
            kubectl.kubeconfig(),
            env=docker.env(),
        )
    docker.succeeds("rm", "-f", "-v", versions.NODE)
    if docker.is_ours:  # on the host's own engine other clusters of kind may be waiting on it
        docker.succeeds("network", "rm", versions.NETWORK)


def connect_pods(docker: Docker) -> None:
    """Give the node a pod network; its range is assigned a moment after the node itself appears."""
    kubectl.output("wait", "--for=jsonpath={.spec.podCIDR}", f"node/{versions.NODE}", "--timeout=60s")
    subnet = kubectl.output("get", "node", versions.NODE, "-o", "jsonpath={.spec.podCIDR}")
    network = json.loads(json.dumps(POD_NETWORK))
    network["plugins"][0]["ipam"]["ranges"] = [[{"subnet": subnet}]]
    docker.output("exec", "-i", versions.NODE, "tee", "/etc/cni/net.d/10-pods.conflist", stdin=json.dumps(network))


def write_kubeconfig(docker: Docker) -> None:
    """Ask the cluster that runs for its admin's credentials; the port may have changed."""
    text = process.output(
        binaries.path(binaries.KIND), "get", "kubeconfig", "--name", versions.CLUSTER, env=docker.env()
    )
    state.write_private(kubectl.kubeconfig(), text + "\n")


def publish() -> None:
    """Give this checkout its own copy of the credentials, whose plain kubectl shows the release's namespace."""
    local = state.local("kubeconfig")
    state.write_private(local, kubectl.kubeconfig().read_text())
    kubectl.output("config", "set-context", "--current", "--namespace", versions.NAMESPACE, "--kubeconfig", local)


def advertise_gpus() -> None:
    """Make the scheduler count GPUs on a node that has none; the kubelet forgets them whenever it starts."""
    capacity = json.dumps({"status": {"capacity": {"nvidia.com/gpu": str(versions.GPUS)}}})
    kubectl.output("patch", "node", versions.NODE, "--subresource=status", "--type=merge", "-p", capacity)


def audit_policy() -> Path:
    """This machine's copy of the policy, under a name that changes with it: another one makes another cluster."""
    source = state.checkout() / "dev/node/audit-policy.yaml"
    copy = state.directory("audit") / f"{state.digest([source])}.yaml"
    shutil.copyfile(source, copy)
    return copy


def s3_folder() -> Path:
    """The S3 server's files, owned by the account its pod runs as."""
    for name in ("data", "iam"):
        state.directory("s3", name)
    folder = state.root() / "s3"
    for path in (folder, folder / "data", folder / "iam"):
        if os.geteuid() == 0 and path.stat().st_uid != s3_user():
            shutil.chown(path, s3_user(), s3_user())
    return folder


def s3_user() -> int:
    """The account that the S3 server's pod runs as: one that may write its folder, and never root."""
    return os.geteuid() or 65532
