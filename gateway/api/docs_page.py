"""/docs: Swagger UI from a package, so that the page works where there is no internet."""

from __future__ import annotations

import base64
import hashlib
from importlib.util import find_spec
from pathlib import Path

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.staticfiles import StaticFiles

_ASSETS = "/docs/assets"
# validatorUrl: else the page would show the document to a public service.
_START = """
SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#swagger-ui",
  presets: [SwaggerUIBundle.presets.apis],
  deepLinking: true,
  validatorUrl: null,
});
"""
_PAGE = f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{title}}</title>
<link rel="icon" type="image/png" href="{_ASSETS}/favicon-32x32.png">
<link rel="stylesheet" href="{_ASSETS}/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="{_ASSETS}/swagger-ui-bundle.js"></script>
<script>{{start}}</script>
</body>
</html>
"""
_DIGEST = base64.b64encode(hashlib.sha256(_START.encode()).digest()).decode()
# Nothing from elsewhere. The pictures of Swagger UI are data: URLs, those of answers blob: URLs.
_HEADERS = {
    "Content-Security-Policy": "; ".join(
        (
            "default-src 'none'",
            f"script-src 'self' 'sha256-{_DIGEST}'",
            "style-src 'self'",
            "img-src 'self' data: blob:",
            "font-src 'self' data:",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


def add_docs(app: FastAPI, title: str) -> None:
    """GET /docs with its assets."""
    app.mount(_ASSETS, StaticFiles(directory=_swagger_ui()), name="docs-assets")
    page = _PAGE.format(title=title, start=_START)

    async def docs(_: Request) -> Response:
        return HTMLResponse(page, headers=_HEADERS)

    app.add_route("/docs", docs, include_in_schema=False)


def _swagger_ui() -> Path:
    """The files of Swagger UI. The package around them is not imported: it would bring Flask."""
    spec = find_spec("flask_swagger_ui")
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError("flask-swagger-ui is not installed: make setup")
    return Path(spec.submodule_search_locations[0]) / "dist"
