"""The page that draws the picture, and the browser that photographs it. Called by `__main__`."""

import json
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from dev import process, state
from dev.picture.panels import PictureError

SOURCES = Path(__file__).parent
LOCKED = ("package.json", "package-lock.json")
PROGRAMS = ("npm", "chromium", "ffmpeg")
"""Each comes with Debian's package of the same name."""
WIDTH, CELL, FRAME = 1600, 38, 72
"""Pixels: the page, one unit of the dashboard's grid, what stands above and below the panels."""
HTML = """<!doctype html><meta charset="utf-8"><link rel="stylesheet" href="page.css">
<body style="margin: 0"><script src="page.js"></script>"""


def check_programs() -> None:
    """Say which Debian packages are missing before anything is asked."""
    path = process.environment()["PATH"]
    if missing := [program for program in PROGRAMS if not shutil.which(program, path=path)]:
        raise PictureError(f"please install {' '.join(missing)}")


def build() -> Path:
    """The page, with Grafana's components in it; npm's packages are kept under the hash of their lock file."""
    folder = state.directory("picture", state.digest([SOURCES / name for name in LOCKED]))
    modules, site = folder / "node_modules", folder / "site"
    for source in (*LOCKED, "page.jsx", "grafana.js"):
        shutil.copy2(SOURCES / source, folder)
    if not modules.joinpath(".package-lock.json").exists():
        process.run("npm", "ci", "--prefix", folder, "--ignore-scripts", "--no-audit", "--no-fund")
        for older in set(folder.parent.iterdir()) - {folder}:
            shutil.rmtree(older)
    options = ("--bundle", "--minify", "--jsx=automatic", "--loader:.ttf=empty", "--loader:.woff2=dataurl")
    process.run(modules / ".bin/esbuild", folder / "page.jsx", *options, f"--outdir={site}")
    icons = site / "public/build/img"
    icons.parent.mkdir(parents=True, exist_ok=True)
    icons.unlink(missing_ok=True)
    icons.symlink_to(modules / "@grafana/ui/dist/public/img")
    (site / "index.html").write_text(HTML)
    return site


def photograph(site: Path, picture: dict[str, Any], target: Path) -> None:
    """Have the page draw the picture, and keep what it shows as a PNG of few colours."""
    (site / "picture.json").write_text(json.dumps(picture))
    places = [panel["gridPos"] for panel in picture["dashboard"]["panels"]]
    height = max(place["y"] + place["h"] for place in places) * CELL + FRAME
    with served(site) as (url, said), tempfile.TemporaryDirectory() as folder:
        shot = Path(folder, "shot.png")
        options = ("--headless", "--no-sandbox", "--hide-scrollbars", "--virtual-time-budget=20000")
        window = (f"--user-data-dir={folder}/profile", f"--window-size={WIDTH},{height}", f"--screenshot={shot}")
        process.run("chromium", *options, *window, url)
        if said != ["drawn"]:
            raise PictureError(f"the page could not be drawn: {said[0] if said else 'it says nothing'}")
        palette = "split[a][b];[a]palettegen=stats_mode=full[p];[b][p]paletteuse=dither=none"
        process.run("ffmpeg", "-y", "-i", shot, "-vf", palette, target)


class Handler(SimpleHTTPRequestHandler):
    """Serves the page, and hears from it how the drawing went."""

    def __init__(self, said: list[str], *args: Any, **kwargs: Any) -> None:
        self.said = said
        super().__init__(*args, **kwargs)

    def do_POST(self) -> None:
        self.said.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def served(site: Path) -> Iterator[tuple[str, list[str]]]:
    """The page at an address of this machine, and what it has said."""
    said: list[str] = []
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, said, directory=str(site))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/", said
        server.shutdown()
