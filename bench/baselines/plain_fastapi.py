"""The plain way to take an event: a FastAPI route, a pydantic model, aiokafka's `send_and_wait` with acks=all.

One event per request. It validates the types of a Segment track call and nothing more: no write key, no limits, no
clock correction, no verdicts. It writes the event as JSON, keyed by user, and answers `REPLY` once Kafka has
acknowledged it. Run by uvicorn with httptools and uvloop, access log off, as ingest is.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from aiokafka import AIOKafkaProducer
from fastapi import FastAPI, Response
from pydantic import BaseModel, Field

REPLY = os.environ["REPLY"].encode()
TOPIC = os.environ["TOPIC"]


class Track(BaseModel):
    """A track call, as Segment's clients send it."""

    messageId: str = Field(max_length=100)  # noqa: N815
    userId: str | None = None  # noqa: N815
    anonymousId: str | None = None  # noqa: N815
    event: str
    timestamp: datetime
    properties: dict[str, Any] = {}
    context: dict[str, Any] = {}


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Connect, and disconnect at the end."""
    app.state.producer = AIOKafkaProducer(bootstrap_servers=os.environ["KAFKA"], acks="all", enable_idempotence=True)
    await app.state.producer.start()
    yield
    await app.state.producer.stop()


app = FastAPI(lifespan=lifespan)


@app.post("/v1/track")
async def track(event: Track) -> Response:
    """Take one event."""
    key = (event.userId or event.anonymousId or "").encode()
    await app.state.producer.send_and_wait(TOPIC, event.model_dump_json().encode(), key=key)
    return Response(REPLY, media_type="application/json")


@app.get("/readyz")
async def readyz() -> str:
    """It runs."""
    return "ok"
