"""The docs page: Swagger UI over openapi.json, all of it served from here. Wired by app.

Its files come with the fastapi-offline package; the page needs no other host, and its policy allows none.
"""

from pathlib import Path

import fastapi_offline
from fastapi import APIRouter, HTTPException
from fastapi.responses import FileResponse, HTMLResponse, Response

ASSETS = frozenset({"swagger-ui-bundle.js", "swagger-ui.css", "favicon.png"})

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Transcription API</title>
<link rel="icon" href="docs/favicon.png">
<link rel="stylesheet" href="docs/swagger-ui.css">
</head>
<body>
<div id="page"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""

SCRIPT = """SwaggerUIBundle({
  dom_id: "#page",
  url: "openapi.json",
  deepLinking: true,
  validatorUrl: null,
  persistAuthorization: false,
});
"""

HEADERS = {
    # Swagger UI writes style attributes and draws its icons from data: URLs.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:;"
        " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}

router = APIRouter(prefix="/docs", include_in_schema=False)


@router.get("")
async def get_page() -> Response:
    """The page."""
    return HTMLResponse(PAGE, headers=HEADERS)


@router.get("/start.js")
async def get_script() -> Response:
    """What starts it; apart from the page, so that no script stands inside."""
    return Response(SCRIPT, media_type="text/javascript", headers=HEADERS)


@router.get("/{asset}")
async def get_asset(asset: str) -> Response:
    """One of Swagger UI's own files."""
    if asset not in ASSETS:
        raise HTTPException(404)
    folder = Path(fastapi_offline.__file__).parent / "static"
    return FileResponse(folder / asset, headers=HEADERS)
