"""RudderStack: events and paths are Segment's, but for a beacon, settings and the lists of a consent platform."""

from services.ingest.dialects.base import ConsentSources, DialectSpec, Route, SettingsRoute
from services.ingest.dialects.rudderstack.parse import consent_answers, parse_beacon, settings
from services.ingest.dialects.segment import EVENT, failure

SPEC = DialectSpec(
    name="rudderstack",
    failure=failure,
    routes=(
        Route(
            "POST",
            "/beacon/v1/batch",
            parse_beacon,
            "RudderStack: a batch sent as the page goes away; the key in the query",
            {"batch": [EVENT]},
            parameters=("writeKey",),
        ),
    ),
    consent=ConsentSources(context={"consentManagement": consent_answers}),
    address_members=("request_ip",),
    settings=(
        SettingsRoute(
            "/sourceConfig/",
            "What RudderStack's browser library asks for first",
            settings,
            parameter="writeKey",
        ),
        SettingsRoute("/sourceConfig", "The same", settings, parameter="writeKey", documented=False),
    ),
)
