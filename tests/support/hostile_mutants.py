"""Good files made bad at random: bits turned, bytes cut out, numbers made extreme, files mixed. One seed, one row."""

import struct
from collections.abc import Iterator, Mapping
from random import Random
from typing import NamedTuple

EXTREMES = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFE, 0xFFFF_FFFF)
HEAD_BYTES = 512
SPARED_BYTES = 12
"""So much at the beginning stays as it was in most mutants: what is refused at once shows nothing."""


class Mutant(NamedTuple):
    """Its name says how to make it again: the seed and its place in the row."""

    name: str
    content: bytes


def breed(parents: Mapping[str, bytes], seed: int, count: int) -> Iterator[Mutant]:
    """So many mutants, each of its own random numbers: the n-th is the same however many there are."""
    names = sorted(parents)
    for n in range(count):
        random = Random(f"{seed}/{n}")
        parent = names[n % len(names)]
        content = bytearray(parents[parent])
        start = 0 if random.random() < 0.05 else SPARED_BYTES
        acts = [random.choice(ACTS) for _ in range(random.randint(1, 3))]
        for act in acts:
            content = act(random, content, start, parents[random.choice(names)])
        yield Mutant(f"{seed}/{n} {parent} {'+'.join(act.__name__ for act in acts)}", bytes(content))


def turn_bits(random: Random, content: bytearray, start: int, _: bytes) -> bytearray:
    for _ in range(random.choice((1, 4, 16, 64))):
        at = pick(random, content, start)
        content[at] ^= 1 << random.randrange(8)
    return content


def cut_end(random: Random, content: bytearray, start: int, _: bytes) -> bytearray:
    return content[: pick(random, content, start) + 1]


def cut_out(random: Random, content: bytearray, start: int, _: bytes) -> bytearray:
    at = pick(random, content, start)
    del content[at : at + random.choice((1, 2, 4, 64, 1024))]
    return content


def double(random: Random, content: bytearray, start: int, _: bytes) -> bytearray:
    at, length = pick(random, content, start), random.choice((1, 4, 64, 1024))
    content[at:at] = content[at : at + length] * random.choice((1, 1, 20))
    return content


def splice(random: Random, content: bytearray, start: int, other: bytes) -> bytearray:
    at, behind = pick(random, content, start), random.randrange(len(other))
    piece = other[behind : behind + random.choice((8, 256, 4096))]
    content[at : at + random.choice((0, len(piece)))] = piece
    return content


def go_to_extremes(random: Random, content: bytearray, start: int, _: bytes) -> bytearray:
    for _ in range(random.choice((1, 1, 3))):
        form = random.choice((">I", "<I", ">H", "<H", "B"))
        number = struct.pack(form, random.choice(EXTREMES) & (1 << 8 * struct.calcsize(form)) - 1)
        at = pick(random, content, start)
        content[at : at + len(number)] = number
    return content


ACTS = (turn_bits, cut_end, cut_out, double, splice, go_to_extremes, go_to_extremes)


def pick(random: Random, content: bytearray, start: int) -> int:
    """A place, more often than not among the headers, which lie at both ends of a file."""
    last = len(content) - 1
    if last <= start:
        content.extend(bytes(start + 1 - last))
        return start
    match random.randrange(4):
        case 0:
            return random.randint(start, last)
        case 1:
            return random.randint(max(start, last - 4 * HEAD_BYTES), last)
        case _:
            return random.randint(start, min(last, start + HEAD_BYTES))
