"""API keys: the file's lines, and how it is read again."""

import hashlib
import os
from datetime import timedelta
from pathlib import Path

import pytest

from api.auth import build_gate
from api.keys import KeyFile, KeyFileError, parse_keys
from api.metrics import Metrics
from tests.support.api_fakes import NOW, SECRET, some_settings


def a_line(tenant: str, key: str) -> str:
    return f"{tenant} sha256:{hashlib.sha256(key.encode()).hexdigest()}\n"


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> object:
        self.now += timedelta(seconds=1)
        return self.now


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "keys"
    path.write_text(a_line("alice", "one"))
    return path


@pytest.fixture
def keys(path: Path) -> KeyFile:
    return KeyFile(path, Clock())


def test_a_key_belongs_to_the_tenant_of_its_line(path: Path) -> None:
    path.write_text(f"\ufeff# ours\r\n\r\n{a_line('alice', 'one')}{a_line('alice', 'two')}  {a_line('bob', 'drei ü')}")
    keys = KeyFile(path, Clock())
    as_sent = "drei ü".encode().decode("latin-1")
    assert [keys.find(key) for key in ("one", "two", as_sent, "three", "", "€")] == [
        "alice",
        "alice",
        "bob",
        *[None] * 3,
    ]


@pytest.mark.parametrize(
    "line",
    [
        "s3cret",
        "alice s3cret",
        "alice sha256:s3cret",
        f"alice sha256:{'0' * 63}",
        f"alice sha512:{'0' * 64}",
        f"alice sha256:{'0' * 64} s3cret",
        f"sha256:{'0' * 64}",
        f"anonymous sha256:{'0' * 64}",
        f"al/ice sha256:{'0' * 64}",
        f".. sha256:{'0' * 64}",
        f"{'a' * 64} sha256:{'0' * 64}",
        f"alice-0123456789abcdef sha256:{'0' * 64}",
        a_line("bob", "one"),
    ],
)
def test_a_broken_line_is_named_without_what_it_holds(path: Path, line: str) -> None:
    path.write_text(f"# ours\n{a_line('alice', 'one')}{line}\n")
    with pytest.raises(KeyFileError, match="line 3 of") as caught:
        KeyFile(path, Clock())
    assert not any(word in str(caught.value) for word in ("s3cret", "0000", "alice", "bob"))


def test_a_file_that_is_missing_or_no_text_stops_the_start(path: Path) -> None:
    with pytest.raises(KeyFileError, match="cannot be read"):
        KeyFile(path / "keys", Clock())
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(KeyFileError, match="UTF-8"):
        KeyFile(path, Clock())


def test_a_changed_file_is_read_again(path: Path, keys: KeyFile) -> None:
    path.write_text(a_line("alice", "one") + a_line("alice", "two"))
    assert (keys.find("one"), keys.find("two")) == ("alice", "alice")
    path.write_text(a_line("alice", "two"))
    assert (keys.find("one"), keys.find("two")) == (None, "alice")
    path.write_text("")
    assert keys.find("two") is None


def test_a_mounted_secret_that_is_swapped_by_a_link_is_read_again(tmp_path: Path) -> None:
    for name, key in (("v1", "one"), ("v2", "two")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "keys").write_text(a_line("alice", key))
        os.utime(tmp_path / name / "keys", (1, 1))
    (tmp_path / "..data").symlink_to("v1")
    (tmp_path / "keys").symlink_to("..data/keys")
    keys = KeyFile(tmp_path / "keys", Clock())
    assert keys.find("one") == "alice"
    (tmp_path / "..new").symlink_to("v2")
    (tmp_path / "..new").replace(tmp_path / "..data")
    assert (keys.find("one"), keys.find("two")) == (None, "alice")


def test_the_last_good_keys_stay_while_the_file_is_broken_or_gone(
    path: Path, keys: KeyFile, caplog: pytest.LogCaptureFixture
) -> None:
    path.write_text("s3cret")
    assert [keys.find("one") for _ in range(3)] == ["alice"] * 3
    path.unlink()
    assert [keys.find("one") for _ in range(3)] == ["alice"] * 3
    assert [record.levelname for record in caplog.records] == ["ERROR", "ERROR"]
    assert "s3cret" not in caplog.text
    path.write_text(a_line("bob", "two"))
    assert (keys.find("one"), keys.find("two")) == (None, "bob")


def test_the_file_is_looked_at_once_a_second(path: Path) -> None:
    clock = Clock()
    keys = KeyFile(path, lambda: clock.now)
    path.write_text(a_line("alice", "two"))
    assert keys.find("two") is None
    clock.now -= timedelta(hours=1)
    assert keys.find("two") == "alice"


@pytest.mark.parametrize(("passed", "is_seen"), [(0.999, False), (1, True)])
def test_a_change_is_seen_when_a_second_has_passed(path: Path, passed: float, is_seen: bool) -> None:
    now = [NOW]
    keys = KeyFile(path, lambda: now[0])
    path.write_text(a_line("alice", "two"))
    now[0] += timedelta(seconds=passed)
    assert (keys.find("two") == "alice") is is_seen


def test_a_change_is_seen_by_time_or_size_alone(path: Path) -> None:
    os.utime(path, (1, 1))
    keys = KeyFile(path, Clock())
    path.write_text(a_line("alice", "two"))
    os.utime(path, (2, 2))
    assert keys.find("two") == "alice"
    path.write_text(a_line("alice", "three") + "\n")
    os.utime(path, (2, 2))
    assert keys.find("three") == "alice"


def test_a_file_that_has_not_changed_is_not_read(keys: KeyFile, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    caplog.clear()
    assert [keys.find("one") for _ in range(3)] == ["alice"] * 3
    assert caplog.records == []


def test_digits_of_a_digest_may_be_large(path: Path) -> None:
    digest = hashlib.sha256(b"one").hexdigest().upper()
    path.write_text(f"alice\tsha256:{digest} # laptop")
    assert KeyFile(path, Clock()).find("one") == "alice"


def test_the_age_grows_while_the_file_is_not_in_order(path: Path) -> None:
    now = [NOW]
    keys = KeyFile(path, lambda: now[0])
    ages = []
    for content in ("", "broken", "broken still", a_line("alice", "two")):
        now[0] += timedelta(seconds=60)
        path.write_text(content)
        ages.append(keys.age_seconds())
    assert ages == [0, 60, 120, 0]
    now[0] += timedelta(seconds=0.5)
    assert keys.age_seconds() == 0.5
    now[0] -= timedelta(seconds=0.9)
    assert keys.age_seconds() == 0


def test_prometheus_is_told_the_age_when_there_are_keys(path: Path) -> None:
    now = [NOW]
    metrics = Metrics()
    build_gate(some_settings(auth_mode="api-key", keys_file=path, callback_secret=SECRET), lambda: now[0], metrics)
    path.unlink()
    now[0] += timedelta(minutes=5)
    assert metrics.registry.get_sample_value("transcription_api_keys_file_age_seconds") == 300
    other = Metrics()
    build_gate(some_settings(), lambda: NOW, other)
    assert "keys_file" not in other.render().decode()


def test_a_file_without_keys_opens_to_nobody() -> None:
    assert parse_keys("\n# none yet\n") == {}
