"""F52 and R6: a receiver that hangs holds up nobody else, and nothing is lost or carried twice."""

import asyncio
from collections import Counter
from typing import Any

import pytest

from controller.couriers import SEATS_OF_A_RECEIVER, Couriers, find_receiver
from controller.delivery import Report
from controller.metrics import Metrics
from controller.queue import KeyQueue
from crds.transcriptionjob import Transcription
from tests.support.controller_fakes import Clock, a_transcription


class Post:
    """Receivers by their host: those called `hung` never answer."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.under_way: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        self.sent: list[str] = []

    def find_url(self, transcription: Transcription) -> str:
        assert transcription.spec.callback is not None
        return transcription.spec.callback.url

    async def send(self, transcription: Transcription) -> Report:
        host = find_receiver(self.find_url(transcription))
        self.under_way[host] += 1
        self.most[host] = max(self.most[host], self.under_way[host])
        await (asyncio.Event().wait() if host == "hung" else asyncio.sleep(0))
        self.under_way[host] -= 1
        self.sent.append(transcription.name)
        return Report(f"msg_{transcription.name}", self._clock(), 204)


def to(host: str, number: int) -> Transcription:
    return a_transcription(name=f"{host}-{number}", callback={"url": f"https://{host}/hook"})


def carry(wanted: list[Transcription], expected: int, seats: int = 32) -> Post:
    async def scene() -> Post:
        clock = Clock()
        post = Post(clock)
        door: Any = post
        couriers = Couriers(door, KeyQueue(clock), Metrics.build(), clock, seats)
        for transcription in wanted:
            couriers.send(transcription)
            couriers.send(transcription)  # twice asked for is once carried
        for _ in range(10 * len(wanted)):
            if len(post.sent) == expected:
                break
            await asyncio.sleep(0)
        await couriers.dismiss()
        return post

    return asyncio.run(scene())


def test_f52_others_are_told_when_one_receiver_hangs() -> None:
    wanted = [to("hung", number) for number in range(100)] + [to("well", number) for number in range(100)]
    post = carry(wanted, expected=100)
    assert sorted(post.sent) == sorted(f"well-{number}" for number in range(100))
    assert post.most["hung"] == SEATS_OF_A_RECEIVER


def test_seats_are_shared_when_there_are_more_receivers_than_seats() -> None:
    wanted = [to(f"host{number % 50}", number) for number in range(500)]
    post = carry(wanted, expected=500, seats=8)
    assert Counter(post.sent) == Counter(t.name for t in wanted)


def test_four_thousand_of_twenty_senders_are_each_carried_once() -> None:
    wanted = [to(f"host{number % 20}", number) for number in range(4000)]
    assert Counter(carry(wanted, expected=4000).sent) == Counter(t.name for t in wanted)


@pytest.mark.parametrize(
    ("url", "receiver"),
    [
        ("https://Hooks.example/a?b", "hooks.example"),
        ("http://u:p@hooks.example:8080/a", "hooks.example:8080"),
        ("http://[::1]:80/", "[::1]:80"),
        ("http://[::1/", "http://[::1/"),
        ("", ""),
    ],
)
def test_receiver_is_host_and_port_of_the_url(url: str, receiver: str) -> None:
    assert find_receiver(url) == receiver
