"""GET /v1/rejected, as tests ask it."""

from typing import Any

import httpx

from tests.support.stack import Service, Stack, until


class Reader:
    """GET /v1/rejected of a running api."""

    def __init__(self, stack: Stack, api: Service) -> None:
        self._url = f"{api.url}/v1/rejected"
        self._headers = {"Authorization": f"Bearer {stack.read_token}"}

    async def __call__(self, **query: Any) -> Any:
        async with httpx.AsyncClient(timeout=30) as client:
            answer = await client.get(self._url, params=query, headers=self._headers)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def events(self, **query: Any) -> int:
        return sum(count["events"] for count in (await self(**query))["counts"])

    async def wait(self, events: int) -> None:
        async def counted() -> bool:
            return await self.events() >= events

        await until(counted, seconds=60, what=lambda: f"{events} refused events")
