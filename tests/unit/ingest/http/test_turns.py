"""Large requests take turns: one at a time, each sender's, and the loop does other work in between."""

import asyncio

from services.ingest.http.turns import Turns


async def test_senders_take_turns_and_others_come_between() -> None:
    turns = Turns()
    log: list[str] = []

    async def work(sender: bytes) -> None:
        async with turns.turn(sender):
            log.append(sender.decode())

    async def small() -> None:
        for _ in range(4):
            log.append(".")
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(5):
            tasks.create_task(work(b"flood"))
        tasks.create_task(work(b"other"))
        tasks.create_task(small())
    large = [entry for entry in log if entry != "."]
    assert large == ["flood", "flood", "other", "flood", "flood", "flood"]
    assert log.index(".") < log.index("other")
    assert "flood,flood" not in ",".join(log[:4])


async def test_a_turn_is_passed_on_whatever_happens() -> None:
    turns = Turns()

    async def fail() -> None:
        async with turns.turn(b"a"):
            raise ValueError

    async def wait() -> bool:
        async with turns.turn(b"a"):
            return True

    failed, cancelled, worked = asyncio.create_task(fail()), asyncio.create_task(wait()), asyncio.create_task(wait())
    await asyncio.sleep(0)
    cancelled.cancel()
    assert await worked
    outcomes = await asyncio.gather(failed, cancelled, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [ValueError, asyncio.CancelledError]
    assert await wait()


async def test_who_is_cancelled_with_the_turn_in_hand_passes_it_on() -> None:
    turns = Turns()

    async def wait() -> bool:
        async with turns.turn(b"a"):
            return True

    async with turns.turn(b"a"):
        first, second = asyncio.create_task(wait()), asyncio.create_task(wait())
        await asyncio.sleep(0)
    await asyncio.sleep(0)  # the turn is passed to the first, which is cancelled before it can go on
    first.cancel()
    async with asyncio.timeout(5):
        assert await second
    assert first.cancelled()
