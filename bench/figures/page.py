"""The page: what it weighs, how soon it shows numbers, and how fast it answers a key, in a real Chromium.

The shop is written as staging would have left it. The browser has an empty cache each time; nothing slows its network.
"""

import gzip
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from statistics import quantiles

import asyncpg
from playwright.async_api import Browser, Page, async_playwright

from bench.report import Goal, Row
from bench.servers import Deployment, Servers, Sizes, print_progress
from services.api.dashboard.page import files
from tests.support.folded import write_folded
from tests.support.quarter import customers
from throughline.kit.clock import now_us

CUSTOMERS = 5_000
POINTS = 2_000
KEYS = 40
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync", "--no-first-run"]
VIEWS = {
    "now": "tr[data-phase=discovery] .now:not(:text-is('–'))",
    "funnel": "figure svg text",
    "flows": "figure svg .node",
    "abandonment": "figure svg circle",
}
"""View -> its first numbers."""

_PICTURE = """
async (points) => {
  const { line } = await import("/charts/line.js");
  const { figure } = await import("/charts/figure.js");
  const days = Array.from({ length: points }, (_, place) => ({
    at: 1.5e9 + place * 86400, value: place < points - 30 ? 0.3 + 0.2 * Math.sin(place / 60) : null,
    open: place < points - 30 ? null : 0.2, low: 0.2, high: 0.6, says: `day ${place}`, href: "#/",
  }));
  const picture = (width) => line(days, { name: "many days", width, zone: "UTC" });
  const rows = days.map(({ says, value }) => [says, value]);
  const element = figure({ title: "Many", sentence: "Many days.", picture, columns: [["Day"], ["Rate"]], rows });
  document.querySelector("#place").replaceChildren(element);
  window.slowest = [];
  new PerformanceObserver((list) => window.slowest.push(...list.getEntries().map(({ duration }) => duration)))
    .observe({ type: "event", durationThreshold: 16 });
}
"""
"""Puts a figure of many points onto the page, and notes how long each event takes until the next frame is painted."""


async def measure(servers: Servers, sizes: Sizes) -> list[Row]:
    """The weight of all files; the time to the first numbers of each view; the slowest of many keys."""
    contents = [content for _, content, _ in files()]
    weight = sum(len(gzip.compress(content, mtime=0)) for content in contents)
    seconds: dict[str, list[float]] = {view: [] for view in VIEWS}
    keys: list[float] = []
    async with servers.topic() as topic, servers.deployment(topic) as deployment, _browser() as browser:
        await _fill(deployment)
        url = (await deployment.run("api")).url
        for number in range(sizes.rounds + 1):
            for view, first in VIEWS.items():
                page = await _open(browser, url, deployment.read_token)
                await page.goto(f"{url}/#/{view}?span=90d")
                await page.locator(first).first.wait_for(state="attached")
                if number:  # the first round warms the caches of the api and of PostgreSQL
                    seconds[view].append(float(await page.evaluate("performance.now()")))
                await page.context.close()
        for _ in range(sizes.rounds):
            page = await _open(browser, url, deployment.read_token)
            await page.goto(f"{url}/#/customers")
            await page.locator("#title").wait_for()
            keys.append(await _slowest_key(page))
            await page.context.close()
    print_progress(f"page: {weight / 1e3:.1f} kB of {len(contents)} files, {seconds}, keys {keys}")
    return [
        Row(
            name="page, gzipped",
            unit="kB",
            rounds=[weight / 1e3],
            goal=Goal("value", most=120),
            note=f"all {len(contents)} files, whether a view needs them or not",
        ),
        *(
            Row(
                name=f"first numbers of {view}",
                unit="ms",
                rounds=rounds,
                goal=Goal("value", most=1_000),
                note=f"{CUSTOMERS:,} customers, 90 days, empty cache",
            )
            for view, rounds in seconds.items()
        ),
        Row(
            name=f"a key in a line of {POINTS:,} points, p95",
            unit="ms",
            rounds=keys,
            goal=Goal("value", most=100),
            note="from the key to the painted frame",
        ),
    ]


async def _slowest_key(page: Page) -> float:
    """The time within which 95 % of keys have their effect painted, in milliseconds."""
    await page.evaluate(_PICTURE, POINTS)
    await page.locator("figure canvas").wait_for()
    await page.get_by_role("slider").focus()
    for number in range(KEYS):
        # At some keys the table of all points comes and goes too.
        await page.keyboard.press("t" if number % 10 > 7 else "ArrowLeft")
        if number % 10 == 9:
            await page.get_by_role("slider").focus()
    await page.evaluate("new Promise((resolve) => setTimeout(resolve, 200))")
    # What takes less than the threshold is no entry.
    slow = [float(each) for each in await page.evaluate("window.slowest")]
    return quantiles([*slow, *[16.0] * max(KEYS - len(slow), 0)], n=20)[-1]


async def _fill(deployment: Deployment) -> None:
    connection = await asyncpg.connect(deployment.database)
    try:
        source = await connection.fetchval("SELECT id FROM sources WHERE workspace = $1", deployment.workspace_id)
        await write_folded(
            connection,
            customers(CUSTOMERS, deployment.workspace_id, source, now_us()),
            workspace=deployment.workspace_id,
            model=deployment.model,
            topic=deployment.touchpoints,
            now_us=now_us(),
        )
    finally:
        await connection.close()


async def _open(browser: Browser, url: str, token: str) -> Page:
    """A page with a session and an empty cache."""
    context = await browser.new_context(locale="en-GB", timezone_id="UTC", viewport={"width": 1280, "height": 900})
    response = await context.request.post(f"{url}/v1/session", headers={"Authorization": f"Bearer {token}"})
    if response.status != 204:
        raise RuntimeError(f"the session is answered {response.status}")
    return await context.new_page()


@asynccontextmanager
async def _browser() -> AsyncIterator[Browser]:
    executable = shutil.which("chromium") or "/usr/bin/chromium"
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
        yield browser
        await browser.close()
