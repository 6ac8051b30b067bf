"""The file on its way out of S3: ranges side by side, broken ones taken up again, and those that cannot be had."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from crds.transcriptionjob import Source
from worker import fetch
from worker.errors import (
    EmptyInputError,
    InputChangedError,
    InputNotFoundError,
    StorageUnavailableError,
    TooLongError,
    WorkerError,
)
from worker.fetch import PAUSES_SECONDS, Fetch
from worker.growing import Growing
from worker.publish import Range

SOURCE = Source(bucket="media", key="videos/a.mp4", etag="abc")
CONTENT = bytes(range(100))
CHUNK = 3


@dataclass
class FakeS3:
    """One file. `spoil` is asked before each chunk and may raise."""

    content: bytes = CONTENT
    knows_ranges: bool = True
    spoil: Callable[[int], None] = lambda _: None
    fault: Callable[[int], WorkerError | None] = lambda _: None
    asked: list[tuple[int, int, str | None]] = field(default_factory=list)

    def open_range(self, source: Source, start: int, end: int) -> Range:
        self.asked.append((start, end, source.etag))
        if error := self.fault(start):
            raise error
        start, end = (start, min(end, len(self.content))) if self.knows_ranges else (0, len(self.content))
        return Range(start, end - start, len(self.content), '"new"', self._read(start, end))

    def _read(self, start: int, end: int) -> Iterator[bytes]:
        for at in range(start, end, CHUNK):
            self.spoil(at)
            yield self.content[at : min(at + CHUNK, end)]


@dataclass
class Breaking:
    """Breaks so many connections at a place."""

    at: int
    times: int

    def __call__(self, at: int) -> None:
        if at <= self.at < at + CHUNK and self.times:
            self.times -= 1
            raise StorageUnavailableError("reset by peer")


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "PART_BYTES", 20)


@pytest.fixture
def media(tmp_path: Path) -> Growing:
    return Growing(tmp_path / "media", 1 << 20)


def get(s3: FakeS3, media: Growing, source: Source = SOURCE) -> list[float]:
    """Fetch it; the pauses that were made."""
    pauses: list[float] = []
    Fetch(s3, source, media, pauses.append).run(1 << 20)
    return pauses


def test_all_ranges_make_the_file(media: Growing) -> None:
    s3 = FakeS3()
    assert get(s3, media) == []
    assert (media.wait(), media.path.read_bytes()) == (100, CONTENT)
    assert sorted(s3.asked) == [(start, start + 20, "abc") for start in range(0, 100, 20)]


def test_a_small_file_takes_one_request(media: Growing) -> None:
    s3 = FakeS3(b"small")
    get(s3, media)
    assert (media.wait(), s3.asked) == (5, [(0, 20, "abc")])


def test_one_answer_is_enough_when_the_server_knows_no_ranges(media: Growing) -> None:
    s3 = FakeS3(knows_ranges=False)
    get(s3, media)
    assert (media.path.read_bytes(), len(s3.asked)) == (CONTENT, 1)


def test_the_version_of_the_first_range_counts_when_none_is_pinned(media: Growing) -> None:
    s3 = FakeS3()
    get(s3, media, SOURCE.model_copy(update={"etag": None}))
    assert [etag for _, _, etag in s3.asked] == [None, *['"new"'] * 4]


@pytest.mark.parametrize("at", [0, 7, 19, 20, 47, 99])
def test_a_broken_range_goes_on_where_it_broke(at: int, media: Growing) -> None:
    s3 = FakeS3(spoil=Breaking(at, 1))
    assert get(s3, media) == list(PAUSES_SECONDS[:1])
    assert media.path.read_bytes() == CONTENT
    again = [start for start, end, _ in s3.asked if end - start != 20 or start == at]
    assert at - CHUNK < max(again, default=0) <= at or at == 0


def test_the_pauses_grow_until_something_comes(media: Growing) -> None:
    assert get(FakeS3(spoil=Breaking(50, 3)), media) == list(PAUSES_SECONDS)
    assert media.path.read_bytes() == CONTENT


def test_the_storage_is_unavailable_when_nothing_comes_for_long(media: Growing) -> None:
    with pytest.raises(StorageUnavailableError):
        get(FakeS3(spoil=Breaking(50, 99)), media)
    with pytest.raises(StorageUnavailableError):
        media.wait()


@pytest.mark.parametrize("at", [0, 20, 80])
@pytest.mark.parametrize("error", [InputChangedError(), InputNotFoundError()])
def test_a_range_that_is_refused_ends_it_at_once(error: WorkerError, at: int, media: Growing) -> None:
    with pytest.raises(type(error)):
        get(FakeS3(fault=lambda start: error if start == at else None), media)


def test_a_file_that_changes_meanwhile_is_not_taken_up_again(media: Growing) -> None:
    s3 = FakeS3(spoil=Breaking(26, 1), fault=lambda start: InputChangedError() if start % 20 else None)
    with pytest.raises(InputChangedError):
        get(s3, media)


@pytest.mark.parametrize(("content", "error"), [(b"", EmptyInputError), (b"too much", TooLongError)])
def test_nothing_is_fetched_when_the_size_is_wrong(content: bytes, error: type[WorkerError], media: Growing) -> None:
    with pytest.raises(error):
        Fetch(FakeS3(content), SOURCE, media).run(7)
    assert media.size == 0


def test_the_size_and_the_limit_are_told_when_a_file_is_too_large(media: Growing) -> None:
    with pytest.raises(TooLongError) as caught:
        Fetch(FakeS3(b"too much"), SOURCE, media).run(7)
    assert caught.value.fault.message.startswith("The file has 8 bytes, 7 are allowed:")


def test_the_download_ends_when_the_file_is_wanted_no_more(media: Growing) -> None:
    s3 = FakeS3(spoil=lambda at: media.close() if at >= 40 else None)
    with pytest.raises(WorkerError):
        get(s3, media)
