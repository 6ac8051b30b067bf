"""The Helm release of our chart. Called by the commands after the cluster, its Secrets and the images are there."""

from dev import binaries, docker, images, kubectl, process, state, versions


def install(engine: docker.Docker) -> None:
    """Install the chart or upgrade the release, and wait until it runs."""
    forget_pending()
    root = state.checkout()
    tags = [f"{image.name}.image.tag={images.tag(engine, image)}" for image in images.PRODUCT]
    options = [word for tag in tags for word in ("--set-string", tag)]
    chart, values = root / "charts/transcription", root / "dev/values.yaml"
    words: list[process.Word] = [
        "upgrade",
        "--install",
        versions.RELEASE,
        chart,
        "--namespace",
        versions.NAMESPACE,
        "-f",
        values,
        *options,
    ]
    try:
        process.run(binaries.path(binaries.HELM), *words, "--wait", "--timeout", "3m", env=kubectl.env())
    except process.ProgramError as error:
        seen = kubectl.output("-n", versions.NAMESPACE, "get", "pods", "-o", "wide")
        raise process.ProgramError(f"{error}\n{seen}") from error


def forget_pending() -> None:
    """Forget revisions that a killed Helm left unfinished, which would refuse every later upgrade.

    Only Helm's record of the revision goes; the objects stay, and the next upgrade takes them over.
    """
    states = "pending-install,pending-upgrade,pending-rollback,uninstalling"
    kubectl.output(
        "-n", versions.NAMESPACE, "delete", "secret", "-l", f"owner=helm,name={versions.RELEASE},status in ({states})"
    )
