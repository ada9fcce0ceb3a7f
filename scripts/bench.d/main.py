"""Runs the cases of scripts/bench and reports them. See scripts/bench for how it is started."""

import argparse
import importlib
import signal
import sys
import time
from pathlib import Path

# Each is a module of cases/ with a docstring and measure(options), which yields groups as they are done.
CASES = ["claim", "enqueue", "pickup", "jobs", "crowded", "waiting", "wal", "held", "calendar"]


def parse():
    parser = argparse.ArgumentParser(prog="scripts/bench", description="Measures Kronos beside its references.")
    parser.add_argument("--list", action="store_true", help="name the cases")
    parser.add_argument("--case", action="append", choices=CASES, help="one case; may be given more than once")
    parser.add_argument("--quick", action="store_true", help="one short round, without the long cases")
    parser.add_argument("--rounds", type=int, help="how many rounds (3; with --quick 1)")
    parser.add_argument("--minutes", type=float, default=10, help="how long the case `held` holds its snapshot")
    parser.add_argument("--markdown", type=Path, help="also write the summary to this file")
    parser.add_argument("--installed", action="store_true", help="do not build the extension")
    parser.add_argument("--references", action="store_true", help="measure only the references")
    options = parser.parse_args()
    options.rounds = options.rounds or (1 if options.quick else 3)
    options.kronos = not options.references
    return options


def summary(case):
    for entry in (Path(__file__).parent / "cases" / f"{case}.py").read_text().split('"""')[1].strip().splitlines():
        print(f"  {case:9} {entry}")
        case = ""


def main():
    options = parse()
    if options.list:
        for case in CASES:
            summary(case)
        return
    # Ended from outside, it still ends what it has started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))

    import machine
    import report
    import systems

    flush_before = machine.disk_flush()
    systems.install(options.kronos)
    groups = []
    for case in options.case or CASES:
        print(f"\n== {case}", flush=True)
        begun = time.monotonic()
        try:
            groups += importlib.import_module(f"cases.{case}").measure(options)
        except report.FAILURES as failure:
            groups.append(report.Group(f"The case {case}", "", failures={"the rest of it": str(failure)}))
            print(f"  FAILED: {failure}", file=sys.stderr)
        print(f"  ({case} took {time.monotonic() - begun:.0f} s)", flush=True)
    text = report.markdown(groups, machine.facts(options, [flush_before, machine.disk_flush()]))
    print(f"\n{text}")
    if options.markdown:
        options.markdown.write_text(text)
    if any(group.failures for group in groups):
        sys.exit("some contenders could not be measured")


main()
