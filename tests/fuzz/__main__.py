"""`make fuzz`: a coverage-guided fuzzer (Atheris) searches for bytes that break a law of `targets.py`.

Its corpus stays in its working folder (`.fuzz/`). A crash becomes a file there; `python -m tests.fuzz TARGET FILE` runs
it again. Each crash becomes a test, and its input a file in `corpus/` if it is small.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["services", "throughline"]):
    from services.ingest.dialects.ga4.parse import HEAD
    from services.ingest.dialects.posthog.event import CONTEXT_PROPERTIES
    from services.ingest.dialects.posthog.wire import WireEvent
    from services.ingest.event import event
    from tests.fuzz.targets import TARGETS

from tests.fuzz.mutate import mutated
from tests.fuzz.seeds import PATHS, seeds

LONGEST = {"ingest": 40_000, "size": 4_000, "wire": 2_000, "model": 8_000}
"""Maximum number of bytes of an input, by target."""


def main() -> None:
    """Fuzz one target for `--seconds`, or run one input."""
    arguments = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    arguments.add_argument("target", choices=sorted(TARGETS))
    arguments.add_argument("input", nargs="?", type=Path, help="run this input and end")
    arguments.add_argument("--seconds", type=int, default=60)
    arguments.add_argument("--folder", type=Path, default=Path(".fuzz"), help="where the corpus grows")
    options = arguments.parse_args()
    if options.input is not None:
        TARGETS[options.target](options.input.read_bytes())
        return
    folder = options.folder / options.target
    folder.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds(options.target)):
        (folder / f"seed-{number:03}").write_bytes(seed)
    dictionary = options.folder / "words"
    dictionary.write_text("".join(f'"{word}"\n' for word in _words()))
    flags = [
        f"-max_total_time={options.seconds}",
        f"-max_len={LONGEST[options.target]}",
        f"-dict={dictionary}",
        "-timeout=30",
        "-rss_limit_mb=1500",
        "-print_final_stats=1",
        f"-artifact_prefix={options.folder}/{options.target}-",
        "-verbosity=1",
    ]
    atheris.Setup([sys.argv[0], *flags, str(folder)], TARGETS[options.target], custom_mutator=_mutator(options.target))
    atheris.Fuzz()


def _mutator(target: str) -> Callable[[bytes, int, int], bytes]:
    of_requests = target in ("ingest", "size")

    def mutator(data: bytes, longest: int, seed: int) -> bytes:
        mutant = mutated(data, seed) if of_requests and seed % 3 else None
        if mutant is None:
            mutant = atheris.Mutate(data, longest)
        return bytes(mutant[:longest])

    return mutator


def _words() -> list[str]:
    names = {
        *event.Event.__struct_fields__,
        *HEAD,
        *WireEvent.__struct_fields__,
        *CONTEXT_PROPERTIES,
        "e",
        "ue_px",
        "ue_pr",
        "cx",
        "co",
        "dtm",
        "stm",
        "eid",
        "duid",
        "aid",
        "uid",
        "data",
        "schema",
        "batch",
        "specversion",
        "datacontenttype",
        "data_base64",
        "api_key",
        "order_id",
        "value",
        "userAgent",
        "campaign",
    }
    return sorted(names | {path.partition(" ")[2] for path in PATHS})


main()
