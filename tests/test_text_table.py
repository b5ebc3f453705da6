"""utils.text_table: columns as wide as their longest cell."""

import pytest

from utils import text_table


def test_columns_are_aligned_and_no_line_ends_in_spaces():
    rows = [("layer", "kind", "MACs"), ("conv1", "Conv2d", 117600), ("relu", "", "")]
    assert text_table.lines(rows, left=2) == [
        "layer  kind      MACs",
        "conv1  Conv2d  117600",
        "relu",
    ]
    assert text_table.lines(rows)[2] == "relu"
    assert text_table.lines([]) == []


def test_rows_must_be_equally_long():
    with pytest.raises(ValueError, match="zip"):
        text_table.lines([(1, 2), (3,)])
