"""Tables as plain text. Standard library only."""

from collections.abc import Iterable


def lines(rows: Iterable[Iterable[object]], left: int = 1) -> list[str]:
    """One line for each row, with two spaces between columns.

    The first `left` columns are aligned on the left, the others on the right. All rows must have
    the same number of cells.
    """
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if column < left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths))
        ).rstrip()
        for row in cells
    ]
