"""The plain script: each line of a file is one POST /v1/batch of one event with httpx, the next after the answer.

`python -m bench.baselines.request_per_row URL KEY FILE ROWS` prints the seconds that ROWS lines took, over one
connection that is kept open; its own start is not counted. It looks at the status, not at verdicts; what was refused is
not kept, nothing is tried again, and a script that is stopped begins anew.
"""

import sys
from itertools import islice
from pathlib import Path
from time import perf_counter

import httpx


def main() -> None:
    """Send them."""
    url, key, file, rows = sys.argv[1:]
    with Path(file).open("rb") as lines, httpx.Client(base_url=url, auth=(key, "")) as client:
        began = perf_counter()
        for line in islice(lines, int(rows)):
            client.post("/v1/batch", content=b'{"batch":[%b]}' % line).raise_for_status()
        print(perf_counter() - began)


if __name__ == "__main__":
    main()
