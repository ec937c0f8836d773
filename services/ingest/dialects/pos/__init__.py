"""Points of sale: the receipts of tills, as JSON or CSV."""

from services.ingest.dialects.base import ConsentSources, DialectSpec, Route
from services.ingest.dialects.consent import answers
from services.ingest.dialects.pos.parse import PATH, parse_sales

SPEC = DialectSpec(
    name="pos",
    routes=(
        Route(
            "POST",
            PATH,
            parse_sales,
            "A till's sales: CSV with column names, JSON (an object, a list, sales) or JSON lines; a verdict for each "
            "row",
            {"sales": [{"receipt": "R-1", "sold_at": "2026-01-31T09:30:00", "customer": "ada", "total": 42.5}]},
            parameters=("writeKey", "time_zone", "currency", "anonymous", "decimal"),
            other_examples={
                "text/csv": "receipt,sold_at,customer,kind,total\nR-1,2026-01-31T09:30:00,ada,sale,42.50\n"
            },
        ),
    ),
    consent=ConsentSources(members={"analytics_consent": answers}),
    kept_names={"receipt": "order_id", "receipt_id": "order_id", "original_receipt": "order_id", "amount": "value"},
)
