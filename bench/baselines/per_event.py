"""The per-event consumer: aiokafka `getone`, SQLAlchemy's async ORM, one database transaction per event.

Per event it decodes the same protobuf message as the stager (our codec), loads the customer by primary key, changes or
adds it (latest event and how many there were), adds the touchpoint's row (all columns), and commits. Offsets go to
Kafka by aiokafka's own auto-commit, every five seconds. At least once: an event that comes again after a crash violates
the touchpoint's key, which ends the process. It has no journeys, no phases, no transitions and no counts.
"""

import uvloop
from sqlalchemy import BigInteger, Text
from sqlalchemy.ext.asyncio import async_sessionmaker
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from bench.baselines.consumer import DATABASE_URL, Progress, consumer
from throughline.store.engine.pool import create_engine
from throughline.wire.codec import decode


class Base(DeclarativeBase):
    """The two tables."""

    type_annotation_map = {int: BigInteger, str: Text}  # noqa: RUF012


class Customer(Base):
    """A customer's latest event."""

    __tablename__ = "per_event_customers"
    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    occurred_us: Mapped[int]
    channel: Mapped[str]
    value: Mapped[float | None]
    events: Mapped[int]


class Fact(Base):
    """A touchpoint."""

    __tablename__ = "per_event_facts"
    actor: Mapped[str] = mapped_column(primary_key=True)
    message_id: Mapped[str] = mapped_column(primary_key=True)
    occurred_us: Mapped[int]
    received_us: Mapped[int]
    source: Mapped[int]
    channel: Mapped[str]
    call: Mapped[str]
    name: Mapped[str]
    user_id: Mapped[str]
    anonymous_id: Mapped[str]
    previous_id: Mapped[str]
    order_id: Mapped[str]
    value: Mapped[float | None]
    currency: Mapped[str]
    rating: Mapped[float | None]
    score: Mapped[float | None]
    product_id: Mapped[str]
    quantity: Mapped[float | None]
    rest: Mapped[str]


COLUMNS = tuple(Fact.__table__.columns.keys())


async def run() -> None:
    """Consume until all expected events are committed."""
    engine = create_engine(DATABASE_URL)
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    sessions = async_sessionmaker(engine)
    kafka = consumer(enable_auto_commit=True)
    await kafka.start()
    progress = Progress()
    while not progress.finished:
        touchpoint = decode((await kafka.getone()).value)
        async with sessions() as session:
            customer = await session.get(Customer, touchpoint.actor)
            if customer is None:
                customer = Customer(id=touchpoint.actor, occurred_us=touchpoint.occurred_us, events=0)
                session.add(customer)
            customer.events += 1
            if touchpoint.occurred_us >= customer.occurred_us:
                customer.name = touchpoint.name
                customer.occurred_us = touchpoint.occurred_us
                customer.channel = touchpoint.channel
                customer.value = touchpoint.value
            session.add(Fact(**{name: getattr(touchpoint, name) for name in COLUMNS}))
            await session.commit()
        progress.add(1)
    progress.print_rate()
    await kafka.stop()
    await engine.dispose()


if __name__ == "__main__":
    uvloop.run(run())
