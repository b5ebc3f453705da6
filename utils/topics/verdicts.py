"""The rule of chapter 10: is one network better than another, or could it be luck?

This file needs nothing else of the course. Copy it into your own work.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np


class Verdict(NamedTuple):
    """What `judge` found; leads and bands are in percentage points."""

    leads: list[float]  # first minus second, for each seed
    d: float  # share of the images on which exactly one of the two is right
    band: float  # the luck of the images
    both: float  # the luck of the images and the seeds, for the mean lead; not for one seed
    words: str  # the verdict

    @property
    def median(self) -> float:
        return float(np.median(self.leads))

    @property
    def signs(self) -> str:
        return "".join("+" if lead > 0 else "-" if lead < 0 else "0" for lead in self.leads)

    def __str__(self) -> str:
        numbers = f"d {self.d:.1%}, band {self.band:.2f}, median {self.median:+.2f}"
        return f"{numbers}, signs {self.signs}: {self.words}"


def judge(
    first: Any, second: Any, *, d: float | None = None, images: int | None = None, pairs: int = 1
) -> Verdict:
    """Compare two networks by their runs, one for each seed, on the same images.

    A difference is shown if it has one sign with every seed, and if the median is outside the
    band: `pairs` widens it from two standard deviations of the images' luck.

    Args:
        first, second: for each seed, which images the network has right (`predictions == labels`);
            or its accuracy, and then `d` and `images` have to be given.
        d: share of the images on which exactly one network is right; counted if left out.
        images: how many images the accuracies are from.
        pairs: how many pairs of networks you compare at once.

    Raises:
        ValueError: the two have another number of seeds or images, or `images` is missing.
    """
    a, b = (np.array([np.asarray(run, dtype=float) for run in runs]) for runs in (first, second))
    given = 2 if d is None else 1 if images else None  # axes
    if a.shape != b.shape or a.ndim != given:
        raise ValueError(
            f"first has the shape {a.shape} and second {b.shape}: give both as (seeds, images); "
            "or as (seeds,), with d and images."
        )
    if d is None:
        d, images = float((a != b).mean()), a.shape[1]
        a, b = a.mean(axis=1), b.mean(axis=1)
    leads = 100 * (a - b)
    wide = max(2, NormalDist().inv_cdf(1 - 0.05 / 2 / pairs))  # times the standard deviation
    band = 100 * wide * (d / images) ** 0.5
    seeds = leads.var(ddof=1) / len(leads) if len(leads) > 1 else np.nan
    both = float((band**2 + wide**2 * seeds) ** 0.5)
    found = ["signs differ"] * (not (all(leads > 0) or all(leads < 0)))
    found += ["inside the band"] * bool(abs(np.median(leads)) <= band)
    better = "the first is better" if np.median(leads) > 0 else "the second is better"
    words = "not shown, " + " and ".join(found) if found else better
    return Verdict(leads.tolist(), d, band, both, words + ", with one seed" * (len(leads) == 1))
