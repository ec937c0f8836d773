"""A shop's signed webhooks and a till's file, through a real ingest to Kafka."""

import base64
import hmac
from hashlib import blake2b
from pathlib import Path

import httpx

from tests.support.command import Throughline
from tests.support.stack import Stack, until
from tests.support.topic import read_rejected, read_touchpoints

ORDER = (Path(__file__).parents[2] / "fixtures" / "shopify" / "order.json").read_bytes()
SECRET = "s3cret"


async def test_webhooks_are_taken_from_who_knows_the_secret(stack: Stack, database: str) -> None:
    throughline = Throughline(database)
    names = (await throughline("source", "list", "--json")).json[0]
    source = (names["workspace"], names["name"])
    ingest = await stack.start("ingest", KEYS_REFRESH_SECONDS="0.2")
    async with httpx.AsyncClient(base_url=ingest.url, params={"writeKey": stack.write_key}) as client:

        async def send(secret: str, topic: str = "orders/create", body: bytes = ORDER) -> httpx.Response:
            signature = base64.b64encode(hmac.digest(secret.encode(), body, "sha256")).decode()
            headers = {"X-Shopify-Topic": topic, "X-Shopify-Event-Id": "e-1", "Content-Type": "application/json"}
            if secret:
                headers["X-Shopify-Hmac-Sha256"] = signature
            return await client.post("/v1/shopify", content=body, headers=headers)

        unset = await send(SECRET)
        assert (unset.status_code, unset.json()["code"]) == (401, "webhook_secret_not_set")
        assert "--webhook-secret" in unset.json()["message"]
        await throughline("source", "set", *source, "--webhook-secret", "-", typed=f"{SECRET}\n")

        async def taken() -> bool:
            return (await send(SECRET)).status_code == 200

        await until(taken, what=lambda: "the secret known to ingest")
        for secret in ("", "other"):
            refused = await send(secret)
            assert (refused.status_code, refused.json()["code"]) == (401, "invalid_signature")
        segment = b'{"type":"track","event":"E","userId":"u","messageId":"m"}'
        assert (await send("other", body=segment)).status_code == 401
        again = await send(SECRET)
        assert again.json()["verdicts"] == [{"verdict": "ok"}, {"verdict": "ok"}]
        nobody = await send(SECRET, "products/update", b'{"id": 1, "title": "IPod"}')
        assert (nobody.status_code, nobody.json()["verdicts"][0]["code"]) == (200, "missing_id")
        sales = "receipt,sold_at,customer,total\nR-1,2026-01-31,115310627314723954,9.90\nR-2,2026-01-31,,1\n"
        unsigned = await client.post("/v1/pos", content=sales)
        assert (unsigned.status_code, unsigned.json()["code"]) == (401, "signature_needed")
        await throughline("source", "create", source[0], "till")
        key = (await throughline("key", "create", "--workspace", source[0], "--source", "till")).out.strip()

        async def has_key() -> bool:
            return (await client.post("/v1/pos", content=sales, params={"writeKey": key})).status_code == 200

        await until(has_key, what=lambda: "the till's key known to ingest")
        till = await client.post("/v1/pos", content=sales, params={"writeKey": key})
        assert [(verdict["row"], verdict["verdict"]) for verdict in till.json()["verdicts"]] == [
            (1, "ok"),
            (2, "rejected"),
        ]
    facts = await read_touchpoints(stack.kafka, stack.touchpoints)
    assert {(fact.actor, fact.message_id, fact.name) for fact in facts} == {
        ("115310627314723954", f"orders/create:{blake2b(ORDER, digest_size=16).hexdigest()}", "orders/create"),
        ("115310627314723954", "link:orders:shopify-order-820982911946154508", ""),
        ("115310627314723954", "pos:sale:R-1", "pos_sale"),
    }
    assert {record.code for record in await read_rejected(stack.kafka, stack.rejected)} == {"missing_id"}
