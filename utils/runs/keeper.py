"""The state of a run at the end of each epoch: its weights in memory, all of it in a file."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import TensorDataset

from utils import language
from utils.runs import behaviour, checkpoints
from utils.runs.arguments import is_finite
from utils.runs.checkpoints import CheckpointError
from utils.runs.history import Evaluation, History
from utils.runs.run import Diverged, Run


class Keeper:
    """Keeps the last finished epoch, so that a run can go on from there or fall back to it.

    Args:
        path: the file that `write` writes; None for none.
        settings: what the run in the file must share with this one, from `arguments.settings`.
    """

    def __init__(
        self,
        path: str | Path | None,
        settings: dict[str, Any],
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        run: Run,
        train,
    ):
        self.path = None if path is None else Path(path)
        self.settings, self.model, self.optimizer = settings, model, optimizer
        self.run, self.team, self.train = run, run.team, train
        self.last_good: dict[str, Any] = {}
        self.trouble = ""
        self.epochs_in_file = 0
        self.data = [] if self.path is None else _first_rows(train)
        self.behaviour: dict[str, Any] | None = None  # known when the run has seen images

    def save(self, history: History) -> None:
        """Remember the weights, and write the file. A run goes on if its file cannot be written."""
        try:
            self.write(history)
            self.trouble = ""
        except CheckpointError as error:
            if not self.trouble:
                print(language.translate(str(error)))
            self.trouble = str(error)
        history.message = history.message or self.trouble

    def write(self, history: History) -> None:
        self.team.same_buffers(self.model)
        self.last_good = checkpoints.copy_of_weights(self.model)
        if self.path is None:
            return
        random = self.team.gather(checkpoints.random_state(self.train))
        if self.team.rank == 0:
            if self.behaviour is None and len(images := self.run.sample[0]):
                self.behaviour = behaviour.behaviour(self.model, images.shape[1:])
            checkpoints.write_file(
                self.path,
                {
                    "format": checkpoints.FORMAT,
                    "network": checkpoints.fingerprint(self.model),
                    "behaviour": self.behaviour,
                    "data": self.data,
                    "model": self.last_good,
                    "settings": self.settings,
                    "history": history.to_dict(),
                    "optimizer": self.optimizer.state_dict(),
                    "scaler": self.run.scaler.state_dict(),
                    "steps": self.run.rates.steps,
                    "random": random,  # of each process
                },
            )
        self.epochs_in_file = len(history.epochs)

    def resume(self, epochs: int, stop_when_stuck: bool, quiet: bool) -> History:
        """Take up the run of the file, if there is one; otherwise write the first state."""
        saved = self.team.from_first(self._read)
        if saved is None:
            history = History(planned=epochs)
            self.write(history)
            return history
        if "optimizer" not in saved:
            raise CheckpointError(
                f"{self.path} holds weights but no run to go on with: load it with load_weights, "
                "or give this run another file name."
            )
        checkpoints.check_network(self.path, saved["network"], self.model)
        self._check_behaviour(saved.get("behaviour"))  # None: no epoch yet, or of an older course
        self._check_settings(saved["settings"])
        self._check_data(saved.get("data", []))  # an older course stored none
        self.model.load_state_dict(saved["model"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.run.scaler.load_state_dict(saved["scaler"])
        self.run.rates.steps = saved["steps"]
        checkpoints.set_random_state(saved["random"][self.team.rank], self.train)
        self.last_good = checkpoints.copy_of_weights(self.model)
        history = History.from_dict(saved["history"])
        self.epochs_in_file = len(history.epochs)
        if history.status == "stuck" and not stop_when_stuck:
            history.end("running")
        if not quiet and history.epochs:
            print(f"{language.translate(f'From {self.path}:')} {history}")
        return history

    def _read(self) -> dict[str, Any] | None:
        if self.path is None or not self.path.exists():
            return None
        return checkpoints.read_file(self.path)

    def _check_behaviour(self, saved: dict[str, Any] | None) -> None:
        if saved is None:
            return
        if difference := behaviour.difference(saved, self.model):
            raise CheckpointError(
                f"{self.path} belongs to a network that computes otherwise: {difference}. Give "
                "this run another file name, or delete the file to start anew."
            )
        self.behaviour = saved

    def _check_settings(self, saved: dict[str, Any]) -> None:
        changes = [
            f"{name} {saved.get(name)} there and {self.settings.get(name)} here"
            for name in self.settings | saved
            if self.settings.get(name) != saved.get(name)
        ]
        if changes:
            raise CheckpointError(
                f"{self.path} belongs to a run with other settings ({', '.join(changes)}). Give "
                "this run another file name, or delete the file to start anew."
            )

    def _check_data(self, saved: list[torch.Tensor]) -> None:
        if saved and self.data:
            same = len(saved) == len(self.data)
            if not (same and all(map(behaviour.close, saved, self.data))):
                raise CheckpointError(
                    f"{self.path} belongs to a run with other training data: the first images, "
                    "their labels, or mean and std are not the same. Give this run another file "
                    "name, or delete the file to start anew."
                )

    def check_finite(self, trained: Evaluation, checked: Evaluation | None) -> None:
        losses = [e.loss for e in (trained, checked) if e is not None]
        if not all(map(math.isfinite, losses)) or not is_finite(self.model):
            raise Diverged("at its end the loss or the weights were no longer numbers.")

    def restore_last_good(self) -> None:
        self.model.load_state_dict(self.last_good)

    def end_by_hand(self, history: History) -> None:
        """Ctrl-C: say how to go on. A run that was over already stays what it was.

        The file may lack epochs that are done, if it was being written or could not be.
        """
        done = len(history.epochs)
        go_on = (
            f"the same call goes on from the start of epoch {self.epochs_in_file + 1}, from "
            f"{self.path}"
        )
        if history.status == "running":
            if self.path is None:
                go_on = "fit on the same network trains on from there, with a new schedule"
            history.end(
                "interrupted",
                f"Stopped by hand with {done} of {history.planned} epochs done. The network keeps "
                f"the weights it has now; {go_on}.",
            )
        elif self.path is not None and self.epochs_in_file < done:
            lost = f"Stopped by hand before epoch {done} was in the file: {go_on}."
            if history.status == "finished" and self.team.rank == 0:
                print(language.translate(lost))  # fit prints the message of any other ending
            history.message = f"{history.message} {lost}".strip()


def _first_rows(train) -> list[torch.Tensor]:
    """Some of the data behind `train`, where they can be had without going through the batches.

    A batch itself may come by chance, and to take one would use up random numbers of the run.
    """
    dataset = getattr(train, "dataset", None)
    if type(dataset) is TensorDataset:
        tensors = dataset.tensors
    else:
        tensors = train.known_by() if hasattr(train, "known_by") else ()
    return [tensor.detach()[:64].flatten()[:4096].cpu().float() for tensor in tensors]
