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
            429.7: "A batch cannot be cut into pieces: the images left over need their own.",
            128 / 55_000: "The numbers are the wrong way round: images divided by batch size.",
            55_000 / 128 % 1: "That is how full the last batch is.",
            128 - 88: "That is how many images the last batch lacks.",
            860: "That is for batches of 64; here a batch holds 128.",
            1: "That would be one batch with all images; here a batch holds 128.",
            430 * 128: "That is how many images 430 full batches would hold.",
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


_ARGMAX = "logits.argmax(dim=1)"
_SAME = "(predictions == labels)"
_SHARE = f"{_SAME}.float().mean().item()"
SLIPS = {
    "start.2": {
        "You count the right images; the share is that number divided by the number of images.": (
            _SHARE,
            f"{_SAME}.sum().item()",
        ),
        "Your result is in percent; a number from 0 to 1 is asked for.": (
            _SHARE,
            f"100 * {_SHARE}",
        ),
        "That is the share of wrong predictions.": ("==", "!="),
        "Your argmax runs along dimension 0, the images; the classes lie along dimension 1.": (
            *("dim=1", "dim=0"),
        ),
        "You divide by the number of classes; the share is of the images.": (
            _SHARE,
            f"{_SAME}.sum().item() / logits.shape[1]",
        ),
        "You divide by the number of all logits; the share is of the images.": (
            _SHARE,
            f"{_SAME}.sum().item() / logits.numel()",
        ),
        "You divide by 10, which is right only for a batch of 10 images.": (
            _SHARE,
            f"{_SAME}.sum().item() / 10",
        ),
        "You divide whole numbers with //, which drops the fraction; divide with /.": (
            _SHARE,
            f"{_SAME}.sum().item() // len(labels)",
        ),
        "You return True or False for each image; the share of True is asked for.": (_SHARE, _SAME),
        "You return 1 or 0 for each image; the mean of them is asked for.": (
            _SHARE,
            f"{_SAME}.float()",
        ),
        "Your argmax has no dimension: it gives one place in the whole batch. Write "
        "`argmax(dim=1)`.": ("dim=1", ""),
        "You compare the highest scores with the labels; compare their places (`argmax`).": (
            _ARGMAX,
            "logits.amax(dim=1)",
        ),
        "You look for the lowest score; the network believes in the highest (`argmax`).": (
            *("argmax", "argmin"),
        ),
        "You take the absolute values first; the highest score counts, with its sign.": (
            *("logits.argmax", "logits.abs().argmax"),
        ),
        "Your softmax runs over the images (dim=0), which changes the highest place.": (
            *("logits.argmax", "logits.softmax(0).argmax"),
        ),
        "Your probabilities are rounded before the highest is looked for; most become 0.": (
            *("logits.argmax", "logits.softmax(1).round().argmax"),
        ),
        "You count an image as right if its class is among the two highest scores; the highest "
        "alone counts.": (*(_SAME, "(logits.topk(2, dim=1).indices == labels[:, None]).any(1)"),),
        "You ask whether the whole batch is right; the share of the right images is asked for.": (
            _SHARE,
            "float(torch.equal(predictions, labels))",
        ),
        "That is the mean probability of the right class; an image is either right or wrong.": (
            _SHARE,
            "logits.softmax(1).gather(1, labels[:, None]).mean().item()",
        ),
        "That is the loss (cross-entropy); the share of the right images is asked for.": (
            _SHARE,
            "F.cross_entropy(logits, labels).item()",
        ),
        "That is the standard deviation of right and wrong; their mean is asked for.": (
            *(".mean()", ".std()"),
        ),
        "Only the first image is looked at.": (_SHARE, "float(predictions[0] == labels[0])"),
        "Only the last image is looked at.": (
            _SHARE,
            "int(predictions[-1] == labels[-1]) / len(labels)",
        ),
        "The `return` is inside the loop over the images, so that only the first one counts.": (
            _SHARE,
            "int(predictions[0] == labels[0]) / len(labels)",
        ),
        "You compare with `is`, which asks whether both are one and the same object; == compares "
        "the values.": (_SHARE, "float(predictions is labels)"),
        "Your predictions are one too high: `argmax` and the labels count classes from 0.": (
            *(_ARGMAX, f"{_ARGMAX} + 1"),
        ),
        "With `keepdim=True` the predictions have the shape (N, 1), and == compares every "
        "prediction with every label.": ("dim=1", "dim=1, keepdim=True"),
        "True and False have no mean; turn them into numbers with `.float()` first.": (
            *(".float()", ""),
        ),
        "`logits.max(dim=1)` gives a pair, values and places; take the places (`argmax`).": (
            _ARGMAX,
            "logits.max(dim=1)",
        ),
    }
}


def start_2(answer, reference):
    def batch(images: int, classes: int, right: int) -> tuple[torch.Tensor, torch.Tensor]:
        logits = torch.randn(images, classes)
        labels = logits.argmax(dim=1)
        labels[right:] = (labels[right:] + 1) % classes
        return logits, labels

    by_hand = torch.tensor([[1.0, 3.0, 2.0], [5.0, 4.0, 0.0]]), torch.tensor([2, 0])
    sizes = ((8, 10, 3), (10, 10, 7), (5, 3, 5), (4, 10, 0), (1, 2, 1))
    same_results(answer, reference, by_hand, *(batch(n, c, right) for n, c, right in sizes))
    return f"It agrees with the reference on {1 + len(sizes)} batches of different sizes."
