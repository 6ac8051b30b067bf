"""seccomp: which system calls a program may make. Called by `sandbox_child`.

A list of what ffmpeg needs to read a file and to write to a pipe, not of what is bad: no socket, no process, no trace.
The rest answers ENOSYS, as a kernel does that is older than the call, so the C library falls back to what is here.
"""

import errno
import os
import struct
from ctypes import addressof, create_string_buffer

from worker.sandbox_kernel import UnavailableError, prctl

# name -> number on x86_64, on aarch64
SYSCALLS: dict[str, tuple[int, int | None]] = {
    **{"read": (0, 63), "write": (1, 64), "close": (3, 57), "stat": (4, None), "fstat": (5, 80), "lstat": (6, None)},
    **{"poll": (7, None), "lseek": (8, 62), "mmap": (9, 222), "mprotect": (10, 226), "munmap": (11, 215)},
    **{"brk": (12, 214), "rt_sigaction": (13, 134), "rt_sigprocmask": (14, 135), "rt_sigreturn": (15, 139)},
    **{"pread64": (17, 67), "readv": (19, 65), "writev": (20, 66), "access": (21, None), "select": (23, None)},
    **{"sched_yield": (24, 124), "mremap": (25, 216), "madvise": (28, 233), "dup": (32, 23), "nanosleep": (35, 101)},
    **{"getpid": (39, 172), "exit": (60, 93), "uname": (63, 160), "fcntl": (72, 25), "getcwd": (79, 17)},
    **{"readlink": (89, None), "gettimeofday": (96, 169), "getrusage": (98, 165), "sysinfo": (99, 179)},
    **{"times": (100, 153), "getuid": (102, 174), "getgid": (104, 176), "geteuid": (107, 175), "getegid": (108, 177)},
    **{
        "sigaltstack": (131, 132),
        "mlock": (149, 228),
        "arch_prctl": (158, None),
        "gettid": (186, 178),
        "futex": (202, 98),
    },
    **{"sched_getaffinity": (204, 123), "getdents64": (217, 61), "set_tid_address": (218, 96)},
    **{"restart_syscall": (219, 128), "clock_gettime": (228, 113), "clock_getres": (229, 114)},
    **{"clock_nanosleep": (230, 115), "exit_group": (231, 94), "newfstatat": (262, 79), "readlinkat": (267, 78)},
    **{"faccessat": (269, 48), "pselect6": (270, 72), "ppoll": (271, 73), "set_robust_list": (273, 99)},
    **{"getrandom": (318, 278), "statx": (332, 291), "rseq": (334, 293), "faccessat2": (439, 439)},
}
CLONE, EXECVE, OPENAT, PRLIMIT64 = (56, 220), (59, 221), (257, 56), (302, 261)
ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

CLONE_THREAD = 0x10000
WRITING = os.O_ACCMODE | os.O_CREAT | os.O_TRUNC | os.O_APPEND
PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 22, 2

LOAD, AND, EQUAL, ANY_BIT, RETURN = 0x20, 0x54, 0x15, 0x45, 0x06
ALLOW, KILL, REFUSE = 0x7FFF0000, 0x80000000, 0x00050000
NUMBER_AT, ARCHITECTURE_AT, ARGUMENTS_AT = 0, 4, 16

Step = tuple[int, int, int, int]  # what to do, how far to jump if so, and if not, the operand


def build_filter(machine: str, execve_path: int) -> bytes:
    """The program for the kernel; the path of an execve must lie at that address, which the next program cannot know."""
    if machine not in ARCHITECTURES:
        raise UnavailableError(f"there is no list of system calls for {machine}")
    column = list(ARCHITECTURES).index(machine)
    allow, refuse = (RETURN, 0, 0, ALLOW), (RETURN, 0, 0, REFUSE | errno.ENOSYS)
    steps: list[Step] = [
        (LOAD, 0, 0, ARCHITECTURE_AT),
        (EQUAL, 1, 0, ARCHITECTURES[machine]),
        (RETURN, 0, 0, KILL),
        (LOAD, 0, 0, NUMBER_AT),
    ]
    for numbers in SYSCALLS.values():
        number = numbers[column]
        if number is not None:
            steps += [(EQUAL, 0, 1, number), allow]
    steps += _when(CLONE[column], [*_low(0), (ANY_BIT, 0, 1, CLONE_THREAD), allow, refuse])
    denied = (RETURN, 0, 0, REFUSE | errno.EACCES)
    steps += _when(OPENAT[column], [*_low(2), (ANY_BIT, 0, 1, WRITING), denied, allow])
    steps += _when(PRLIMIT64[column], [*_both(2, 0), allow, refuse])
    steps += _when(EXECVE[column], [*_both(0, execve_path), allow, denied])
    return b"".join(struct.pack("=HBBI", *step) for step in [*steps, refuse])


def _when(number: int, then: list[Step]) -> list[Step]:
    return [(EQUAL, 0, len(then), number), *then]


def _low(argument: int) -> list[Step]:
    return [(LOAD, 0, 0, ARGUMENTS_AT + 8 * argument)]


def _both(argument: int, value: int) -> list[Step]:
    """Go on when both halves of the argument are those of the value, else over the next step."""
    at = ARGUMENTS_AT + 8 * argument
    return [
        (LOAD, 0, 0, at),
        (EQUAL, 0, 3, value & 0xFFFFFFFF),
        (LOAD, 0, 0, at + 4),
        (EQUAL, 0, 1, value >> 32),
    ]


def restrict(machine: str, execve_path: int) -> None:
    """From here on this process, and what it becomes, makes no other system calls."""
    steps = create_string_buffer(build_filter(machine, execve_path))
    program = create_string_buffer(struct.pack("HxxxxxxP", (len(steps) - 1) // 8, addressof(steps)))
    try:
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, addressof(program))
    except OSError as error:
        raise UnavailableError(f"the kernel takes no seccomp filter: {error.strerror}") from error
