"""System calls that Python has no word for. Called by the parts of the sandbox."""

import ctypes
import os

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


class UnavailableError(Exception):
    """This kernel cannot lock a program in."""


def syscall(number: int, *arguments: object) -> int:
    """Its answer; OSError when it fails."""
    return _checked(_libc.syscall(ctypes.c_long(number), *arguments))


def prctl(*arguments: int) -> None:
    """prctl(2) with five numbers, of which those left out are zero."""
    _checked(_libc.prctl(*(ctypes.c_ulong(n) for n in (*arguments, 0, 0, 0, 0)[:5])))


def pointers(*texts: str) -> ctypes.Array[ctypes.c_char_p]:
    """The list of C strings that execve wants."""
    return (ctypes.c_char_p * (len(texts) + 1))(*map(os.fsencode, texts), None)


def _checked(answer: int) -> int:
    if answer < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return int(answer)
