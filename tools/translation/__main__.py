"""For authors and translators of the Chinese edition.

    python -m tools.translation todo chapters/04_nin > todo.json
    python -m tools.translation fill chapters/04_nin answers.json
    python -m tools.translation status
    python -m tools.translation renew [--check]    is `course.py translate`

`todo` writes what a catalogue lacks, `fill` takes the answers: tools/translation/exchange.py says
in which form.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from tools import COMMAND, Parser, exit_code, say
from tools.translation import edition, exchange, sources


def todo(options) -> int:
    entries = exchange.todo(options.catalogue)
    sys.stdout.reconfigure(encoding="utf-8")
    say(json.dumps(entries, ensure_ascii=False, indent=1))
    return 0


def fill(options) -> int:
    taken, refused = exchange.fill(options.catalogue, exchange.read_answers(options.answers))
    for problem in refused:
        say(problem)
    done, _, number = exchange.count(options.catalogue)
    say(
        f"{taken} taken, {len(refused)} refused; {options.catalogue} has {done} of {number} blocks."
    )
    return 1 if refused else 0


def status(options) -> int:
    sums = [0, 0, 0]
    for name in sources.names():
        counts = exchange.count(name)
        sums = [a + b for a, b in zip(sums, counts)]
        say(_line(name, *counts))
    say(_line("all", *sums))
    return 0


def renew(options) -> int:
    if options.check:
        changed = edition.outdated()
        problem = f"`{COMMAND} translate` renews them" if changed else "all is as it should be"
        say("\n".join([*changed, f"{len(changed)} files are out of date: {problem}."]))
        return 1 if changed else 0
    changed = edition.renew()
    faults = [fault for name in sources.names() for fault in exchange.faults(name)]
    say("\n".join([*changed, f"{len(changed)} files renewed.", *faults]))
    status(options)
    return 1 if faults else 0


def _line(name: str, done: int, fuzzy: int, number: int) -> str:
    return f"{name:40} {done:5} of {number:5} translated" + (f", {fuzzy} fuzzy" if fuzzy else "")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = Parser("python -m tools.translation", __doc__)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for function, does in (
        (todo, "write what a catalogue lacks, as JSON"),
        (fill, "put a translator's answers into a catalogue"),
        (status, "count what is translated"),
        (renew, "bring catalogues, Chinese notebooks and pages in step with the English"),
    ):
        command = commands.add_parser(function.__name__, help=does, description=does)
        command.set_defaults(function=function)
        if function is renew:
            command.add_argument("--check", action="store_true", help="only list what is outdated")
        if function in (todo, fill):
            command.add_argument("catalogue", help="chapters/04_nin, exercises/nin, docs/README, …")
        if function is fill:
            command.add_argument("answers", type=Path, help="a file of JSON")
    options = parser.parse_args(arguments)
    return exit_code(options.function, options)


if __name__ == "__main__":
    sys.exit(main())
