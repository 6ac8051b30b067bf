"""`make bench` is run by hand and seldom: that its whole API still starts is seen here."""

import httpx2
import pytest

from tests.bench.api_benches import a_whole_api
from tests.bench.api_servers import STATUS_PATH
from tests.bench.load import serving
from tests.support.kubectl import Kubectl


def test_the_api_of_the_benches_answers(kubectl: Kubectl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(kubectl.kubeconfig))
    with serving(a_whole_api()) as (_, port):
        assert httpx2.get(f"http://127.0.0.1:{port}{STATUS_PATH}/nobody").status_code == 404
