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
WIDTH, CELL, FRAME = 1600, 38, 72
"""Pixels: the page, one unit of the dashboard's grid, what stands above and below the panels."""
PROGRAMS = {"npm": "npm", "chromium": "chromium", "ffmpeg": "ffmpeg"}
ICONS = "@grafana/ui/dist/public/img"
FONTS = {"Inter-Regular": "400", "Inter-Medium": "500"}
HTML = '<!doctype html><meta charset="utf-8"><link rel="stylesheet" href="page.css"><body><script src="page.js"></script>'


def check_programs() -> None:
    """Say which Debian packages are missing before anything is asked."""
    path = process.environment()["PATH"]
    if missing := [package for program, package in PROGRAMS.items() if not shutil.which(program, path=path)]:
        raise PictureError(f"please install {' '.join(missing)}")


def build() -> Path:
    """The page, with Grafana's components of the lock file in it."""
    folder = state.directory("picture", state.digest([SOURCES / name for name in LOCKED]))
    for source in (*LOCKED, "page.tsx", "grafana.ts"):
        shutil.copy2(SOURCES / source, folder)
    modules, site = folder / "node_modules", folder / "site"
    if not modules.joinpath(".package-lock.json").exists():
        process.run("npm", "ci", "--prefix", folder, "--ignore-scripts", "--no-audit", "--no-fund")
    options = ("--bundle", "--minify", "--jsx=automatic", "--loader:.ttf=empty", f"--outdir={site}")
    process.run(modules / ".bin/esbuild", folder / "page.tsx", *options)
    fonts = {f"fonts/inter/{name}.woff2": f"@fontsource/inter/files/inter-latin-{weight}-normal.woff2" for name, weight in FONTS.items()}
    for where, what in {"build/img": ICONS, **fonts}.items():
        link = site / "public" / where
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(modules / what)
    (site / "index.html").write_text(HTML)
    return site


def photograph(site: Path, picture: dict[str, Any], target: Path) -> None:
    """Have the page draw the picture, and keep what it shows as a PNG of few colours."""
    (site / "picture.json").write_text(json.dumps(picture))
    rows = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in picture["dashboard"]["panels"])
    with served(site) as (url, said), tempfile.TemporaryDirectory() as folder:
        shot = Path(folder, "shot.png")
        process.run(
            "chromium", "--headless", "--no-sandbox", "--hide-scrollbars", "--virtual-time-budget=20000",
            f"--user-data-dir={folder}/profile", f"--window-size={WIDTH},{rows * CELL + FRAME}", f"--screenshot={shot}", url,
        )
        if said != ["drawn"] or not shot.exists():
            raise PictureError(f"the page could not draw: {'; '.join(said) or 'it says nothing'}")
        palette = "split[a][b];[a]palettegen=stats_mode=full[p];[b][p]paletteuse=dither=none"
        process.run("ffmpeg", "-y", "-i", shot, "-vf", palette, target)


class Handler(SimpleHTTPRequestHandler):
    """Serves the page, and hears from it how the drawing went."""

    def __init__(self, said: list[str], *args: Any, **kwargs: Any) -> None:
        self.said = said
        super().__init__(*args, **kwargs)

    def do_POST(self) -> None:  # noqa: N802
        self.said.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing."""


@contextmanager
def served(site: Path) -> Iterator[tuple[str, list[str]]]:
    """The page at an address of this machine, and what it has said."""
    said: list[str] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, said, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/", said
    finally:
        server.shutdown()
        server.server_close()
