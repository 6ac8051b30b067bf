"""Listing and keeping all resources: `python -m tests.bench.api_lists SIDE`, a fresh process. Started by api_benches.

What is measured begins when all is imported. It prints CPU-seconds, and how far the peak of memory lies above that.
"""

import asyncio
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

from crds.transcriptionjob import API_VERSION, GROUP, PLURAL, VERSION
from tests.bench.crowd import NAMESPACE

CPU = "CPU-seconds"
MEMORY = "MiB above the imports"
MIB = 1 << 20

Read = Callable[[], int]


def prepare_ours() -> Read:
    """The API's own cache: it lists, and then watches."""
    from api.collector import calm_collector
    from api.store import KubernetesStore

    calm_collector()

    async def read() -> int:
        store = KubernetesStore(NAMESPACE)
        await store.start()
        while not store.is_synced:  # noqa: ASYNC110  # the store tells nobody
            await asyncio.sleep(0.01)
        count = len(store.rows.page(lambda _: True, None, 1_000_000))
        await store.stop()
        return count

    return lambda: asyncio.run(read())


def prepare_typed() -> Read:
    """The official client's typed list, kept by name."""
    import kubernetes

    from tests.bench.typed_models import install

    kind = install()
    kubernetes.config.load_kube_config()
    door = kubernetes.client.ApiClient()

    def read() -> int:
        listed = door.call_api(
            f"/apis/{API_VERSION}/namespaces/{NAMESPACE}/{PLURAL}",
            "GET",
            header_params={"Accept": "application/json"},
            response_types_map={200: kind},
            auth_settings=["BearerToken"],
            _return_http_data_only=True,
        )
        cache = {one.metadata.name: one for one in listed.items}
        return len(cache)

    return read


def prepare_untyped() -> Read:
    """The official client's list of custom objects, which are plain dicts, kept by name."""
    import kubernetes

    kubernetes.config.load_kube_config()
    custom = kubernetes.client.CustomObjectsApi()

    def read() -> int:
        listed = custom.list_namespaced_custom_object(GROUP, VERSION, NAMESPACE, PLURAL)
        cache = {one["metadata"]["name"]: one for one in listed["items"]}
        return len(cache)

    return read


SIDES: dict[str, Callable[[], Read]] = {
    "ours": prepare_ours,
    "typed": prepare_typed,
    "untyped": prepare_untyped,
}


def main(side: str) -> None:
    read = SIDES[side]()
    Path("/proc/self/clear_refs").write_text("5")  # the peak of memory counts from here
    before, begin = _memory("VmRSS"), _cpu_seconds()
    count = read()
    figures = {CPU: _cpu_seconds() - begin, MEMORY: (_memory("VmHWM") - before) / MIB}
    sys.stdout.write(json.dumps({"figures": figures, "answer": count}))


def _cpu_seconds() -> float:
    spent = os.times()
    return spent.user + spent.system


def _memory(field: str) -> int:
    """Bytes, from what the kernel says of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:")) * 1024


if __name__ == "__main__":
    main(sys.argv[1])
