"""Versions that stand in more than one place are the same."""

from dev.versions import of_module


def test_etcds_tools_are_of_its_own_version() -> None:
    server = of_module("etcd", "go.etcd.io/etcd/server/v3")
    assert [of_module("etcd-tools", f"go.etcd.io/etcd/{tool}/v3") for tool in ("etcdctl", "etcdutl")] == [server] * 2
