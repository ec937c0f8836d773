"""`throughline cost import` on a real database: a file again changes nothing, another one of the same days replaces."""

from pathlib import Path

import asyncpg

from tests.support.command import Throughline
from throughline.cli.common.status import Status


async def costs(database: str) -> list[tuple[str, str, str, int]]:
    connection = await asyncpg.connect(database)
    try:
        rows = await connection.fetch(
            "SELECT dimension, value, currency, amount FROM costs ORDER BY dimension, day, value, currency"
        )
    finally:
        await connection.close()
    return [tuple(row) for row in rows]


async def test_a_file_of_costs_is_taken_in_once(database: str, tmp_path: Path) -> None:
    throughline = Throughline(database)
    await throughline("workspace", "create", "shop")
    file = tmp_path / "ads.csv"
    file.write_bytes("sep=;\nday;campaign;amount;currency\n2026-11-22;Frühling;12,50;EUR\n".encode("cp1252"))
    words = ("cost", "import", str(file), "--workspace", "shop", "--json")
    result = await throughline(*words)
    assert result.json == {"workspace": "shop", "costs": 1, "days": 1, "values": 1}
    assert (await throughline(*words)).json == result.json
    assert await costs(database) == [("campaign", "Frühling", "EUR", 1_250)]
    file.write_text("day,campaign,amount\n2026-11-22,Frühling,10\n2026-11-23,sale,1\n2026-11-23,sale,2\n")
    assert (await throughline(*words, "--currency", "EUR")).json["costs"] == 2
    assert await costs(database) == [("campaign", "Frühling", "EUR", 1_000), ("campaign", "sale", "EUR", 300)]
    file.write_text("day,campaign,amount\n2026-11-22,Frühling,5\ntoday,sale,1\n")
    refused = await throughline(*words, "--currency", "EUR")
    assert refused.status == Status.CANNOT
    assert "line 3, day" in refused.err
    assert await costs(database) == [("campaign", "Frühling", "EUR", 1_000), ("campaign", "sale", "EUR", 300)]
    unknown = await throughline("cost", "import", str(file), "--workspace", "nobody", "--currency", "EUR")
    assert unknown.status == Status.CANNOT
