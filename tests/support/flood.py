"""A client that sends large batches without end and pays no heed to Retry-After: `python -m tests.support.flood`.

A process of its own, so that its work is not in the times that a test measures. Prints how often it got each status.
"""

import asyncio
import json
import sys
import time
from collections import Counter
from urllib.parse import urlsplit

EVENTS = 2_500
SENDERS = 32
PAUSE_SECONDS = 0.05


async def flood(url: str, write_key: str, seconds: float) -> Counter[str]:
    """Send for so long; returns number of answers by status."""
    events = [{"type": "track", "event": "Product Viewed", "userId": f"flood-{n % 500}"} for n in range(EVENTS)]
    body = json.dumps({"batch": events}).encode()
    head = f"POST /v1/batch HTTP/1.1\r\nHost: x\r\nAuthorization: {write_key}\r\nContent-Length: {len(body)}\r\n\r\n"
    request = head.encode() + body
    parts = urlsplit(url)
    ends_at = time.monotonic() + seconds
    answers: Counter[str] = Counter()

    async def send() -> None:
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        while time.monotonic() < ends_at:
            writer.write(request)
            answer = await reader.readuntil(b"\r\n\r\n")
            answers[answer.split()[1].decode()] += 1
            lines = (line.partition(b": ") for line in answer.lower().split(b"\r\n"))
            await reader.readexactly(next(int(value) for name, _, value in lines if name == b"content-length"))
            await asyncio.sleep(PAUSE_SECONDS)
        writer.close()

    async with asyncio.TaskGroup() as tasks:
        for _ in range(SENDERS):
            tasks.create_task(send())
    return answers


if __name__ == "__main__":
    url, write_key, seconds = sys.argv[1:]
    print(json.dumps(asyncio.run(flood(url, write_key, float(seconds)))))
