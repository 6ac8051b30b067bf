"""Several long waits at once: stories are played side by side, and each test asks for the end of one."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from tests.support.arena import Arena

Story = Callable[[Arena], Any]
Told = Callable[[Story], Any]
LONGEST_SECONDS = 120


@contextmanager
def tell(arena: Arena, *stories: Story) -> Iterator[Told]:
    """Begin all of them; what is given back waits for one of them, and says what it returned or raised."""
    with ThreadPoolExecutor(len(stories)) as pool:
        told = {story: pool.submit(story, arena) for story in stories}
        yield lambda story: told[story].result(LONGEST_SECONDS)
