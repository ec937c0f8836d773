"""`make fuzz`: lets a coverage-guided fuzzer (Atheris) look for bytes that break a law of `targets.py`.

What it finds stays in its working folder (`.fuzz/`), a crash as a file that `python -m tests.fuzz TARGET FILE` plays
again. Each crash becomes a test, its input a file in `corpus/` if it is small.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["services", "throughline"]):
    from services.ingest.dialects import ga4, posthog_wire
    from services.ingest.event import event
    from tests.fuzz.targets import TARGETS

from tests.fuzz.mutate import mutated
from tests.fuzz.seeds import PATHS, seeds

LONGEST = {"ingest": 40_000, "size": 4_000, "wire": 2_000, "model": 8_000}
"""Bytes of an input."""


def main() -> None:
    """Fuzz one target for so long, or play one input."""
    arguments = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    arguments.add_argument("target", choices=sorted(TARGETS))
    arguments.add_argument("input", nargs="?", type=Path, help="play this one and end")
    arguments.add_argument("--seconds", type=int, default=60)
    arguments.add_argument("--folder", type=Path, default=Path(".fuzz"), help="where the corpus grows")
    given = arguments.parse_args()
    if given.input is not None:
        TARGETS[given.target](given.input.read_bytes())
        return
    folder = given.folder / given.target
    folder.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds(given.target)):
        (folder / f"seed-{number:03}").write_bytes(seed)
    words = given.folder / "words"
    words.write_text("".join(f'"{word}"\n' for word in _words()))
    options = [
        *(f"-max_total_time={given.seconds}", f"-max_len={LONGEST[given.target]}", f"-dict={words}", "-timeout=30"),
        *(
            "-rss_limit_mb=1500",
            "-print_final_stats=1",
            f"-artifact_prefix={given.folder}/{given.target}-",
            "-verbosity=1",
        ),
    ]
    atheris.Setup([sys.argv[0], *options, str(folder)], TARGETS[given.target], custom_mutator=_mutator(given.target))
    atheris.Fuzz()


def _mutator(target: str) -> Callable[[bytes, int, int], bytes]:
    of_requests = target in ("ingest", "size")

    def mutator(data: bytes, longest: int, seed: int) -> bytes:
        found = mutated(data, seed) if of_requests and seed % 3 else None
        if found is None:
            found = atheris.Mutate(data, longest)
        return bytes(found[:longest])

    return mutator


def _words() -> list[str]:
    names = {
        *event.Event.__struct_fields__,
        *ga4.HEAD,
        *(name for one in (posthog_wire.Sent, posthog_wire.Known) for name in one.__struct_fields__),
        *("e", "ue_px", "ue_pr", "cx", "co", "dtm", "stm", "eid", "duid", "aid", "uid", "data", "schema", "batch"),
        *("specversion", "datacontenttype", "data_base64", "api_key", "order_id", "value", "userAgent", "campaign"),
    }
    return sorted(names | {path.partition(" ")[2] for path in PATHS})


main()
