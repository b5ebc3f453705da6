"""What benchmarks.speed measures: networks with the images that they are shown.

It imports nothing that changes how torch computes: the rivals' processes use it as well.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from utils.networks import build

ROOT = Path(__file__).resolve().parent.parent
TEST_IMAGES = 10_000


@dataclass(frozen=True)
class Case:
    """One epoch: a network and what it is shown. `images` None is all 60,000, and all for the test.

    d2l's `train_ch6` needs five batches at least. Of fewer images a sixth as many are tested on, as
    in the whole dataset.
    """

    network: str
    image_size: int
    batch_size: int
    images: int | None
    learning_rate: float = 0.01
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def test_images(self) -> int:
        return TEST_IMAGES if self.images is None else max(1, self.images // 6)

    def model(self, seed: int) -> nn.Module:
        torch.manual_seed(seed)
        return build(self.network, **self.options)


LENET = {"activation": "sigmoid", "pooling": "average"}  # as d2l has it, with its learning rate
SMALL = (
    *("alexnet_small", "vgg_small", "nin_small", "googlenet_small"),
    *("resnet_small", "mobilenet_v1_small", "mobilenet_v2_small"),
)
# At the sizes at which D2L trains them. A whole epoch would take an hour and more on a CPU.
LARGE = {
    "googlenet_d2l": Case("googlenet_d2l", 96, 64, 320),
    "resnet18_d2l": Case("resnet18_d2l", 96, 64, 320),
    "alexnet_d2l": Case("alexnet_d2l", 224, 32, 160),
    "nin_d2l": Case("nin_d2l", 224, 32, 160),
}
EPOCHS = {
    "lenet": Case("lenet", 28, 256, None, 0.9, LENET),
    **{n: Case(n, 32 if n == "vgg_small" else 28, 256, 10_240) for n in SMALL},
    **LARGE,
}
# What the loop costs is looked for where steps are short.
LOOP = {
    "lenet": replace(EPOCHS["lenet"], images=60 * 256),
    **{n: replace(EPOCHS[n], images=20 * 256) for n in SMALL},
}
