"""Status documents as they were last shown: most are asked for again before anything has changed. Kept by wiring."""

from api.documents import render_status
from api.row import Row
from api.rows import Rows

MAX_DOCUMENTS = 10_000


class Shown:
    """The bytes of a document go with the very row that they were made of."""

    def __init__(self) -> None:
        self._documents: dict[str, tuple[Row, bytes]] = {}

    def show(self, row: Row, rows: Rows) -> bytes:
        """The status document as JSON. Of one that waits nothing is kept: its place in line is not its own."""
        kept = self._documents.get(row.name)
        if kept is not None and kept[0] is row:
            return kept[1]
        document = render_status(row, rows)
        body = document.model_dump_json(exclude_none=True).encode()
        if document.queue is None:
            if len(self._documents) >= MAX_DOCUMENTS:
                self._documents.clear()
            self._documents[row.name] = row, body
        return body
