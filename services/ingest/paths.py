"""The event paths: which URL takes which call."""

BATCH = "batch"
METRICS = "metrics"
"""Measurements the browser library makes of itself: read, answered, not kept."""

CALLS = ("identify", "track", "page", "screen", "group", "alias")

DOCUMENTED = {
    **{f"/v1/{call}": call for call in CALLS},
    "/v1/batch": BATCH,
    "/v1/import": BATCH,
    **{f"/v1/{call[0]}": call for call in CALLS},
    "/v1/b": BATCH,
    "/v1/m": METRICS,
}
"""Path -> call."""

_PATHS = {**DOCUMENTED, **{path.removeprefix("/v1"): call for path, call in DOCUMENTED.items()}}


def hot_path(path: str) -> str | None:
    """The call a path takes: `BATCH`, `METRICS`, one of `CALLS`; None when it is no event path.

    A slash too many, in front or at the end, is what a host configured with a slash makes.
    """
    call = _PATHS.get(path)
    if call is None and (path.endswith("/") or path.startswith("//")):
        return _PATHS.get("/" + path.strip("/"))
    return call
