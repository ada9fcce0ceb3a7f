"""Runs the cases of scripts/bench and reports the results. scripts/bench starts this program."""

import argparse
import importlib
import signal
import sys
import time
from pathlib import Path

# Modules of cases/. Each has a docstring, which --list shows, and measure(options), which returns or yields groups.
CASES = ["claim", "enqueue", "pickup", "jobs", "crowded", "waiting", "wal", "held", "metrics", "statements", "http", "calendar"]


def parse():
    parser = argparse.ArgumentParser(prog="scripts/bench", description="Compares Kronos with other queues.")
    parser.add_argument("--list", action="store_true", help="list the cases")
    parser.add_argument("--case", action="append", choices=CASES, help="run one case; may be given more than once")
    parser.add_argument("--quick", action="store_true", help="run one short round, without the long cases")
    parser.add_argument("--rounds", type=int, help="the number of rounds (default: 3; 1 with --quick)")
    parser.add_argument("--minutes", type=float, default=10, help="how long `held` holds its snapshot (default: 10)")
    parser.add_argument("--markdown", type=Path, help="also write the summary to this file")
    parser.add_argument("--installed", action="store_true", help="do not build the extension")
    parser.add_argument("--references", action="store_true", help="do not measure Kronos")
    options = parser.parse_args()
    options.rounds = options.rounds or (1 if options.quick else 3)
    options.kronos = not options.references
    return options


def print_summary(case):
    for line in (Path(__file__).parent / "cases" / f"{case}.py").read_text().split('"""')[1].strip().splitlines():
        print(f"  {case:9} {line}")
        case = ""


def main():
    options = parse()
    if options.list:
        for case in CASES:
            print_summary(case)
        return
    # sys.exit unwinds the stack, so that server.run() kills the program that it is running.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))

    import machine
    import report
    import systems

    flush_before = machine.disk_flush()
    systems.install(options.kronos)
    groups = []
    for case in options.case or CASES:
        print(f"\n== {case}", flush=True)
        start = time.monotonic()
        try:
            groups += importlib.import_module(f"cases.{case}").measure(options)
        except report.FAILURES as failure:
            groups.append(report.Group(f"The case {case}", "", failures={"the rest of the case": str(failure)}))
            print(f"  FAILED: {failure}", file=sys.stderr)
        print(f"  ({case} took {time.monotonic() - start:.0f} s)", flush=True)
    text = report.markdown(groups, machine.facts(options, [flush_before, machine.disk_flush()]))
    print(f"\n{text}")
    if options.markdown:
        options.markdown.write_text(text)
    if any(group.failures for group in groups):
        sys.exit("some contenders could not be measured")


main()
