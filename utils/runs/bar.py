"""How far a run is: a bar in notebooks and terminals, elsewhere one line an epoch."""

from __future__ import annotations

import sys
import warnings

from utils.notebook import in_notebook
from utils.runs.history import History
from utils.runs.schedule import Rates


class Bar:
    """The bar disappears at the end. `quiet` shows nothing at all."""

    def __init__(self, history: History, rates: Rates, quiet: bool):
        self.history, self.rates = history, rates
        drawn = in_notebook() or sys.stderr.isatty()
        self.draws, self.prints = drawn and not quiet, not drawn and not quiet
        self.bar = None

    def __enter__(self) -> Bar:
        if self.draws and self.history.status == "running":
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # tqdm's advice to install ipywidgets
                from tqdm.auto import tqdm

                self.bar = tqdm(
                    total=self.rates.total_steps,
                    initial=self.rates.steps,
                    leave=False,
                    unit="step",
                )
        return self

    def __exit__(self, *error) -> None:
        if self.bar is not None:
            self.bar.close()

    def show(self, loss: float) -> None:
        """Move the bar to the current step; `loss` is the mean of the epoch so far."""
        if self.bar is not None:
            epoch = len(self.history.epochs) + 1
            text = f"epoch {epoch}/{self.history.planned}, loss {loss:.3f}"
            self.bar.set_postfix_str(text, refresh=False)
            self.bar.update(self.rates.steps - self.bar.n)

    def finish_epoch(self) -> None:
        if self.prints:
            print(self.history, flush=True)
