"""`make screenshots`: the README's pictures of the page, from a running `make run` with its demo.

Chromium takes them, and writes them as WebP.
"""

import asyncio
import base64
import os
import shutil
import sys
from pathlib import Path

from playwright.async_api import Page, ViewportSize, async_playwright

from throughline.kit.run_file import RUN_FILE, RunFile

FOLDER = Path(__file__).parents[1] / "docs" / "images"
VIEWS = {
    "now": "#/now?span=28d",
    "funnel": "#/funnel?span=90d",
    "flows": "#/flows?span=90d",
    "customer": "#/customer/ada%40shop.example",
}
"""The view of each picture."""
SIZE: ViewportSize = {"width": 1280, "height": 800}
MAX_BYTES = 150_000
SETTLE_SECONDS = 2.0
"""Time for which a view's last numbers may come after the first."""
WEBP = """
async ([png, quality]) => {
  const image = new Image();
  image.src = `data:image/png;base64,${png}`;
  await image.decode();
  const canvas = document.createElement("canvas");
  canvas.width = image.width;
  canvas.height = image.height;
  canvas.getContext("2d").drawImage(image, 0, 0);
  return canvas.toDataURL("image/webp", quality).split(",")[1];
}
"""


async def main() -> None:
    """Take every picture."""
    data = Path(os.environ.get("DATA") or ".throughline")
    running = RunFile.read(data)
    if running is None:
        sys.exit(f"nothing runs on {data}/ (no {RUN_FILE} there): start it with `make run` in another terminal")
    FOLDER.mkdir(exist_ok=True)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = await browser.new_page(viewport=SIZE, locale="en-GB", color_scheme="light", reduced_motion="reduce")
        encoder = await browser.new_page()
        headers = {"Authorization": f"Bearer {running.read_token}"}
        await page.request.post(f"{running.api_url}/v1/session", headers=headers)
        for name, view in VIEWS.items():
            await page.goto("about:blank")
            await page.goto(f"{running.api_url}/{view}")
            await page.get_by_role("heading").first.wait_for()
            await asyncio.sleep(SETTLE_SECONDS)
            picture = await _webp(encoder, await page.screenshot())
            if len(picture) > MAX_BYTES:
                sys.exit(f"{name}: {len(picture):,} bytes; a picture may have {MAX_BYTES:,}")
            (FOLDER / f"{name}.webp").write_bytes(picture)
            print(f"{name}: {len(picture):,} bytes")
        await browser.close()


async def _webp(encoder: Page, png: bytes) -> bytes:
    encoded: str = await encoder.evaluate(WEBP, [base64.b64encode(png).decode(), 0.9])
    return base64.b64decode(encoded)


if __name__ == "__main__":
    asyncio.run(main())
