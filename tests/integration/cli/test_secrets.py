"""Secrets of webhooks: encrypted in the database, read by ingest, and the change of the key."""

import base64
import hmac
from pathlib import Path

import asyncpg
import httpx
import pytest

from tests.support.command import Throughline
from tests.support.stack import Service, Stack, until
from throughline.kit.secret_box import PREFIX, new_key

ORDER = (Path(__file__).parents[2] / "fixtures" / "shopify" / "order.json").read_bytes()
SECRET = "s3cret-of-the-shop"


async def stored(database: str) -> str:
    """The secret of the source as it stands in the table."""
    connection = await asyncpg.connect(database)
    try:
        return str(await connection.fetchval("SELECT webhook_secret FROM sources"))
    finally:
        await connection.close()


async def send(ingest: Service, key: str) -> httpx.Response:
    """A webhook that is signed with the secret."""
    headers = {
        "X-Shopify-Topic": "orders/create",
        "X-Shopify-Hmac-Sha256": base64.b64encode(hmac.digest(SECRET.encode(), ORDER, "sha256")).decode(),
        "Content-Type": "application/json",
    }
    async with httpx.AsyncClient(timeout=15) as client:
        return await client.post(f"{ingest.url}/v1/shopify", params={"writeKey": key}, content=ORDER, headers=headers)


async def test_a_secret_is_encrypted_and_its_key_can_be_changed(stack: Stack, database: str) -> None:
    old = (await Throughline(database)("secrets", "key")).out.strip()
    new = (await Throughline(database)("secrets", "key")).out.strip()
    throughline = Throughline(database)
    source = (stack.workspace, "web")

    throughline.environment["ENCRYPTION_KEYS"] = None
    refused = await throughline("source", "set", *source, "--webhook-secret", "-", typed=f"{SECRET}\n")
    assert refused.status == 1
    assert "ENCRYPTION_KEYS" in refused.err
    assert (await throughline("source", "show", *source, "--json")).json["webhook_secret"] is False

    throughline.environment["ENCRYPTION_KEYS"] = old
    assert (await throughline("source", "set", *source, "--webhook-secret", "-", typed=f"{SECRET}\n")).status == 0
    assert (await stored(database)).startswith(PREFIX)
    assert SECRET not in await stored(database)

    before = await stack.start("ingest", ENCRYPTION_KEYS=old)
    assert (await send(before, stack.write_key)).status_code == 200
    await before.child.stop()

    throughline.environment["ENCRYPTION_KEYS"] = f"{new},{old}"
    sealed = await stored(database)
    rotated = await throughline("secrets", "rotate")
    assert rotated.status == 0, rotated.err
    assert "1 webhook secret" in rotated.err
    assert await stored(database) != sealed

    after = await stack.start("ingest", ENCRYPTION_KEYS=new)
    assert (await send(after, stack.write_key)).status_code == 200
    without = await stack.start("ingest", ENCRYPTION_KEYS=old)
    answer = await send(without, stack.write_key)
    assert (answer.status_code, answer.json()["code"]) == (503, "webhook_secret_unreadable")
    assert answer.headers["Retry-After"]
    async with httpx.AsyncClient(auth=(stack.write_key, ""), timeout=15) as client:
        unsigned = await client.post(f"{without.url}/v1/track", json={"userId": "u", "event": "E"})
    assert (unsigned.status_code, unsigned.json()["code"]) == (401, "signature_needed")
    await until(lambda: says(without, "the webhook secrets of web cannot be decrypted"), what=without.child.tail)
    throughline.environment["ENCRYPTION_KEYS"] = old
    lost = await throughline("secrets", "rotate")
    assert lost.status == 1
    assert "shop/web" in lost.err


async def says(service: Service, words: str) -> bool:
    return words in service.child.tail(100)


async def test_what_was_stored_as_it_is_goes_on_and_is_encrypted_by_a_rotation(stack: Stack, database: str) -> None:
    connection = await asyncpg.connect(database)
    try:
        await connection.execute("UPDATE sources SET webhook_secret = $1", SECRET)
    finally:
        await connection.close()
    ingest = await stack.start("ingest", KEYS_REFRESH_SECONDS="0.2", ENCRYPTION_KEYS=(key := new_key()))
    assert (await send(ingest, stack.write_key)).status_code == 200
    throughline = Throughline(database)
    throughline.environment["ENCRYPTION_KEYS"] = None
    unset = await throughline("secrets", "rotate")
    assert unset.status == 2
    assert "ENCRYPTION_KEYS is not set" in unset.err
    throughline.environment["ENCRYPTION_KEYS"] = key
    assert (await throughline("secrets", "rotate")).status == 0
    assert (await stored(database)).startswith(PREFIX)
    assert (await send(ingest, stack.write_key)).status_code == 200


@pytest.mark.parametrize(
    "keys", ["short", "," + new_key(), new_key() + " " + new_key()], ids=["short", "empty", "spaced"]
)
async def test_a_key_that_is_none_is_refused_unshown(database: str, keys: str) -> None:
    throughline = Throughline(database)
    throughline.environment["ENCRYPTION_KEYS"] = keys
    refused = await throughline("secrets", "rotate")
    assert refused.status == 2
    assert "ENCRYPTION_KEYS" in refused.err
    assert keys not in refused.err
