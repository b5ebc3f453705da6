"""Checks of chapter 00, whose small exercises show how exercises work."""

import torch

from exercises.compare import expect_number, same_results


def start_1(answer, reference):
    expect_number(
        answer,
        reference,
        common={
            55_000 / 128: "A batch cannot be cut into pieces: the images left over need their own.",
            429.69: "A batch cannot be cut into pieces: the images left over need their own.",
            55_000 // 128: "429 full batches hold 54,912 images; 88 images are left over.",
            431: "429 batches are full, and one batch takes all 88 images that are left.",
            88: "That is how many images the last batch holds.",
            215: "That is for batches of 256, as in the cell at the top; here a batch holds 128.",
            -(-60_000 // 128): "That is for 60,000 images: 5,000 of them are kept for validation.",
            60_000 // 128: "That is for 60,000 images: 5,000 of them are kept for validation.",
            -(-10_000 // 128): "That is for the 10,000 images of the test set.",
            128: "That is the number of images in one batch.",
            55_000: "That is the number of images; a batch holds 128 of them.",
            55_000 * 128: "Multiplying gives more batches than images; divide.",
        },
    )
    return "429 full batches and one with the 88 images that are left."


def start_2(answer, reference):
    def batch(images: int, classes: int, right: int) -> tuple[torch.Tensor, torch.Tensor]:
        logits = torch.randn(images, classes)
        labels = logits.argmax(dim=1)
        labels[right:] = (labels[right:] + 1) % classes
        return logits, labels

    def flipped(function):
        return lambda logits, labels: function(reference(logits, labels), len(labels))

    same_results(
        answer,
        reference,
        batch(8, 10, right=3),
        batch(10, 10, right=7),
        batch(5, 3, right=5),
        batch(4, 10, right=0),
        batch(1, 2, right=1),
        mistakes={
            "You count the right images; the share is that number divided by the number of "
            "images.": flipped(lambda share, images: round(share * images)),
            "Your result is in percent; a number from 0 to 1 is asked for.": flipped(
                lambda share, images: 100 * share
            ),
            "That is the share of wrong predictions.": flipped(lambda share, images: 1 - share),
            "Your argmax runs along dimension 0, the images; the classes lie along dimension 1.": (
                lambda logits, labels: (logits.argmax(dim=0) == labels).float().mean()
            ),
            "You divide by the number of classes; the share is of the images.": (
                lambda logits, labels: (logits.argmax(dim=1) == labels).sum() / logits.shape[1]
            ),
            "You return True or False for each image; the share of True is asked for.": (
                lambda logits, labels: logits.argmax(dim=1) == labels
            ),
            "You divide by 10, which is right only for a batch of 10 images.": (
                lambda logits, labels: (logits.argmax(dim=1) == labels).sum() / 10
            ),
            "Your argmax has no dimension: it gives one place in the whole batch. Write "
            "`argmax(dim=1)`.": lambda logits, labels: (logits.argmax() == labels).float().mean(),
            "You compare the highest scores with the labels; compare their places (`argmax`).": (
                lambda logits, labels: (logits.max(dim=1).values == labels).float().mean()
            ),
            "You look for the lowest score; the network believes in the highest (`argmax`).": (
                lambda logits, labels: (logits.argmin(dim=1) == labels).float().mean()
            ),
            "With `keepdim=True` the predictions have the shape (N, 1), and == compares every "
            "prediction with every label.": (
                lambda logits, labels: (logits.argmax(dim=1, keepdim=True) == labels).float().mean()
            ),
            "You divide whole numbers with //, which drops the fraction; divide with /.": (
                lambda logits, labels: (logits.argmax(dim=1) == labels).sum() // len(labels)
            ),
            "True and False have no mean; turn them into numbers with `.float()` first.": (
                lambda logits, labels: (logits.argmax(dim=1) == labels).mean()
            ),
            "`logits.max(dim=1)` gives a pair, values and places; take the places (`argmax`).": (
                lambda logits, labels: (logits.max(dim=1) == labels).float().mean()
            ),
        },
    )
    return "It agrees with the reference on five batches of different sizes."
