"""Results: groups of points, measured for several contenders; as text, as Markdown, and where Kronos loses."""

import statistics
import sys
from dataclasses import dataclass, field

import psycopg
from server import Failed

KRONOS = "Kronos"

# Errors that end one contender's measurements, but not the run.
FAILURES = (Failed, OSError, psycopg.Error)


@dataclass
class Group:
    """One table: a row for each contender, a column for each point. Ratios are taken against the row `Kronos`."""

    title: str
    unit: str
    lower_is_better: bool = False
    note: str = ""
    values: dict = field(default_factory=dict)  # point -> contender -> values, one a round
    failures: dict = field(default_factory=dict)  # contender -> what went wrong

    def add(self, contender, measured):
        for point, number in measured.items():
            self.values.setdefault(point, {}).setdefault(contender, []).append(number)

    def contenders(self):
        names = [name for row in self.values.values() for name in row]
        return sorted(dict.fromkeys(names), key=lambda name: name != KRONOS)

    def median(self, point, contender):
        numbers = self.values[point].get(contender)
        return statistics.median(numbers) if numbers else None

    def ratio(self, point, contender):
        """How well Kronos does against the contender: below 1 it loses."""
        own, other = self.median(point, KRONOS), self.median(point, contender)
        if contender == KRONOS or not own or not other:
            return None
        return other / own if self.lower_is_better else own / other

    def cell(self, point, contender):
        numbers = self.values[point].get(contender)
        if not numbers:
            return "–"
        text = show(statistics.median(numbers))
        if len(numbers) > 1:
            text += f" ({show(min(numbers))}–{show(max(numbers))})"
        ratio = self.ratio(point, contender)
        return text if ratio is None else f"{text} · {ratio:.2f}"

    def table(self):
        head = ["", *self.values]
        return [head, *([name, *(self.cell(point, name) for point in self.values)] for name in self.contenders())]

    def losses(self):
        for point in self.values:
            for contender in self.contenders():
                ratio = self.ratio(point, contender)
                # Kronos in another state is no peer.
                if ratio is not None and ratio < 1 and not contender.startswith(KRONOS):
                    yield f"{self.title}, {point}: {ratio:.2f} of {contender}"


def show(number):
    if number >= 100:
        return f"{number:,.0f}"
    return f"{number:.1f}" if number >= 10 else f"{number:.2f}"


def alternate(group, rounds, contenders, measure):
    """Measures the contenders in turn, `rounds` times: `measure(contender)` returns {point: number}."""
    for _ in range(rounds):
        for name, contender in contenders.items():
            if name in group.failures:
                continue
            try:
                measured = measure(contender)
            except FAILURES as failure:
                group.failures[name] = str(failure)
                print(f"  {name}: FAILED: {failure}", file=sys.stderr)
                continue
            group.add(name, measured)
            for point, number in measured.items():
                print(f"  {group.title} | {point} | {name} | {show(number)} {group.unit}", flush=True)


def markdown(groups, facts):
    lines = ["# Benchmarks", "", "Written by `scripts/bench`.", ""]
    lines += [f"- {name}: {fact}" for name, fact in facts.items()]
    lines += [
        "",
        "Each cell shows the median of the rounds, their range in parentheses, and how well Kronos does against that",
        "row: 2.00 means twice as well; below 1 Kronos loses. Contenders alternate within one run; numbers of",
        "different runs must not be compared.",
    ]
    groups = [group for group in groups if group.values or group.failures]
    for group in groups:
        better = "lower" if group.lower_is_better else "higher"
        lines += ["", f"## {group.title}", "", f"{group.unit}; {better} is better. {group.note}".rstrip(), ""]
        head, *body = group.table()
        if body:
            lines += [line(head), line(["---"] + ["---:"] * (len(head) - 1)), *(line(row) for row in body)]
        lines += [f"\nNot measured: {name} ({reason})." for name, reason in group.failures.items()]
    if any(KRONOS in group.contenders() for group in groups):
        losses = [loss for group in groups for loss in group.losses()]
        lines += ["", "## Where Kronos loses", ""]
        lines += [f"- {loss}" for loss in losses] or ["Nowhere in this run."]
    return "\n".join(lines) + "\n"


def line(cells):
    return "| " + " | ".join(cells) + " |"
