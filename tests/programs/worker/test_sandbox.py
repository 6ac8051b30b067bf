"""What a program can do in the sandbox, and what becomes of it there. The programs are Python's, the kernel is real."""

import os
import resource
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from worker.errors import SandboxUnavailableError
from worker.sandbox import KILLED, ROOT, START, STDERR_BYTES, Limits, Output, Sandbox
from worker.sandbox_child import EXIT_UNAVAILABLE, Cell

PYTHON = (os.path.realpath(sys.executable), "-I", "-S", "-c")
LIBRARY = Path(sys.base_prefix)
PATIENT = Limits(output_bytes=1 << 20, seconds=20, cpu_seconds=10)
ATTEMPT = """
import os, sys
def attempt(act):
    try:
        return repr(act())
    except OSError as error:
        return error.strerror
"""
NO_LANDLOCK = """
import os, struct, sys
from ctypes import addressof, create_string_buffer
from worker.sandbox_kernel import prctl
steps = [(0x20, 0, 0, 0), (0x15, 0, 1, 444), (0x06, 0, 0, 0x50026), (0x06, 0, 0, 0x7FFF0000)]
program = create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in steps))
header = create_string_buffer(struct.pack("HxxxxxxP", len(steps), addressof(program)))
prctl(38, 1)
prctl(22, 2, addressof(header))
os.execv(sys.argv[1], sys.argv[1:])
"""


def run(code: str, limits: Limits = PATIENT, readable: tuple[Path, ...] = ()) -> Output:
    return Sandbox().run([*PYTHON, ATTEMPT + code], limits, [LIBRARY, *readable])


def outcome(expression: str, *readable: Path) -> str:
    """What the program says of one act: its value, or why it could not be done."""
    output = run(f"print(attempt(lambda: {expression}))", readable=readable)
    assert output.code == 0, output.stderr
    return output.stdout.decode().strip()


def test_a_file_is_read_when_it_was_given(tmp_path: Path) -> None:
    path = tmp_path / "media"
    path.write_bytes(b"sound")
    assert outcome(f"open({str(path)!r}, 'rb').read()", path) == "b'sound'"


@pytest.mark.parametrize("path", ["/etc/passwd", "/proc/self/environ", "/dev/null", "/proc/1/environ"])
def test_a_file_is_not_read_when_it_is_another(path: str) -> None:
    assert outcome(f"open({path!r}, 'rb').read()") == "Permission denied"


def test_the_file_beside_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "media").write_bytes(b"sound")
    (tmp_path / "secret").write_bytes(b"canary")
    act = f"open({str(tmp_path / 'secret')!r}, 'rb').read()"
    assert outcome(act, tmp_path / "media") == "Permission denied"


def test_a_folder_is_not_listed_when_only_a_file_in_it_was_given(tmp_path: Path) -> None:
    (tmp_path / "media").write_bytes(b"sound")
    assert outcome(f"os.listdir({str(tmp_path)!r})", tmp_path / "media") == "Permission denied"


@pytest.mark.parametrize(
    "act",
    [
        "open(path, 'w')",
        "open(path, 'r+b')",
        "open(path + '-new', 'x')",
        "os.truncate(path, 0)",
        "os.remove(path)",
        "os.rename(path, path + '-new')",
        "os.link(path, path + '-new')",
        "os.symlink(path, path + '-new')",
        "os.mkdir(path + '-new')",
        "os.chmod(path, 0o777)",
        "os.utime(path, (0, 0))",
    ],
)
def test_nothing_is_written_even_where_it_may_read(act: str, tmp_path: Path) -> None:
    path = tmp_path / "media"
    path.write_bytes(b"sound")
    before = path.stat()
    said = outcome(act.replace("path", repr(str(path))), tmp_path)
    assert said in {"Permission denied", "Function not implemented"}
    assert [entry.name for entry in tmp_path.iterdir()] == ["media"]
    assert (path.read_bytes(), path.stat().st_mode, path.stat().st_mtime) == (b"sound", before.st_mode, before.st_mtime)


@pytest.mark.parametrize("family", [1, 2, 10, 16, 17], ids=["unix", "ip", "ipv6", "netlink", "packet"])
def test_no_socket_is_made(family: int) -> None:
    assert outcome(f"__import__('_socket').socket({family}, 2)") == "Function not implemented"


def test_no_connection_is_made_when_a_port_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0)
        port = server.getsockname()[1]
        output = Sandbox().run(["ffmpeg", "-v", "error", "-i", f"http://127.0.0.1:{port}/a.mp3"], PATIENT)
        assert output.code != 0
        with pytest.raises(BlockingIOError):
            server.accept()


@pytest.mark.parametrize(
    "act",
    [
        "os.fork()",
        "os.posix_spawn(sys.executable, ['python', '-c', ''], {})",
        "os.kill(os.getppid(), 0)",
        "__import__('_socket').socketpair()",
        "os.memfd_create('x')",
    ],
)
def test_a_call_is_not_there_when_ffmpeg_needs_none_of_it(act: str) -> None:
    assert outcome(act) == "Function not implemented"


@pytest.mark.parametrize("program", ["/usr/bin/id", "sys.executable"])
def test_no_program_is_started_from_inside(program: str) -> None:
    path = program if program.startswith("sys") else repr(program)
    assert outcome(f"os.execv({path}, ['x'])") == "Permission denied"


def test_threads_are_made() -> None:
    code = """
import _thread
done = _thread.allocate_lock()
done.acquire()
_thread.start_new_thread(done.release, ())
print(done.acquire(True, 5))
"""
    assert run(code).stdout == b"True\n"


def test_limits_cannot_be_raised() -> None:
    output = run("import resource\nprint(attempt(lambda: resource.setrlimit(resource.RLIMIT_AS, (-1, -1))))")
    assert b"None" not in output.stdout


def test_memory_ends_when_the_limit_is_reached() -> None:
    limits = Limits(output_bytes=100, seconds=20, cpu_seconds=10, memory_bytes=256 << 20)
    assert "MemoryError" in run("bytearray(300 << 20)", limits).stderr


def test_it_is_killed_when_it_computes_too_long() -> None:
    output = run("while True: pass", Limits(output_bytes=10, seconds=20, cpu_seconds=1))
    assert output.code == KILLED
    assert 0.9 < output.cpu_seconds < 3
    assert not output.is_late


def test_it_is_killed_when_its_time_is_up() -> None:
    output = run("import select\nselect.poll().poll()", Limits(output_bytes=10, seconds=0.3, cpu_seconds=10))
    assert (output.code, output.is_late) == (KILLED, True)
    assert output.cpu_seconds < 1


def test_it_is_killed_when_it_closes_its_pipes_and_goes_on() -> None:
    code = "import select\nos.close(1); os.close(2); select.poll().poll()"
    assert run(code, Limits(output_bytes=10, seconds=0.3, cpu_seconds=10)).is_late


def test_it_is_killed_when_it_says_nothing_for_too_long() -> None:
    code = "import select\nsys.stdout.write('a'); sys.stdout.flush(); select.poll().poll()"
    output = run(code, Limits(output_bytes=10, seconds=20, cpu_seconds=10, silent_seconds=0.3))
    assert (output.stdout, output.is_late) == (b"a", True)


def test_it_is_killed_when_it_writes_too_much() -> None:
    output = run("while True: print('x' * 9999)", Limits(output_bytes=50_000, seconds=20, cpu_seconds=10))
    assert output.is_cut
    assert len(output.stdout) < 50_000 + (1 << 17)


def test_the_end_of_the_complaints_is_kept_when_they_are_many() -> None:
    output = run("sys.stderr.write('x' * 999999 + 'last words'); sys.exit(3)")
    assert output.code == 3
    assert len(output.stderr) == STDERR_BYTES
    assert output.stderr.endswith("last words")


def test_it_sees_no_secrets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden")
    with (tmp_path / "token").open("wb") as file:
        os.set_inheritable(file.fileno(), True)
        assert outcome("sorted(set(os.environ) - {'LC_CTYPE'})") == "['MALLOC_ARENA_MAX', 'PATH']"
        assert outcome(f"os.fstat({file.fileno()})") == "Bad file descriptor"


def test_several_run_beside_each_other() -> None:
    codes: list[int] = []
    threads = [threading.Thread(target=lambda: codes.append(run("pass").code)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes == [0, 0, 0]


def test_nothing_runs_when_the_kernel_has_no_landlock() -> None:
    done = start_without_landlock(is_strict=True, act="print('ran')")
    assert (done.returncode, done.stdout) == (EXIT_UNAVAILABLE, "")
    assert done.stderr == "sandbox: the kernel offers no Landlock: Function not implemented\n"


def test_the_rest_of_the_sandbox_holds_when_it_may_do_without_landlock() -> None:
    acts = ("lambda: open('/etc/hostname').read()", "lambda: open('/tmp/x', 'w')", "os.fork")
    act = "print(" + ", ".join(f"attempt({act})" for act in acts) + ")"
    done = start_without_landlock(is_strict=False, act=act)
    assert done.stderr == ""
    hostname = Path("/etc/hostname").read_text()
    assert done.stdout == f"{hostname!r} Permission denied Function not implemented\n"


def test_a_run_says_so_when_it_cannot_be_locked_in() -> None:
    # inside a sandbox there is no second one: the calls are not on its list
    inner = Cell(True, 1 << 30, 10, (), ("/usr/bin/id",))
    code = f"sys.path.append({ROOT!r}); from worker.sandbox_child import main; main({inner.to_arguments()!r})"
    with pytest.raises(SandboxUnavailableError, match="Function not implemented"):
        run(code, readable=(Path(ROOT),))


def test_the_sandbox_leaves_this_process_as_it_was() -> None:
    run("pass")
    status = dict(line.split(":\t", 1) for line in Path("/proc/self/status").read_text().splitlines())
    assert status["NoNewPrivs"] == "0"
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 0


def start_without_landlock(*, is_strict: bool, act: str) -> subprocess.CompletedProcess[str]:
    cell = Cell(is_strict, 1 << 30, 10, (str(LIBRARY),), (*PYTHON, ATTEMPT + act))
    launcher = [sys.executable, "-I", "-S", "-c", START, ROOT, *cell.to_arguments()]
    command = [sys.executable, "-c", NO_LANDLOCK, *launcher]
    return subprocess.run(command, env={"PYTHONPATH": ROOT}, capture_output=True, text=True, check=False, timeout=20)
