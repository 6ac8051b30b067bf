"""Landlock: which files a program may see. Called by `sandbox_child`."""

import os
import stat
import struct
from collections.abc import Iterable
from ctypes import c_int, c_uint, c_ulong

from worker.sandbox_kernel import UnavailableError, syscall

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446  # the same on every architecture
ASK_VERSION = 1
PATH_BENEATH = 1
EXECUTE, READ_FILE, READ_FOLDER = 1 << 0, 1 << 2, 1 << 3
FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 5: 16}  # how many rights on files there are, from which version on
TCP_RIGHTS = 0b11  # bind, connect; from version 4 on
SCOPES = 0b11  # no abstract sockets of others, no signals to others; from version 6 on


def find_version() -> int:
    """The version of the kernel's Landlock; UnavailableError when it has none."""
    try:
        return syscall(CREATE_RULESET, None, c_ulong(0), c_uint(ASK_VERSION))
    except OSError as error:
        raise UnavailableError(f"the kernel offers no Landlock: {error.strerror}") from error


def restrict(readable: Iterable[str], executable: Iterable[str]) -> None:
    """From here on this process reads these files and folders, runs those files, writes nothing, and has no TCP."""
    ruleset = _create_ruleset(find_version())
    for path in readable:
        _allow(ruleset, path, READ_FILE | READ_FOLDER)
    for path in executable:
        _allow(ruleset, path, READ_FILE | EXECUTE)
    syscall(RESTRICT_SELF, c_int(ruleset), c_uint(0))
    os.close(ruleset)


def _create_ruleset(version: int) -> int:
    count = max(count for since, count in FILE_RIGHTS.items() if since <= version)
    denied = [(1 << count) - 1]
    if version >= 4:
        denied.append(TCP_RIGHTS)
    if version >= 6:
        denied.append(SCOPES)
    attributes = struct.pack(f"={len(denied)}Q", *denied)
    return syscall(CREATE_RULESET, attributes, c_ulong(len(attributes)), c_uint(0))


def _allow(ruleset: int, path: str, rights: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
        rights &= ~READ_FOLDER
    rule = struct.pack("=Qi", rights, descriptor)
    syscall(ADD_RULE, c_int(ruleset), c_int(PATH_BENEATH), rule, c_uint(0))
    os.close(descriptor)
