"""The seccomp filter, run by a small machine like the kernel's; the kernel's own judgement is in tests/programs."""

import errno
import os
import re
import struct
from pathlib import Path

import pytest

from worker.sandbox_kernel import UnavailableError
from worker.sandbox_seccomp import ALLOW, ARCHITECTURES, KILL, NUMBERS, REFUSE, build_filter, parse_numbers

PROGRAM_AT = 0x7F12_3456_789A
ABSENT, DENIED = REFUSE | errno.ENOSYS, REFUSE | errno.EACCES
HEADERS = {
    "x86_64": Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    "aarch64": Path("/usr/include/asm-generic/unistd.h"),
}
# what a program must not do
FORBIDDEN = {
    "x86_64": """
        socket=41 connect=42 bind=49 sendto=44 socketpair=53 ptrace=101 mount=165 unshare=272 setns=308 execveat=322
        kill=62 tgkill=234 clone3=435 bpf=321 memfd_create=319 io_uring_setup=425 process_vm_readv=310 openat2=437
        prctl=157 unlinkat=263 fchmodat=268 keyctl=250 userfaultfd=323
    """,
    "aarch64": """
        socket=198 connect=203 bind=200 sendto=206 socketpair=199 ptrace=117 mount=40 unshare=97 setns=268
        execveat=281 kill=129 tgkill=131 clone3=435 bpf=280 memfd_create=279 io_uring_setup=425 process_vm_readv=270
        openat2=437 prctl=167 unlinkat=35 fchmodat=53 keyctl=219 userfaultfd=282
    """,
}


def judge(machine: str, number: int, *arguments: int, architecture: int | None = None) -> int:
    """What the filter answers to one system call."""
    words = (number, architecture or ARCHITECTURES[machine], 0)
    data = struct.pack("<IIQ6Q", *words, *(*arguments, 0, 0, 0, 0, 0, 0)[:6])
    steps = list(struct.iter_unpack("=HBBI", build_filter(machine, PROGRAM_AT)))
    at, held = 0, 0
    while True:
        code, if_so, if_not, operand = steps[at]
        at += 1
        match code:
            case 0x20:
                (held,) = struct.unpack_from("<I", data, operand)
            case 0x15:
                at += if_so if held == operand else if_not
            case 0x45:
                at += if_so if held & operand else if_not
            case 0x06:
                return int(operand)


@pytest.fixture(params=list(NUMBERS))
def machine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_reading_and_writing_are_allowed(machine: str) -> None:
    numbers = parse_numbers(machine)
    assert {judge(machine, numbers[name]) for name in ("read", "write", "mmap", "futex", "exit_group")} == {ALLOW}


def test_a_call_is_absent_when_it_is_not_on_the_list(machine: str) -> None:
    forbidden = dict(entry.split("=") for entry in FORBIDDEN[machine].split())
    answers = {name: judge(machine, int(number)) for name, number in forbidden.items()}
    assert answers == dict.fromkeys(forbidden, ABSENT)


def test_a_call_kills_when_it_is_made_the_way_of_another_machine(machine: str) -> None:
    assert judge(machine, parse_numbers(machine)["read"], architecture=0x40000003) == KILL


@pytest.mark.parametrize(
    "flags", [os.O_WRONLY, os.O_RDWR, os.O_RDONLY | os.O_CREAT, os.O_TRUNC, os.O_TMPFILE | os.O_RDWR]
)
def test_a_file_is_not_opened_when_it_could_be_written(flags: int, machine: str) -> None:
    openat = parse_numbers(machine)["openat"]
    assert judge(machine, openat, 0, 0, flags) == DENIED
    assert judge(machine, openat, 0, 0, os.O_RDONLY | os.O_CLOEXEC) == ALLOW


def test_a_thread_is_made_and_a_process_is_not(machine: str) -> None:
    clone = parse_numbers(machine)["clone"]
    assert judge(machine, clone, 0x3D0F00) == ALLOW
    assert judge(machine, clone, 0x1200011) == ABSENT


@pytest.mark.parametrize("address", [0, PROGRAM_AT + 1, PROGRAM_AT & 0xFFFFFFFF, PROGRAM_AT ^ 1 << 40])
def test_no_program_starts_when_its_path_lies_elsewhere(address: int, machine: str) -> None:
    execve = parse_numbers(machine)["execve"]
    assert judge(machine, execve, address) == DENIED
    assert judge(machine, execve, PROGRAM_AT) == ALLOW


def test_limits_are_read_and_not_set(machine: str) -> None:
    prlimit = parse_numbers(machine)["prlimit64"]
    assert judge(machine, prlimit, 0, 7, 0, 0x7000) == ALLOW
    assert judge(machine, prlimit, 0, 7, 0x7000) == ABSENT
    assert judge(machine, prlimit, 0, 7, 1 << 32) == ABSENT


def test_another_machine_has_no_sandbox() -> None:
    with pytest.raises(UnavailableError, match="riscv64"):
        build_filter("riscv64", PROGRAM_AT)


def test_the_numbers_are_those_of_the_kernels_headers(machine: str) -> None:
    if not HEADERS[machine].exists():
        pytest.skip("no kernel headers here")
    text = HEADERS[machine].read_text()
    found = {name: int(number) for name, number in re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", text)}
    aliases = {"newfstatat": "fstatat"} if machine == "aarch64" else {}
    numbers = parse_numbers(machine)
    assert numbers == {name: found[aliases.get(name, name)] for name in numbers}
