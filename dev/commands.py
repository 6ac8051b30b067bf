"""What each command does, step by step. Called by `__main__`."""

from functools import partial

from dev import (
    base_image,
    binaries,
    checkov,
    cluster,
    docker,
    engine_tests,
    images,
    keys,
    node_image,
    packages,
    process,
    promtool,
    python,
    registry,
    release,
    state,
    storage,
    versions,
)
from dev.docker import Docker
from dev.steps import Progress, Step


def up(*more: binaries.Program) -> None:
    """Bring everything up, with more programs if need be: what is there is left alone."""
    state.check_disk(versions.chosen())
    say_and_install(packages.EVERYWHERE)
    engine = docker.ensure()
    pulled = base_image.is_pulled(engine)
    lanes = [program_steps(pulled, more), image_steps(engine, pulled)]
    last = cluster_steps(engine, pulled, more)
    progress = Progress(sum(map(len, lanes)) + len(last))
    progress.run_lanes(*lanes)
    progress.run_lane(last)
    state.complete(versions.chosen()).touch()


def demo() -> None:
    """Bring everything up and take one video through it."""
    up()
    root = state.checkout()
    video = state.local("demo.mp4")
    process.show(root / "examples/make-video.sh", video, env=python.env())
    print("\nThe journey of a video; its words come last.", flush=True)
    process.show(root / "examples/journey.sh", video, env=python.env())
    print(
        f"\nThe system stays up: API http://127.0.0.1:{versions.API_PORT}, S3 {versions.S3_ENDPOINT}.\n"
        "  export KUBECONFIG=.dev/kubeconfig; .dev/bin/kubectl -n transcription get transcriptionjobs\n"
        "  make down    stops it and keeps the caches"
    )


def lint() -> None:
    """Run the checks that need no cluster."""
    steps = [venv_step(), *map(program_step, (binaries.HELM, binaries.ACTIONLINT))]
    Progress(len(steps)).run_lane(steps)
    python.publish()
    python.lint()


def lock() -> None:
    """Write the lock files anew, with the tools of the present ones."""
    Progress(1).perform(venv_step())
    python.lock()


def test() -> None:
    """Check the code, bring everything up and run all tests."""
    state.check_disk(versions.chosen())
    lint()
    up(binaries.HELM3, binaries.KUBECONFORM, binaries.KUBE_SCORE)
    bring_chart_tools()
    with engine_tests.running_beside(docker.ensure()):  # those on the cluster mostly wait
        python.test()


def matrix() -> None:
    """Run the tests whose outcome Kubernetes decides on the oldest; the cluster stays on it until the next `up`."""
    versions.choose(versions.OLDEST)
    up(binaries.HELM3, binaries.KUBECONFORM)
    python.test(*python.MATRIX)


def bench() -> None:
    """Bring everything up and measure us beside others."""
    up(binaries.KWOK)
    python.bench()


def soak() -> None:
    """Bring everything up and run what takes long."""
    state.check_disk(versions.chosen())
    up(binaries.KWOK, binaries.ETCDCTL, binaries.ETCDUTL, binaries.KUBE_ROUTER)
    engine_tests.run(docker.ensure(), "soak")
    python.soak()


def down() -> None:
    """Stop all that runs; what was built stays."""
    engine = docker.find()
    if engine.is_ours and state.root().joinpath("docker").exists():
        docker.ensure()  # what outlived a killed engine is found and stopped by the engine alone
    if engine.succeeds("info"):
        print("removing the cluster and the registry", flush=True)
        registry.remove(engine)
        cluster.delete(engine)
    docker.stop(engine)
    print(f"nothing runs any more; caches are in {state.root()}")


def bring_chart_tools() -> None:
    """The program that tries the chart's alerts, and a linter: nothing but the tests needs them."""
    steps = [
        Step("taking promtool out of its package", promtool.bring, promtool.is_there, promtool.ABOUT_SECONDS),
        Step("installing checkov", checkov.build, checkov.is_built, checkov.ABOUT_SECONDS),
    ]
    Progress(len(steps)).run_lane(steps)
    promtool.publish()
    checkov.publish()


def say_and_install(programs: dict[str, str]) -> None:
    """Install Debian packages, and say which."""
    if wanted := packages.missing(programs):
        print(f"installing {' '.join(wanted)}", flush=True)
        packages.install(programs)


def program_steps(pulled: bool, more: tuple[binaries.Program, ...]) -> list[Step]:
    """The lane that needs the processor. kubectl comes after Kubernetes, with which it shares most packages."""
    servers = () if pulled else binaries.BARE
    wanted = (binaries.KIND, binaries.VERSITYGW, *servers, binaries.KUBECTL, binaries.HELM, *more)
    return [program_step(program) for program in wanted]


def program_step(program: binaries.Program) -> Step:
    """A program that is built when it is missing."""
    return Step(
        f"building {program.name}",
        partial(binaries.build, program),
        partial(binaries.is_built, program),
        program.about_seconds,
    )


def image_steps(engine: Docker, pulled: bool) -> list[Step]:
    """The lane that needs the network: base image, registry, our images, the tests' Python packages."""
    base = Step("making the base image", partial(base_image.build, engine), partial(base_image.is_current, engine), 60)
    node = Step(
        "installing the node's packages",
        partial(node_image.install_packages, engine),
        partial(node_image.is_built, engine),
        30,
    )
    return [
        *([] if pulled else [base]),
        Step("building the registry", partial(registry.build, engine), partial(registry.is_built, engine), 15),
        Step("starting the registry", partial(registry.ensure_running, engine), about_seconds=2),
        *[image_step(engine, image) for image in images.PRODUCT],
        *([] if pulled else [node]),
        venv_step(),
    ]


def image_step(engine: Docker, image: images.Image) -> Step:
    """An image that is built and pushed when the registry does not have it."""
    return Step(
        f"building the image {image.name}",
        partial(images.build_and_push, engine, image),
        partial(images.is_pushed, engine, image),
        image.about_seconds,
    )


def venv_step() -> Step:
    """The Python environment of tests and linters."""
    return Step("installing the Python packages of tests and linters", python.build, python.is_built, 45)


def cluster_steps(engine: Docker, pulled: bool, more: tuple[binaries.Program, ...]) -> list[Step]:
    """What needs programs and images: the node image, the cluster, S3, the release."""
    secrets = keys.load()
    node_step = Step(
        "building the node image", partial(node_image.build, engine), partial(node_image.is_built, engine), 90
    )
    return [
        *([] if pulled else [node_step]),
        image_step(engine, images.S3),
        Step("bringing the cluster up", partial(ensure_cluster, engine, pulled, more), about_seconds=40),
        Step("bringing the worker image to the node", partial(bring_worker, engine), about_seconds=120),
        Step("bringing S3 up", partial(ensure_storage, engine, secrets), about_seconds=10),
        Step("installing the release", partial(ensure_release, engine, secrets), about_seconds=60),
    ]


def ensure_cluster(engine: Docker, pulled: bool, more: tuple[binaries.Program, ...]) -> None:
    """The cluster runs, knows the registry, and this checkout can speak to it."""
    cluster.ensure(engine, None if pulled else node_image.name())
    registry.connect(engine)
    cluster.publish()
    binaries.publish(binaries.KUBECTL, binaries.HELM, *more)
    python.publish()
    binaries.drop_caches()


def bring_worker(engine: Docker) -> None:
    """The node has the one large image, so that no transcription waits for it."""
    cluster.bring_image(images.full_name(engine, images.WORKER))


def ensure_storage(engine: Docker, secrets: keys.Keys) -> None:
    """The S3 server runs with its accounts and the bucket."""
    storage.install(secrets, images.full_name(engine, images.S3))
    keys.publish(secrets)


def ensure_release(engine: Docker, secrets: keys.Keys) -> None:
    """The release runs with the Secrets it names."""
    keys.install(secrets)
    release.install(engine)
    registry.prune(engine, [images.full_name(engine, image) for image in (*images.PRODUCT, images.S3)])
