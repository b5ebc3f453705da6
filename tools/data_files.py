"""The files of Fashion-MNIST that a clone brings.

    python -m tools.data_files      checks every byte of them and unpacks them

Importing this needs the standard library only.
"""

from __future__ import annotations

import sys

from tools import ROOT, CourseError, exit_code

FOLDER = ROOT / "data" / "FashionMNIST" / "raw"
SIZES = {
    "train-images-idx3-ubyte.gz": 26421880,
    "train-labels-idx1-ubyte.gz": 29515,
    "t10k-images-idx3-ubyte.gz": 4422102,
    "t10k-labels-idx1-ubyte.gz": 5148,
}


def check_sizes() -> None:
    """CourseError if a file is missing or incomplete; quick enough for every start."""
    for name, size in SIZES.items():
        file = FOLDER / name
        actual = file.stat().st_size if file.is_file() else None
        if actual != size:
            state = "is missing" if actual is None else f"has {actual} bytes instead of {size}"
            raise CourseError(
                f"data/FashionMNIST/raw/{name} {state}: run `git checkout -- data`, or clone again."
            )


def unpack() -> None:
    """Check the content and unpack it; needs the course's environment."""
    from utils import data

    try:
        data.unpack()
    except data.DataError as error:
        raise CourseError(str(error)) from None


if __name__ == "__main__":
    sys.exit(exit_code(unpack))
