"""The one base image of everything here: pulled where that works, else made from Debian packages.

Called by the commands.

The stand-in has the same name and reaches the package registries as the host does: it carries the host's certificates,
package sources and pip settings. Nothing of that kind is in a Dockerfile.
"""

import os
import re
import shutil
from configparser import ConfigParser
from pathlib import Path

from dev import packages, process, state, versions
from dev.docker import Docker, mounts_under

LABEL = "dev.transcription.base"
BUNDLE = "etc/ssl/certs/ca-certificates.crt"
PIP_SETTINGS = ("index-url", "extra-index-url", "trusted-host", "proxy", "default-timeout")
PULL_SECONDS = 90
UNWANTED = ("usr/share/doc", "usr/share/man", "usr/share/locale")


def is_stand_in(docker: Docker) -> bool:
    """Whether the base image here was made from packages, which also tells that nothing can be pulled."""
    return bool(docker.inspect(versions.BASE_IMAGE, f'{{{{index .Config.Labels "{LABEL}"}}}}'))


def is_pulled(docker: Docker) -> bool:
    """Whether the published base image is here or can be had."""
    if docker.inspect(versions.BASE_IMAGE, "{{.Id}}"):
        return not is_stand_in(docker)
    return docker.succeeds("pull", versions.BASE_IMAGE, timeout_seconds=PULL_SECONDS)


def is_current(docker: Docker) -> bool:
    """Whether the stand-in was made with the host's present settings."""
    return docker.inspect(versions.BASE_IMAGE, f'{{{{index .Config.Labels "{LABEL}"}}}}') == key()


def build(docker: Docker) -> None:
    """Make the stand-in with debootstrap and import it."""
    packages.install({"debootstrap": "debootstrap"})
    folder = state.directory("base")
    discard(folder)
    try:
        root = folder / "root"
        process.run(
            "debootstrap", "--variant=minbase", "--include=ca-certificates", versions.DEBIAN, root, mirrors()["Debian"]
        )
        for path, text in settings().items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text)
        trust(root)
        slim(root)
        import_image(docker, root)
    finally:
        discard(folder)


def discard(folder: Path) -> None:
    """Remove a root file system, also one that a killed debootstrap left with /proc mounted in it."""
    for mount in mounts_under(folder):
        process.run("umount", mount)
    if folder.exists():
        shutil.rmtree(folder)


def key() -> str:
    """Changes when the stand-in would come out different."""
    bundle = host_bundle()
    return state.digest([bundle] if bundle else [], versions.DEBIAN, repr(sorted(settings().items())))


def mirrors() -> dict[str, str]:
    """Where the host gets Debian's packages from: label of the archive -> address."""
    targets = ["apt-get", "indextargets", "--format", "$(LABEL)|$(REPO_URI)"]
    if not process.output(*targets):
        process.run("apt-get", "update")  # the host's lists were cleaned away
    lines = process.output(*targets).splitlines()
    found = dict(reversed([line.split("|", 1) for line in lines]))  # the first of each label counts
    return {label: found[label] for label in ("Debian", "Debian-Security") if label in found}


def settings() -> dict[str, str]:
    """Files of the stand-in that make it reach the registries as the host does: path -> text."""
    found = mirrors()
    sources = [f"deb {found['Debian']} {suite} main" for suite in (versions.DEBIAN, f"{versions.DEBIAN}-updates")]
    if "Debian-Security" in found:
        sources.append(f"deb {found['Debian-Security']} {versions.DEBIAN}-security main")
    return {
        "etc/apt/sources.list": "\n".join(sources) + "\n",
        "etc/apt/apt.conf.d/90host": apt_settings(),
        "etc/pip.conf": pip_settings(),
        "etc/dpkg/dpkg.cfg.d/slim": "".join(f"path-exclude /{folder}/*\n" for folder in UNWANTED),
    }


def apt_settings() -> str:
    """The host's ways of fetching packages: proxies and what it says about certificates and dates."""
    wanted = re.compile(r'^Acquire::(https?::(Proxy|Verify-\w+)|Check-)\S* "')
    lines = process.output("apt-config", "dump", "Acquire").splitlines()
    return "".join(f"{line}\n" for line in lines if wanted.match(line))


def pip_settings() -> str:
    """The host's pip settings that concern the network, from its files and its environment; pip may not be there."""
    files = ConfigParser(interpolation=None)
    files.read(["/etc/pip.conf", Path("~/.pip/pip.conf").expanduser(), Path("~/.config/pip/pip.conf").expanduser()])
    known = {name: value for part in ("global", "install") if part in files for name, value in files[part].items()}
    said = {name: os.environ.get(f"PIP_{name.upper().replace('-', '_')}") or known.get(name) for name in PIP_SETTINGS}
    lines = [f"{name} = {value}" for name, value in said.items() if value]
    return "\n".join(["[global]", f"cert = /{BUNDLE}", "disable-pip-version-check = true", *lines]) + "\n"


def host_bundle() -> Path | None:
    """The certificates that the host trusts, in one file."""
    named = [os.environ.get("SSL_CERT_FILE", ""), f"/{BUNDLE}"]
    return next((Path(name) for name in named if name and Path(name).is_file()), None)


def trust(root: Path) -> None:
    """Give the stand-in the host's certificates, also those that a person added."""
    for added in Path("/usr/local/share/ca-certificates").glob("*.crt"):
        shutil.copy(added, root / "usr/local/share/ca-certificates")
    process.run("chroot", root, "update-ca-certificates")
    if bundle := host_bundle():
        shutil.copy(bundle, root / BUNDLE)


def slim(root: Path) -> None:
    """Drop what the published slim image does not have either."""
    for folder in ("var/cache/apt/archives", "var/lib/apt/lists", *UNWANTED):
        for path in (root / folder).glob("*"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def import_image(docker: Docker, root: Path) -> None:
    """Make an image of a root file system."""
    archive = root.with_suffix(".tar")
    process.run("tar", "-C", root, "-cf", archive, ".")
    docker.run("import", "-c", 'CMD ["bash"]', "-c", f"LABEL {LABEL}={key()}", archive, versions.BASE_IMAGE)
