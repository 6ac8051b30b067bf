"""kind's node image where it cannot be pulled: Debian packages, kind's own files, our Kubernetes binaries.

Called by the commands. The images that kubeadm asks for are loaded into it, since the node could not pull them either.
"""

from pathlib import Path

from dev import archive, base_image, binaries, process, state, versions
from dev.docker import Docker, lacks_sys_resource, wait

PRELOAD = "transcription-node-preload"


def name() -> str:
    """The image's name; its tag changes with all that it is made of. Of each Kubernetes one is kept."""
    folder = state.checkout() / "dev/node"
    parts = [str(program.folder().name) for program in (*binaries.BARE, binaries.KUBECTL, binaries.KIND)]
    key = state.digest(sorted(folder.iterdir()), base_image.key(), needs_shim(), *parts)
    repository = "kindest/node" if versions.chosen() == versions.NEWEST else f"kindest/node-{versions.chosen()}"
    return f"{repository}:{versions.kubernetes()}-{key}"


def needs_shim() -> str:
    """Whether the node needs the shim in front of its runc, as the Dockerfile reads it."""
    return "yes" if lacks_sys_resource() else "no"


def is_built(docker: Docker) -> bool:
    """Whether this very node image is there."""
    return docker.inspect(name(), "{{.Id}}") is not None


def install_packages(docker: Docker) -> None:
    """Build the part that waits for the network, so that it is in Docker's cache when the binaries are ready."""
    files = archive.files_under(state.checkout() / "dev/node", "Dockerfile")
    docker.build("transcription-node:packages", files, "Dockerfile", "--target=packages")


def build(docker: Docker) -> None:
    """Build the node and kubeadm's images, load these into the node, and keep that as the node image."""
    settings = {"VERSION": versions.kubernetes(), "PAUSE": pause_image(), "NEEDS_SHIM": needs_shim()}
    options = [f"--build-arg={key}={value}" for key, value in settings.items()]
    docker.build("transcription-node:bare", context(), "Dockerfile", "--target=node", *options)
    for image in wanted_images():
        build_part(docker, image)
    preload(docker, wanted_images(), name())
    docker.forget_others(name())


def build_part(docker: Docker, image: str) -> None:
    """Build one of kubeadm's images: most are a single static program in an empty image."""
    part = image.rsplit("/", 1)[1].split(":")[0]
    files = context()
    if part in ("kube-proxy", "pause"):
        some = {name: files[name] for name in ("Dockerfile", "bin/kube-proxy")}
        docker.build(image, some, "Dockerfile", f"--target={part}")
    else:
        program = f"usr/local/bin/{part}"
        changes = ["-c", "ENV PATH=/usr/local/bin", "-c", f'ENTRYPOINT ["/{program}"]']
        docker.import_files(image, {program: files[f"bin/{part}"]}, *changes)


def context() -> dict[str, Path]:
    """What node/Dockerfile copies: path in the context -> file."""
    module = binaries.module_folder("kind", "sigs.k8s.io/kind") / "images/base"
    files = archive.files_under(state.checkout() / "dev/node", "Dockerfile", "runc")
    files |= archive.files_under(module, "files")
    for command in binaries.SERVERS:
        files[f"bin/{command}"] = binaries.path(binaries.KUBERNETES, command)
    for program in (binaries.KUBECTL, binaries.ETCD, binaries.COREDNS):
        files[f"bin/{program.name}"] = binaries.path(program)
    files |= {f"containerd/{path.name}": path for path in sorted(binaries.CONTAINERD.folder().iterdir())}
    return files


def wanted_images() -> list[str]:
    """What kubeadm starts a control plane from."""
    kubeadm = binaries.path(binaries.KUBERNETES, "kubeadm")
    return process.output(kubeadm, "config", "images", "list", "--kubernetes-version", versions.kubernetes()).split()


def pause_image() -> str:
    """The image that holds a pod's network open, as kubeadm names it."""
    return next(image for image in wanted_images() if "/pause:" in image)


def preload(docker: Docker, images: list[str], result: str) -> None:
    """Import images into the node's containerd, in a container of the node image, and commit that."""
    docker.succeeds("rm", "-f", PRELOAD)
    docker.run(
        "run", "-d", "--name", PRELOAD, "--privileged", "--entrypoint", "sleep", "transcription-node:bare", "infinity"
    )
    docker.run("exec", "-d", "--privileged", PRELOAD, "containerd")
    wait(lambda: docker.succeeds("exec", "--privileged", PRELOAD, "ctr", "version"), 30)
    for image in images:
        load = f"docker exec -i --privileged {PRELOAD} ctr -n k8s.io images import --no-unpack --digests -"
        process.run("bash", "-o", "pipefail", "-c", f"docker save {image} | {load}", env=docker.env())
    entrypoint = 'ENTRYPOINT ["/usr/local/bin/entrypoint", "/sbin/init"]'
    docker.run("commit", "--change", entrypoint, PRELOAD, result)
    docker.run("rm", "-f", PRELOAD)
    for image in ("transcription-node:bare", *images):
        docker.succeeds("rmi", image)
