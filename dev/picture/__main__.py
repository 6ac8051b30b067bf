"""`python3 -m dev.picture PROMETHEUS_URL`: draws the chart's dashboard into docs/dashboard.png. Run by hand."""

import argparse
import json
import sys
import time

from dev import process, state
from dev.picture import page, panels


def main() -> int:
    """Ask, draw, photograph; its exit code says whether there is a picture."""
    parser = argparse.ArgumentParser(prog="python3 -m dev.picture", description=__doc__)
    parser.add_argument("url", metavar="PROMETHEUS_URL", help="such as http://127.0.0.1:9090")
    parser.add_argument("--minutes", type=int, default=15, help="how much time the picture shows")
    parser.add_argument("--end", type=int, default=int(time.time()), help="its end as Unix time, by default now")
    chosen = parser.parse_args()
    prometheus = panels.Prometheus(chosen.url.rstrip("/"), chosen.end - 60 * chosen.minutes, chosen.end)
    dashboard = json.loads((state.checkout() / "charts/transcription/files/dashboard.json").read_text())
    target = state.checkout() / "docs/dashboard.png"
    try:
        page.check_programs()
        picture = panels.picture_of(dashboard, prometheus)
        page.photograph(page.build(), picture, target)
    except (panels.PictureError, process.ProgramError, state.StateError) as error:
        print(f"picture: {error}", file=sys.stderr)
        return 1
    print(f"{target}: {target.stat().st_size // 1024} KiB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
