"""All dialects: the routes that they answer, and the rules that they share. A new dialect is one line in `SPECS`."""

from services.ingest.dialects import cloudevents, ga4, jitsu, pos, posthog, rudderstack, segment, shopify, snowplow
from services.ingest.dialects.base import ConsentSources, DialectSpec, Route, Rules

SPECS: tuple[DialectSpec, ...] = (
    segment.SPEC,
    rudderstack.SPEC,
    jitsu.SPEC,
    snowplow.SPEC,
    ga4.SPEC,
    posthog.SPEC,
    cloudevents.SPEC,
    shopify.SPEC,
    pos.SPEC,
)
"""Of two routes with the same method and path, the later one counts: its parser tells both dialects apart."""


def _routes() -> dict[str, dict[str, Route]]:
    routes: dict[str, dict[str, Route]] = {}
    for spec in SPECS:
        for route in spec.routes:
            routes.setdefault(route.method, {})[route.path] = route._replace(failure=spec.failure)
    return routes


def _rules() -> Rules:
    consent = [spec.consent for spec in SPECS]
    return Rules(
        ConsentSources(
            context={name: read for sources in consent for name, read in sources.context.items()},
            properties={name: read for sources in consent for name, read in sources.properties.items()},
            events={name: read for sources in consent for name, read in sources.events.items()},
            members={name: read for sources in consent for name, read in sources.members.items()},
        ),
        frozenset(name for spec in SPECS for name in spec.key_names),
        tuple(dict.fromkeys(name for spec in SPECS for name in spec.address_members)),
        tuple(dict.fromkeys(name for spec in SPECS for name in spec.address_parameters)),
        tuple({sent: kept for spec in SPECS for sent, kept in spec.kept_names.items()}.items()),
        tuple(dict.fromkeys(name for spec in SPECS for name in spec.base64_members)),
    )


_ROUTES = _routes()
"""Method -> path -> route."""
ROUTES = tuple(route for routes in _ROUTES.values() for route in routes.values())
RULES = _rules()


def match_route(method: str, path: str) -> Route | None:
    """Returns the route that takes a request; None when the path takes no events by this method.

    A slash too many, in front or at the end, is what a host configured with a slash makes.
    """
    routes = _ROUTES.get(method)
    if routes is None:
        return None
    route = routes.get(path)
    if route is None and (path.endswith("/") or path.startswith("//")):
        return routes.get("/" + path.strip("/"))
    return route


def methods_of(path: str) -> list[str]:
    """Returns the methods by which a path takes events, none when it takes none."""
    return [method for method in _ROUTES if match_route(method, path) is not None]
