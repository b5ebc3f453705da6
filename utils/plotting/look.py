"""What all figures share: colours, dashes, markers, fonts, and the style they are drawn in."""

from __future__ import annotations

import contextlib
import functools
import logging
import shutil
from collections.abc import Iterator
from typing import Any

import matplotlib.pyplot as plt
from cycler import cycler
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font
from matplotlib.patheffects import withStroke

# Okabe and Ito's palette, without yellow, which is faint on white.
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000"]
DASHES = ["-", "--", "-.", ":", (0, (5, 1, 1, 1)), (0, (3, 2)), "-"]
MARKERS = ["o", "s", "^", "D", "v", "P", "X"]
WIDTH = 8.0  # inches: wide enough for a notebook, narrow enough for letters on a telephone
NARROW = 6.4  # with type of 10 points it can be read on a telephone
# Fonts with Chinese characters, those for a screen first: of Linux, macOS and Windows.
CHINESE = (
    *("Noto Sans CJK SC", "Noto Sans SC", "Source Han Sans SC", "Source Han Sans CN"),
    *("WenQuanYi Micro Hei", "WenQuanYi Zen Hei", "PingFang SC", "Hiragino Sans GB"),
    *("Heiti SC", "STHeiti", "Heiti TC", "Microsoft YaHei", "SimHei", "DengXian"),
    *("Songti SC", "STSong", "SimSun", "Noto Serif CJK SC", "Arial Unicode MS"),
    *("Droid Sans Fallback", "AR PL UMing CN", "AR PL UKai CN"),
    # In a collection of fonts matplotlib sees the first alone.
    *("Noto Sans CJK JP", "Noto Serif CJK JP"),
)

# A bold text asks the second font for bold too, although it may have no letter to draw.
logging.getLogger("matplotlib.font_manager").addFilter(
    lambda record: "find font weight" not in record.getMessage()
)


@contextlib.contextmanager
def style(dpi: int = 110, title: float = 10.5) -> Iterator[None]:
    """The look of the course's figures, inside a `with` only.

    Args:
        dpi: fewer where a chapter has many figures, as one file holds all of them.
        title: size of the titles in points.

    Fonts that were chosen before, in a notebook or in matplotlibrc, stay the first choice. A
    character that they lack comes from DejaVu Sans, and a Chinese one from any font that has it.
    Without a LaTeX on this machine matplotlib draws the text itself.
    """
    with plt.rc_context(
        {
            "figure.dpi": dpi,
            "font.family": _families(),
            "font.size": 10,
            "axes.titlesize": title,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.prop_cycle": cycler(color=COLOURS),
            "image.cmap": "gray",
            "legend.frameon": False,
            "text.usetex": plt.rcParams["text.usetex"] and shutil.which("latex") is not None,
        }
    ):
        yield


def _families() -> list[str]:
    """The fonts in which a character is looked for, in this order; all of them are installed.

    Matplotlib takes from a general name such as "sans-serif" one font alone, and warns of a font
    that is missing: hence the names of single fonts.
    """
    installed = {font.name for font in font_manager.fontManager.ttflist}
    lower = {name.lower() for name in installed}
    wanted = []
    for family in plt.rcParams["font.family"]:
        general = {"sans": "sans-serif", "sans serif": "sans-serif"}.get(family, family)
        wanted += plt.rcParams.get(f"font.{general}", [family])
    chosen = [family for family in wanted if family.lower() in lower]
    return list(dict.fromkeys([*chosen, "DejaVu Sans", *_with_chinese(frozenset(installed))]))


@functools.lru_cache(maxsize=1)
def _with_chinese(installed: frozenset[str]) -> list[str]:
    """The best known font with Chinese characters, or else the first that has any.

    Matplotlib's list of fonts may be older than a font, so that folders are searched too. Its own
    "Last Resort" has all characters, as boxes.
    """
    for family in CHINESE:
        if family in installed:
            return [family]
    listed = {font.fname for font in font_manager.fontManager.ttflist}
    for path in [*sorted(listed), *sorted({*font_manager.findSystemFonts()} - listed)]:
        with contextlib.suppress(Exception):  # files that are no fonts, or cannot be read
            font = FT2Font(path)
            if font.family_name.startswith("Last Resort"):
                continue
            if font.get_char_index(ord("中")) and font.get_char_index(ord("网")):
                if path not in listed:
                    font_manager.fontManager.addfont(path)
                return [font.family_name]
    return []


def axes(
    rows: int = 1, columns: int = 1, height: float = 3.0, **options: Any
) -> tuple[Figure, list[Axes]]:
    """A figure as wide as a telephone shows it, `height` inches high, and its axes."""
    figure, grid = plt.subplots(
        rows, columns, figsize=(NARROW, height), squeeze=False, layout="constrained", **options
    )
    return figure, list(grid.flat)


def line(number: int, **more: Any) -> dict[str, Any]:
    """Colour, dash and marker of the line with this number, for `Axes.plot`."""
    look = {"color": COLOURS[number], "linestyle": DASHES[number], "marker": MARKERS[number]}
    return look | {"markersize": 5} | more


def headline(figure: Figure, title: str, fontsize: float = 10.5) -> None:
    if title:  # an empty one would take room too
        figure.suptitle(title, fontsize=fontsize)


def write_over_lines(
    axis: plt.Axes,
    text: str,
    place: tuple[float, float],
    offset: tuple[float, float],
    border: float,
    ha: str = "center",
    va: str = "bottom",
) -> None:
    """Text with a white border; `offset` and `border` are in points."""
    axis.annotate(
        text,
        place,
        textcoords="offset points",
        xytext=offset,
        ha=ha,
        va=va,
        fontsize=9,
        zorder=5,
        path_effects=[withStroke(linewidth=border, foreground="white")],
    )
