"""Fair shares of the slots, in any order of asking, ending and giving up."""

import asyncio
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.api.shared.shares import QueueFullError, Shares


async def test_a_workspace_has_no_more_than_its_part() -> None:
    shares = Shares(slots=3, each=2, queue=100)
    running: Counter[str] = Counter()
    peaks: Counter[str] = Counter()

    async def work(workspace: str) -> None:
        async with shares.share(workspace):
            running[workspace] += 1
            peaks[workspace] = max(peaks[workspace], running[workspace])
            peaks["all"] = max(peaks["all"], running.total())
            await asyncio.sleep(0)
            running[workspace] -= 1

    await asyncio.gather(*(work(workspace) for workspace in "aabbcc" * 10))
    assert max(peaks[workspace] for workspace in "abc") == 2
    assert peaks["all"] == 3


async def test_whoever_waits_is_served_in_turn() -> None:
    shares = Shares(slots=1, each=1, queue=100)
    served: list[str] = []

    async def work(workspace: str) -> None:
        async with shares.share(workspace):
            served.append(workspace)
            await asyncio.sleep(0)

    await asyncio.gather(*(work(workspace) for workspace in ["greedy"] * 20 + ["modest"] * 2))
    assert served[:5] == ["greedy", "greedy", "modest", "greedy", "modest"]


async def test_a_queue_has_an_end() -> None:
    shares = Shares(slots=1, each=1, queue=2)
    async with shares.share("a"):
        waiting = [asyncio.create_task(hold(shares, "a")) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(QueueFullError):
            await hold(shares, "a")
        others = asyncio.create_task(hold(shares, "b"))
        await asyncio.sleep(0)
    await asyncio.gather(*waiting, others)


async def hold(shares: Shares, workspace: str) -> None:
    async with shares.share(workspace):
        await asyncio.sleep(0)


@given(
    acts=st.lists(
        st.tuples(st.sampled_from("abc"), st.sampled_from(("hold", "cancel at once", "cancel later"))), max_size=30
    )
)
def test_no_slot_is_lost(acts: list[tuple[str, str]]) -> None:
    async def run() -> None:
        shares = Shares(slots=2, each=1, queue=100)
        tasks = []
        for workspace, act in acts:
            task = asyncio.create_task(hold(shares, workspace))
            if act == "cancel at once":
                task.cancel()
            tasks.append(task)
            if act == "cancel later":
                await asyncio.sleep(0)
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert (shares._free, shares._used, shares._waiting) == (2, Counter(), {})

    asyncio.run(run())
