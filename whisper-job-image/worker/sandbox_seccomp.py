"""seccomp: which system calls a program may make. Called by `sandbox_child`.

A list of what ffmpeg needs to read a file and to write to a pipe, not of what is bad: no socket, no process, no trace.
The rest answers ENOSYS, as a kernel does that is older than the call, so the C library falls back to what is here.
"""

import errno
import os
import struct
from ctypes import addressof, create_string_buffer

from worker.sandbox_kernel import UnavailableError, prctl

NUMBERS = {
    "x86_64": """
        read=0 write=1 close=3 stat=4 fstat=5 lstat=6 poll=7 lseek=8 mmap=9 mprotect=10 munmap=11 brk=12
        rt_sigaction=13 rt_sigprocmask=14 rt_sigreturn=15 pread64=17 readv=19 writev=20 access=21 select=23
        sched_yield=24 mremap=25 madvise=28 dup=32 nanosleep=35 getpid=39 exit=60 uname=63 fcntl=72 getcwd=79
        readlink=89 gettimeofday=96 getrusage=98 sysinfo=99 times=100 getuid=102 getgid=104 geteuid=107 getegid=108
        sigaltstack=131 mlock=149 arch_prctl=158 gettid=186 futex=202 sched_getaffinity=204 getdents64=217
        set_tid_address=218 restart_syscall=219 clock_gettime=228 clock_getres=229 clock_nanosleep=230
        exit_group=231 newfstatat=262 readlinkat=267 faccessat=269 pselect6=270 ppoll=271 set_robust_list=273
        getrandom=318 statx=332 rseq=334 faccessat2=439 clone=56 execve=59 openat=257 prlimit64=302
    """,
    "aarch64": """
        read=63 write=64 close=57 fstat=80 lseek=62 mmap=222 mprotect=226 munmap=215 brk=214 rt_sigaction=134
        rt_sigprocmask=135 rt_sigreturn=139 pread64=67 readv=65 writev=66 sched_yield=124 mremap=216 madvise=233
        dup=23 nanosleep=101 getpid=172 exit=93 uname=160 fcntl=25 getcwd=17 gettimeofday=169 getrusage=165
        sysinfo=179 times=153 getuid=174 getgid=176 geteuid=175 getegid=177 sigaltstack=132 mlock=228 gettid=178
        futex=98 sched_getaffinity=123 getdents64=61 set_tid_address=96 restart_syscall=128 clock_gettime=113
        clock_getres=114 clock_nanosleep=115 exit_group=94 newfstatat=79 readlinkat=78 faccessat=48 pselect6=72
        ppoll=73 set_robust_list=99 getrandom=278 statx=291 rseq=293 faccessat2=439 clone=220 execve=221 openat=56
        prlimit64=261
    """,
}
"""Every system call that a program in the sandbox may make, those in `build_filter` with certain arguments only."""
ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

CLONE_THREAD = 0x10000
WRITING = os.O_ACCMODE | os.O_CREAT | os.O_TRUNC | os.O_APPEND
PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 22, 2

LOAD, EQUAL, ANY_BIT, RETURN = 0x20, 0x15, 0x45, 0x06
ALLOW, KILL, REFUSE = 0x7FFF0000, 0x80000000, 0x00050000
NUMBER_AT, ARCHITECTURE_AT, ARGUMENTS_AT = 0, 4, 16

Step = tuple[int, int, int, int]  # what to do, how far to jump if so, and if not, the operand


def build_filter(machine: str, program_at: int) -> bytes:
    """The filter as the kernel reads it; the path of an execve must lie at the given address."""
    if machine not in ARCHITECTURES:
        raise UnavailableError(f"there is no list of system calls for {machine}")
    allow, refuse, deny = (
        (RETURN, 0, 0, ALLOW),
        (RETURN, 0, 0, REFUSE | errno.ENOSYS),
        (RETURN, 0, 0, REFUSE | errno.EACCES),
    )
    conditions = {
        "clone": [*_low(0), (ANY_BIT, 0, 1, CLONE_THREAD), allow, refuse],
        "openat": [*_low(2), (ANY_BIT, 0, 1, WRITING), deny, allow],
        "prlimit64": [*_both(2, 0), allow, refuse],
        "execve": [*_both(0, program_at), allow, deny],
    }
    steps: list[Step] = [
        (LOAD, 0, 0, ARCHITECTURE_AT),
        (EQUAL, 1, 0, ARCHITECTURES[machine]),
        (RETURN, 0, 0, KILL),
        (LOAD, 0, 0, NUMBER_AT),
    ]
    for name, number in parse_numbers(machine).items():
        then = conditions.get(name, [allow])
        steps += [(EQUAL, 0, len(then), number), *then]
    return b"".join(struct.pack("=HBBI", *step) for step in [*steps, refuse])


def parse_numbers(machine: str) -> dict[str, int]:
    """The number of each system call that is allowed."""
    return {name: int(number) for name, _, number in (entry.partition("=") for entry in NUMBERS[machine].split())}


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


def restrict(machine: str, program_at: int) -> None:
    """From here on this process, and what it becomes, makes no other system calls."""
    steps = create_string_buffer(build_filter(machine, program_at))
    program = create_string_buffer(struct.pack("HxxxxxxP", (len(steps) - 1) // 8, addressof(steps)))
    try:
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, addressof(program))
    except OSError as error:
        raise UnavailableError(f"the kernel takes no seccomp filter: {error.strerror}") from error
