"""Train any network of the course on any of its datasets, with one process or with several.

    python train.py nin_small --epochs 4
    torchrun --standalone --nproc_per_node=2 train.py nin_small --epochs 4
    torchrun --standalone --nproc_per_node=8 train.py resnet50 \\
        --data image_folder --folder /path/to/imagenet --image-size 224 --batch-size 256 \\
        --epochs 90 --augment --checkpoint resnet50.pt

torchrun starts the processes, on several machines too (`torchrun --help`: --nnodes, --rdzv-backend,
--rdzv-endpoint; with --local-addr where they do not know each other's names). With --checkpoint the
same command goes on where a run that was killed stopped. The images of --batch-size are those of
all processes together.
"""

from __future__ import annotations

import argparse
import ast
import functools
import json
import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import nn

from utils import atomic, data, device, networks, training
from utils.runs import team


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python train.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("network", help="a name of utils.networks.available()")
    parser.add_argument(
        "--option", action="append", default=[], metavar="NAME=VALUE", help="of the network"
    )
    parser.add_argument("--data", default="fashion_mnist", choices=list(data.STATISTICS))
    parser.add_argument("--folder", type=Path, help="where the data is")
    parser.add_argument("--image-size", type=int, help="pixels a side (default: the network's)")
    parser.add_argument("--train-images", type=int, help="how many (default: all)")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument(
        "--augment", nargs="?", const=True, default=False, choices=["crop", "flip"], help="or both"
    )
    parser.add_argument("--workers", type=int, help="processes that read an image folder, each")
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--learning-rate", type=float, default=0.1)
    parser.add_argument("--optimizer", default="sgd", choices=["sgd", "adamw"])
    parser.add_argument("--weight-decay", type=float, default=5e-4)
    parser.add_argument("--label-smoothing", type=float, default=0.0)
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--compile", action="store_true", help="torch.compile")
    parser.add_argument(
        "--sync-batch-norm",
        action="store_true",
        help="batch norm over the whole batch, not each process's part (GPUs only)",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--checkpoint", type=Path, help="written after each epoch")
    parser.add_argument("--test", action="store_true", help="read the test set at the end")
    parser.add_argument("--json", type=Path, help="write the history there")
    return parser


def option(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"--option takes NAME=VALUE, such as width=0.5, not {text!r}.")
    try:
        return name, ast.literal_eval(value)
    except (SyntaxError, ValueError):
        return name, value


def train(given: argparse.Namespace) -> dict[str, Any]:
    """Do what the command line says; return the history, and with --test the test accuracy."""
    options = dict(map(option, given.option))
    with torch.device("meta"):  # only to ask for its size
        size = given.image_size or networks.build(given.network, **options).image_size
    load = functools.partial(
        data.load,
        given.data,
        batch_size=given.batch_size,
        image_size=size,
        augment=given.augment,
        train_images=given.train_images,
        seed=given.seed,
        folder=given.folder,
        num_workers=given.workers,
    )
    # One process downloads or unpacks on first use. A folder of images needs neither, and to list a
    # large one in turns would take a while.
    splits = load() if given.data == "image_folder" else team.in_turns(load)
    device.seed_everything(given.seed)
    model = networks.build(
        given.network,
        in_channels=len(splits.mean),
        num_classes=len(splits.classes),
        **options,
    )
    if given.sync_batch_norm:
        model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    history = training.fit(
        model,
        splits.train,
        splits.validation,
        epochs=given.epochs,
        learning_rate=given.learning_rate,
        optimizer=given.optimizer,
        weight_decay=given.weight_decay,
        label_smoothing=given.label_smoothing,
        precision=given.precision,
        compile=given.compile,
        seed=given.seed,
        checkpoint=given.checkpoint,
    )
    result = history.to_dict()
    if given.test:
        result["test_accuracy"] = training.evaluate(model, splits.test).accuracy
    return result


def make_room(path: Path) -> None:
    """Make the folder of a file that is written after the training.

    Raises:
        ValueError: the file cannot be written there, which is better known before.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(
            f"The folder of {path} cannot be made ({error.strerror}); choose another for --json."
        ) from None
    if path.is_dir():
        raise ValueError(f"{path} is a folder, but --json takes the name of a file.")


def write(path: Path, result: dict[str, Any]) -> bool:
    """Write the history, or print it where that fails; return whether it was written."""
    text = json.dumps(result, indent=1) + "\n"
    try:
        atomic.write(path, text.encode())
    except OSError as error:
        print(
            f"problem: {path} cannot be written ({error.strerror}), so the history is printed.",
            file=sys.stderr,
            flush=True,
        )
        print(text, end="", flush=True)
        return False
    return True


def main(arguments: list[str] | None = None) -> int:
    given = parser().parse_args(arguments)
    try:
        if team.started_by_torchrun():
            team.start()
        is_first = team.Team().rank == 0
        if given.json and is_first:
            make_room(given.json)
        result = train(given)
        if given.test and is_first:
            print(f"test accuracy {result['test_accuracy']:.2%}")
        if given.json and is_first and not write(given.json, result):
            return 2
        return 0 if result["status"] == "finished" else 1
    except (ValueError, TypeError, RuntimeError, MemoryError) as error:
        print(f"problem: {error}", file=sys.stderr, flush=True)
        return 2
    finally:
        if team.is_team():
            dist.destroy_process_group()


if __name__ == "__main__":
    sys.exit(main())
