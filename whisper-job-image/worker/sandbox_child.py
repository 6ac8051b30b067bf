"""Locks itself in, then becomes the program that reads a hostile file. Started by `sandbox`, in a process of its own.

It imports nothing but the quickest of the standard library: this runs twice for each file.
"""

import ctypes
import os
import resource
import struct
import sys
from typing import NamedTuple

from worker import sandbox_landlock, sandbox_seccomp
from worker.sandbox_kernel import UnavailableError, pointers, prctl

EXIT_UNAVAILABLE = 125
LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache")
ENVIRONMENT = ("PATH=/usr/bin:/bin", "MALLOC_ARENA_MAX=2")
OPEN_FILES = 64
LOCKED_BYTES = 1 << 16  # a library of ffmpeg complains when it has none
PR_SET_NO_NEW_PRIVS = 38
PT_INTERP = 3


class Cell(NamedTuple):
    """What the program may have. Without `is_strict`, a kernel without Landlock will do."""

    is_strict: bool
    memory_bytes: int
    cpu_seconds: int
    readable: tuple[str, ...]
    command: tuple[str, ...]

    def to_arguments(self) -> list[str]:
        """As text, the way `parse` reads it."""
        numbers = (int(self.is_strict), self.memory_bytes, self.cpu_seconds, len(self.readable))
        return [*map(str, numbers), *self.readable, *self.command]

    @classmethod
    def parse(cls, arguments: list[str]) -> "Cell":
        is_strict, memory_bytes, cpu_seconds, count = map(int, arguments[:4])
        rest = arguments[4:]
        return cls(bool(is_strict), memory_bytes, cpu_seconds, tuple(rest[:count]), tuple(rest[count:]))


def main(arguments: list[str]) -> None:
    """Become the program; when that cannot be, end with a code that says so."""
    try:
        enter(Cell.parse(arguments))
    except Exception as error:  # noqa: BLE001  # whatever it is, the file is not to blame
        sys.stderr.write(f"sandbox: {error}\n")
        sys.stderr.flush()
    os._exit(EXIT_UNAVAILABLE)


def enter(cell: Cell) -> None:
    """Give up one right after the other, those to do so last."""
    program = os.path.realpath(cell.command[0])
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    try:
        sandbox_landlock.restrict([*LIBRARIES, *cell.readable], [program, *find_loader(program)])
    except UnavailableError:
        if cell.is_strict:
            raise
    set_limits(cell)
    path = ctypes.create_string_buffer(os.fsencode(program))
    arguments, environment = pointers(*cell.command), pointers(*ENVIRONMENT)
    sandbox_seccomp.restrict(os.uname().machine, ctypes.addressof(path))
    ctypes.CDLL(None).execve(path, arguments, environment)
    raise UnavailableError(f"{program} does not start")


def set_limits(cell: Cell) -> None:
    """Processes have no limit: the kernel counts them for a user of the whole node, and seccomp lets none be made."""
    limits = {
        resource.RLIMIT_AS: cell.memory_bytes,
        resource.RLIMIT_CPU: cell.cpu_seconds,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_MEMLOCK: LOCKED_BYTES,
        resource.RLIMIT_NOFILE: OPEN_FILES,
    }
    for kind, most in limits.items():
        ceiling = resource.getrlimit(kind)[1]
        limit = most if ceiling == resource.RLIM_INFINITY else min(most, ceiling)
        # hard as well as soft: ffmpeg takes the soft limit's signal for a wish
        resource.setrlimit(kind, (limit, limit))


def find_loader(program: str) -> list[str]:
    """The interpreter that an ELF file names, which the kernel runs as well."""
    with open(program, "rb") as file:  # noqa: PTH123  # pathlib takes as long to import as all the rest
        head = file.read(4096)
    if not head.startswith(b"\x7fELF\x02"):
        return []
    (table,) = struct.unpack_from("<Q", head, 32)
    size, count = struct.unpack_from("<HH", head, 54)
    for at in range(table, table + size * count, size):
        kind, _, offset, _, _, length = struct.unpack_from("<IIQQQQ", head, at)
        if kind == PT_INTERP:
            return [os.path.realpath(os.fsdecode(head[offset : offset + length - 1]))]
    return []
