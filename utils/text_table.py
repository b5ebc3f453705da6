"""Tables as plain text. Standard library only."""

from collections.abc import Iterable

from utils.columns import columns


def lines(rows: Iterable[Iterable[object]], left: int = 1) -> list[str]:
    """One line for each row, with two spaces between columns.

    The first `left` columns are aligned on the left, the others on the right. All rows must have
    the same number of cells. A Chinese character is as wide as two others.
    """
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [max(map(columns, column)) for column in zip(*cells, strict=True)]

    def aligned(column: int, cell: str) -> str:
        space = " " * (widths[column] - columns(cell))
        return cell + space if column < left else space + cell

    return ["  ".join(map(aligned, range(len(row)), row)).rstrip() for row in cells]
