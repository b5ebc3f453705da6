"""Files that hold a network's weights or a whole run: written whole or not at all, safe to read.

A checkpoint is what `torch.save` writes of tensors and plain values, with its SHA-256 at the end.
It is read with `weights_only=True`, so that a file from elsewhere cannot run code. `utils.training`
decides what a run stores.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import io
import os
import pickle
import random
import re
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from utils import atomic as files

__all__ = ["CheckpointError", "load_weights", "save_checkpoint"]


class CheckpointError(RuntimeError):
    """A checkpoint that cannot be written, read or used; one sentence says why."""


FORMAT = "One by One checkpoint 1"
DIGEST = 64  # characters of a SHA-256
# What every checkpoint holds, and what those of a run hold besides.
PARTS = {"format", "network", "model"}
PARTS_OF_A_RUN = {"settings", "history", "optimizer", "scaler", "steps", "random"}


def copy_of_weights(model: nn.Module) -> dict[str, Any]:
    return {
        name: tensor.detach().to("cpu", copy=True) for name, tensor in model.state_dict().items()
    }


def save_checkpoint(path: str | Path, model: nn.Module, history=None) -> None:
    """Write the weights (and the history) to `path`, whole or not at all.

    Raises:
        CheckpointError: the file cannot be written; one that stood there before is untouched.
    """
    content = {"format": FORMAT, "network": fingerprint(model), "model": copy_of_weights(model)}
    if history is not None:
        content["history"] = history.to_dict()
    write_file(Path(path), content)


def load_weights(model: nn.Module, path: str | Path) -> nn.Module:
    """Fill `model` with the weights of a checkpoint of `fit` or `save_checkpoint`; return it.

    Raises:
        CheckpointError: no such file, a damaged one, or one whose weights have other shapes.
    """
    saved = read_file(Path(path))
    check_network(Path(path), saved["network"], model, ("shapes",))
    model.load_state_dict(saved["model"])
    return model


def fingerprint(model: nn.Module) -> dict[str, Any]:
    """What tells this network from others: its name, its layers, the shapes of its weights."""
    return {
        "name": getattr(model, "name", None) or type(model).__name__,
        "parameters": sum(p.numel() for p in model.parameters()),
        "layers": {n: type(m).__name__ for n, m in model.named_modules() if not any(m.children())},
        "shapes": {name: list(tensor.shape) for name, tensor in model.state_dict().items()},
    }


def check_network(
    path: Path,
    saved: dict[str, Any],
    model: nn.Module,
    what: tuple[str, ...] = ("name", "layers", "shapes"),
) -> None:
    """Raise CheckpointError if the fingerprint `saved` and that of `model` differ in `what`."""
    here = fingerprint(model)
    if all(saved[part] == here[part] for part in what):
        return
    difference = ""
    for part in ("layers", "shapes"):
        old, new = saved[part], here[part]
        name = next((n for n in [*new, *old] if old.get(n) != new.get(n)), None)
        if name is not None:
            old, new = old.get(name, "missing"), new.get(name, "missing")
            difference = f"; the first difference is {name}: {old} there, {new} here"
    raise CheckpointError(
        f"{path} holds the network {saved['name']} ({saved['parameters']:,} parameters), expected "
        f"was {here['name']} ({here['parameters']:,}){difference}. Choose another file name, or "
        "delete the file if it is no longer needed."
    )


def write_file(path: Path, content: dict[str, Any]) -> None:
    """Write beside the file first, then put it in its place in one step."""
    parts = sealed(content)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep(path)
        try:
            with open(temporary, "wb") as file:
                file.writelines(parts)
                file.flush()
                os.fsync(file.fileno())
            files.patiently(os.replace, temporary, path)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
    except OSError as error:
        raise CheckpointError(
            f"The checkpoint {path} could not be written ({error.strerror or error}): what stood "
            "there before is untouched; free some space or choose another folder."
        ) from None


def sweep(path: Path) -> None:
    """Remove what processes that were killed left half written, once it is surely theirs."""
    for leftover in path.parent.glob(f"{glob.escape(path.name)}.*.tmp"):
        # The digits are a process: `run.pt.best.123.tmp` is of another checkpoint.
        if re.fullmatch(r"\.\d+\.tmp", leftover.name[len(path.name) :]):
            with contextlib.suppress(OSError):
                if time.time() - leftover.stat().st_mtime > 600:
                    leftover.unlink()


def sealed(content: dict[str, Any]) -> tuple[memoryview, bytes, bytes]:
    """What `torch.save` writes, with its SHA-256 as the comment that ends a zip archive.

    The checksums of the archive itself are not enough: one flipped bit in its directory makes
    torch take a tensor for an empty folder, and fill it with whatever the memory holds.
    """
    buffer = io.BytesIO()
    torch.save(content, buffer)
    archive, length = buffer.getbuffer()[:-2], DIGEST.to_bytes(2, "little")  # of the comment
    digest = hashlib.sha256(archive)
    digest.update(length)
    return archive, length, digest.hexdigest().encode()


def read_file(path: Path) -> dict[str, Any]:
    try:
        whole = path.read_bytes()
    except FileNotFoundError:
        raise CheckpointError(f"There is no checkpoint {path}; train the network first.") from None
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error.strerror or error}).") from None
    digest = hashlib.sha256(memoryview(whole)[:-DIGEST]).hexdigest()
    if whole[-DIGEST:] != digest.encode():
        raise CheckpointError(
            f"{path} is damaged or was cut short, or is not a checkpoint of this course: choose "
            "another file, or delete it if nothing else needs it."
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what is refused anyway
            # weights_only: a file from elsewhere can hold no code that runs when it is read.
            content = torch.load(io.BytesIO(whole), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise CheckpointError(
            f"{path} was refused, because it holds more than weights and plain values: nothing in "
            "it was run; delete it unless you know where it comes from."
        ) from None
    except Exception:  # an archive of something else
        content = None
    if not is_checkpoint(content):
        raise CheckpointError(f"{path} is not a checkpoint of this course; choose another file.")
    return content


def is_checkpoint(content: Any) -> bool:
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        return False
    parts = PARTS | (PARTS_OF_A_RUN if "optimizer" in content else set())
    return parts <= content.keys()


def random_state(train) -> dict[str, Any]:
    name, keys, *rest = np.random.get_state()
    state = {
        "python": random.getstate(),
        "numpy": [name, torch.from_numpy(keys.astype(np.int64)), *rest],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else [],
        "mps": torch.mps.get_rng_state() if torch.backends.mps.is_available() else None,
    }
    if isinstance(generator := getattr(train, "generator", None), torch.Generator):
        state["train"] = generator.get_state()
    return state


def set_random_state(state: dict[str, Any], train) -> None:
    random.setstate(state["python"])
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))
    torch.set_rng_state(state["torch"])
    if state["cuda"] and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])
    if state["mps"] is not None and torch.backends.mps.is_available():
        torch.mps.set_rng_state(state["mps"])
    if "train" in state:
        train.generator.set_state(state["train"])
