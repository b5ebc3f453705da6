"""Files that hold a network's weights or a whole run: written whole or not at all, safe to read.

A checkpoint is what `torch.save` writes of tensors and plain values: a zip archive, here with a
SHA-256 of everything before it as the archive's comment. It is read with `weights_only=True`, so
that a file from elsewhere cannot run code. `utils.runs.keeper` decides what a run stores.
"""

from __future__ import annotations

import hashlib
import io
import pickle
import random
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from utils import atomic


class CheckpointError(RuntimeError):
    """A checkpoint that cannot be written, read or used; one sentence says why."""


FORMAT = "One by One checkpoint 1"
_DIGEST_LENGTH = 64  # characters of a SHA-256
# What every checkpoint holds, and what the checkpoint of a run holds in addition.
_PARTS = {"format", "network", "model"}
_PARTS_OF_A_RUN = {"settings", "history", "optimizer", "scaler", "steps", "random"}


# --- weights of a network -------------------------------------------------------------------------


def save_checkpoint(path: str | Path, model: nn.Module, history=None) -> None:
    """Write the weights (and the history) to `path`, whole or not at all.

    Raises:
        CheckpointError: the file cannot be written; one that was there before is untouched.
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


def copy_of_weights(model: nn.Module) -> dict[str, Any]:
    return {
        name: tensor.detach().to("cpu", copy=True) for name, tensor in model.state_dict().items()
    }


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
        f"{path} holds the network {saved['name']} ({saved['parameters']:,} parameters), but this "
        f"one is {here['name']} ({here['parameters']:,}){difference}. Choose another file name, or "
        "delete the file if it is no longer needed."
    )


# --- files ----------------------------------------------------------------------------------------


def write_file(path: Path, content: dict[str, Any]) -> None:
    """Write `content` with its digest.

    The checksums of a zip archive are not enough: one flipped bit in its directory makes torch take
    a tensor for an empty folder, and fill it with whatever the memory holds.
    """
    buffer = io.BytesIO()
    torch.save(content, buffer)
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.comment = bytes(_DIGEST_LENGTH)  # the last bytes of the file
    whole = buffer.getbuffer()
    whole[-_DIGEST_LENGTH:] = _digest(whole)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic.write(path, whole)
    except OSError as error:
        raise CheckpointError(
            f"The checkpoint {path} could not be written ({error.strerror or error}): a file that "
            "was there before is untouched; free some space or choose another folder."
        ) from None


def read_file(path: Path) -> dict[str, Any]:
    try:
        whole = path.read_bytes()
    except FileNotFoundError:
        raise CheckpointError(f"There is no checkpoint {path}; train the network first.") from None
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error.strerror or error}).") from None
    if whole[-_DIGEST_LENGTH:] != _digest(memoryview(whole)):
        raise CheckpointError(
            f"{path} is damaged or was cut short, or is not a checkpoint of this course: choose "
            "another file, or delete it if nothing else needs it."
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about what is refused anyway
            # weights_only: a file from elsewhere can hold no code that runs when it is read.
            content = torch.load(io.BytesIO(whole), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise CheckpointError(
            f"{path} was refused, because it holds more than weights and plain values: nothing in "
            "it was run; delete it unless you know where it comes from."
        ) from None
    except Exception:  # an archive of something else
        content = None
    if not _is_checkpoint(content):
        raise CheckpointError(f"{path} is not a checkpoint of this course; choose another file.")
    return content


def _digest(whole: memoryview) -> bytes:
    """The SHA-256 of all but the place for it, in hexadecimal."""
    return hashlib.sha256(whole[:-_DIGEST_LENGTH]).hexdigest().encode()


def _is_checkpoint(content: Any) -> bool:
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        return False
    parts = _PARTS | (_PARTS_OF_A_RUN if "optimizer" in content else set())
    return parts <= content.keys()


# --- random numbers -------------------------------------------------------------------------------


def random_state(train) -> dict[str, Any]:
    """The state of all generators that a run may draw from, that of a DataLoader included."""
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
