"""`make chaos FAULTS=100`: inflict faults on a stack of its own under load, then say whether the state is exact."""

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

from bench.chaos.customers import Customers
from bench.chaos.disk import NAMESPACE, enter_namespace
from bench.chaos.faults import LONGEST_S, plan
from bench.chaos.run import Outcome, ground


def main() -> None:
    """Run; the exit status is 1 if the state is not exact."""
    parser = argparse.ArgumentParser(prog="python -m bench.chaos", description=__doc__)
    parser.add_argument("--faults", type=int, default=100, help="how many (100)")
    parser.add_argument("--seed", type=int, default=1, help="of faults and customers: the same seed, the same plan (1)")
    parser.add_argument("--brokers", type=int, default=1, help="of Kafka (1); 3 survive the loss of one")
    parser.add_argument("--customers", type=int, default=2_000, help="how many take turns (2000)")
    parser.add_argument("--rate", type=float, default=60.0, help="events a second (60)")
    parser.add_argument("--longest", type=float, default=LONGEST_S, help="seconds that a fault lasts at most (12)")
    parser.add_argument("--no-disks", action="store_true", help="fill no disk; else file systems in memory are mounted")
    parser.add_argument(NAMESPACE, action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    with_disks = not options.no_disks and enter_namespace(sys.argv[1:])
    if not with_disks:
        print("no disk is filled: " + ("--no-disks" if options.no_disks else "file systems cannot be mounted here"))
    sys.exit(asyncio.run(_run(options, with_disks)))


async def _run(options: argparse.Namespace, with_disks: bool) -> int:
    with tempfile.TemporaryDirectory(prefix="throughline-chaos-", ignore_cleanup_errors=True) as name:
        began = time.monotonic()
        async with ground(Path(name), brokers=options.brokers, with_disks=with_disks, report=_print) as stage:
            _print(f"the stack stands after {time.monotonic() - began:.0f} s; kinds: {stage.surroundings.kinds()}")
            customers = Customers(
                stage.ingest.url,
                stage.stack.write_key,
                seed=options.seed,
                count=options.customers,
                events_per_second=options.rate,
            )
            faults = plan(stage.surroundings, seed=options.seed, count=options.faults, longest_s=options.longest)
            outcome = await stage.run(faults, customers, report=_print)
    print(summary(outcome, seed=options.seed))
    return 1 if outcome.verdict.faults else 0


def summary(outcome: Outcome, *, seed: int) -> str:
    """The table of a run."""
    kinds = ", ".join(f"{number} {kind}" for kind, number in sorted(outcome.inflicted.items()))
    statuses = ", ".join(f"{number} x {status or 'none'}" for status, number in sorted(outcome.statuses.items()))
    lines = [
        f"faults     {outcome.inflicted.total()} in {outcome.seconds:.0f} s (seed {seed}): {kinds}",
        f"events     {outcome.events} acknowledged, {outcome.records} records on the log",
        f"answers    {statuses}; longest wait for a 200: {outcome.longest_wait_s:.1f} s",
        f"staged     {outcome.staged_after_s:.1f} s after the last event",
    ]
    verdict = outcome.verdict.faults
    lines.append("verdict    " + ("exact" if not verdict else "WRONG"))
    return "\n".join([*lines, *verdict])


def _print(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    main()
