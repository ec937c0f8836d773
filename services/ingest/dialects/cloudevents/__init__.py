"""CloudEvents 1.0 over HTTP: binary (attributes in headers `ce-*`), structured and batched."""

from services.ingest.dialects.base import ConsentSources, DialectSpec, Route
from services.ingest.dialects.cloudevents.parse import PATH, parse_cloudevents
from services.ingest.dialects.consent import answers

SPEC = DialectSpec(
    name="cloudevents",
    routes=(
        Route(
            "POST",
            PATH,
            parse_cloudevents,
            "CloudEvents: binary, structured or batched",
            {
                "specversion": "1.0",
                "id": "1",
                "source": "/shop",
                "type": "Order Completed",
                "subject": "customer-42",
                "data": {"order_id": "A-1001"},
            },
            parameters=("write_key",),
        ),
    ),
    key_names=("write_key",),
    consent=ConsentSources(members={"analyticsconsent": answers}),
    kept_names={"data": "properties"},
    base64_members=("data_base64",),
)
