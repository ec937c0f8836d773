"""`/docs`: the OpenAPI document as a plain page. It loads nothing from anywhere and runs no script."""

import base64
import json
from collections.abc import Iterator, Mapping
from hashlib import sha256
from html import escape
from typing import Any

STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color-scheme:light dark}"
    "pre{overflow:auto;padding:.5rem;border:1px solid}"
)
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'sha256-"
    + base64.b64encode(sha256(STYLE.encode()).digest()).decode()
    + "'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}


def page_of(document: Mapping[str, Any]) -> str:
    """Returns an OpenAPI document as HTML: each path, what it takes, and a `curl` that sends its example."""
    info = document["info"]
    operations = "".join(
        "".join(_operation(method, path, operation))
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    )
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(info["title"])}</title>'
        f"<style>{STYLE}</style><h1>{escape(info['title'])}</h1><p>{escape(info['description'])} "
        'The whole description, for programs: <a href="/openapi.json">/openapi.json</a>.</p>'
        f"{operations}</html>"
    )


def _operation(method: str, path: str, operation: Mapping[str, Any]) -> Iterator[str]:
    yield f"<h2><code>{escape(method.upper())} {escape(path)}</code></h2><p>{escape(operation.get('summary', ''))}</p>"
    for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
        example = content.get("example")
        body = example if isinstance(example, str) else json.dumps(example)
        quoted = body.replace("'", "'\\''")
        command = f"curl -u WRITE_KEY: -H 'Content-Type: {media_type}' -d '{quoted}' http://INGEST{path}"
        yield f"<pre>{escape(command)}</pre>"
    answers = (
        f"<li>{escape(status)}: {escape(answer['description'])}</li>"
        for status, answer in operation["responses"].items()
    )
    yield f"<ul>{''.join(answers)}</ul>"
