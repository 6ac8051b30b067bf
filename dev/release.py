"""The Helm release of our chart. Called by the commands after the cluster, its Secrets and the images are there."""

from dev import binaries, docker, images, kubectl, process, state, versions


def install(engine: docker.Docker) -> None:
    """Install the chart or upgrade the release, and wait until it runs."""
    forget_pending()
    root = state.checkout()
    tags = [f"{image.name}.image.tag={images.tag(engine, image)}" for image in images.PRODUCT]
    options = [word for tag in tags for word in ("--set-string", tag)]
    process.run(
        binaries.path(binaries.HELM),
        "upgrade",
        "--install",
        versions.RELEASE,
        root / "charts/transcription",
        "--namespace",
        versions.NAMESPACE,
        "-f",
        root / "dev/values.yaml",
        *options,
        "--wait",
        "--timeout",
        "5m",
        env=kubectl.env(),
    )


def forget_pending() -> None:
    """Forget revisions that a killed Helm left unfinished, which would refuse every later upgrade.

    Only Helm's record of the revision goes; the objects stay, and the next upgrade takes them over.
    """
    states = "pending-install,pending-upgrade,pending-rollback,uninstalling"
    kubectl.output(
        "-n", versions.NAMESPACE, "delete", "secret", "-l", f"owner=helm,name={versions.RELEASE},status in ({states})"
    )
