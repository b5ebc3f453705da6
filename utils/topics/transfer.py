"""Transfer: SqueezeNet, trained on photographs, learns garments from a few images.

Freeze the convolutions, train a new head on what they give, then perhaps train all layers on.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from utils import data, networks

SIZE = 64  # pixels a side of the garments that SqueezeNet sees


class Transferred(nn.Module):
    """SqueezeNet's convolutions, the average, and a new linear layer.

    Grey or colour images (N, 1 or 3, H, W) with pixels from 0 to 255 in, logits (N, num_classes)
    out. SqueezeNet is that of arXiv 1602.07360, trained on ImageNet.
    """

    def __init__(self, num_classes: int = 10) -> None:
        super().__init__()
        whole = networks.build("squeezenet", pretrained=True)
        self.features = whole.features
        self.register_buffer("mean", torch.tensor(whole.preprocessing.mean).view(1, 3, 1, 1))
        self.linear = nn.Linear(512, num_classes)

    def averages(self, images: Tensor) -> Tensor:
        """(N, 512): the average of each map."""
        return self.features(images.expand(-1, 3, -1, -1) - self.mean).mean(dim=(2, 3))

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, num_classes) of images (N, 1 or 3, H, W)."""
        return self.linear(self.averages(images))


def drawn(
    seed: int, *, each: int = 10, test_images: int = 500
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Garments to train on, `each` of every class, others for each seed; and garments to test on.

    Returns images (N, 1, 28, 28) and labels (N,) for training, then the same for testing. The test
    images are always the same, and of those that `data.load` sets aside for validation.
    """
    whole = data.load(device="cpu", validation_images=test_images)
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(whole.train.labels), generator=generator)
    labels = whole.train.labels[order]
    chosen = [order[(labels == label).nonzero()[:each, 0]] for label in range(10)]
    chosen = torch.cat(chosen)
    test = whole.validation
    return whole.train.images[chosen], whole.train.labels[chosen], test.images, test.labels


def batches(images: Tensor, labels: Tensor, **options) -> data.Batches:
    """Batches for `Transferred`: pixels from 0 to 255, `SIZE` a side unless options say else."""
    channels = images.shape[1]
    pixels = {"mean": (0.0,) * channels, "std": (1 / 255,) * channels}
    return data.Batches(images, labels, **pixels | {"image_size": SIZE, "device": "cpu"} | options)


def train_head(
    model: Transferred,
    train: data.Batches,
    *,
    steps: int = 300,
    learning_rate: float = 0.003,
    weight_decay: float = 0.01,
) -> None:
    """Train the linear layer on the averages, which are computed once; all images in each step."""
    with torch.no_grad():
        seen = [(model.averages(images), labels) for images, labels in train]
    averages, labels = (torch.cat(part) for part in zip(*seen))
    optimizer = torch.optim.AdamW(
        model.linear.parameters(), lr=learning_rate, weight_decay=weight_decay
    )
    for _ in range(steps):
        optimizer.zero_grad()
        F.cross_entropy(model.linear(averages), labels).backward()
        optimizer.step()
