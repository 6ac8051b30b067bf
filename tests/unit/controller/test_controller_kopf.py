"""Kopf is a watcher for us, and does nothing for an event but hand it on."""

import kopf

from controller.handlers import build_kopf_settings
from tests.support.manifests import a_manifest


def test_kopf_copies_nothing_of_an_object_when_an_event_comes() -> None:
    persistence = build_kopf_settings().persistence
    body = kopf.Body(a_manifest())
    assert persistence.diffbase_storage.fetch(body=body) is None
    essence = persistence.diffbase_storage.build(body=body, extra_fields=["spec", "status"])
    assert essence == {}
    assert persistence.progress_storage.clear(essence=essence) is essence


def test_kopf_writes_nothing_when_it_is_asked_to_remember() -> None:
    persistence = build_kopf_settings().persistence
    body, patch = kopf.Body(a_manifest()), kopf.Patch()
    persistence.diffbase_storage.store(body=body, patch=patch, essence={})
    persistence.progress_storage.touch(body=body, patch=patch, value="now")
    assert not patch
