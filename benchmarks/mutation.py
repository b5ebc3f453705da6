"""Do the checks of the exercises notice mistakes? All mutants of all solutions.

    python -m benchmarks.mutation              every exercise: half an hour on one core
    python -m benchmarks.mutation nin          one chapter
    python -m benchmarks.mutation nin.2        one exercise

Writes results/mutation.json: for each exercise how many mutants there are and what became of them,
for each chapter the share of the behaviour-changing ones that is rejected. `exercises.mutation`
says what a mutant is. Exercises that are not named keep what is written about them.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from typing import Any

from exercises import engine, mutation

from . import common


def rate(counts: dict[str, int]) -> float | None:
    """Share of the mutants that reach the check and change the behaviour that is rejected."""
    changed = sum(counts[kind] for kind in ("rejected", "accepted", "missed", "crashed"))
    return round(counts["rejected"] / changed, 4) if changed else None


def totals(exercises: dict[str, dict[str, int]]) -> dict[str, Any]:
    """The counts of several exercises added up, without the capstone's, and their rate."""
    counts: Counter[str] = Counter()
    for id, found in exercises.items():
        if id != mutation.OPEN_DESIGN:
            counts.update(found)
    return {**counts, "rate": rate(counts)}


def summarise(exercises: dict[str, dict[str, int]]) -> dict[str, Any]:
    """All counts: of the course, of each chapter, of each exercise."""
    chapters: dict[str, dict] = {}
    for item in engine.exercises():
        if item.id in exercises:
            chapters.setdefault(item.chapter, {})[item.id] = exercises[item.id]
    return {
        "course": totals(exercises),
        "chapters": {chapter: totals(found) for chapter, found in chapters.items()},
        "exercises": {id: counts for found in chapters.values() for id, counts in found.items()},
    }


def main() -> None:
    arguments = common.parser(__doc__)
    arguments.add_argument("names", nargs="*", help="exercises (nin.2) or chapters (nin)")
    names = arguments.parse_args().names
    items = [item for item in engine.exercises() if item.check]
    wanted = [i for i in items if not names or i.id in names or i.group in names]
    if not wanted:
        sys.exit(f"There is no exercise or chapter {', '.join(names)}.")
    stored = common.read("mutation.json") or {"exercises": {}}
    done = {
        item.id: stored["exercises"][item.id] for item in items if item.id in stored["exercises"]
    }
    wrong = []
    for item in wanted:
        start = time.perf_counter()
        tried = {m: mutation.try_out(item, m) for m in mutation.all_mutants(item.id)}
        done[item.id] = mutation.tally(item, tried)
        counts = ", ".join(f"{n} {kind}" for kind, n in done[item.id].items() if n)
        print(f"{item.id}: {counts} ({time.perf_counter() - start:.0f} s)", flush=True)
        for text in mutation.complaints(item, tried):
            print(f"  {text}", flush=True)
            wrong.append(text)
        result = common.header("mutants of the solutions, and whether the checks reject them")
        common.write("mutation.json", {**result, **summarise(done)})
    if wrong:
        sys.exit(f"{len(wrong)} complaints.")


if __name__ == "__main__":
    main()
