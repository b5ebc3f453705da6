"""Answers to the exercises of chapter 00."""

import torch

wrong_answers = {
    "start.1": [
        ("rounded down", "batches_per_epoch = 55_000 // 128", r"88 images are left over"),
        ("not rounded", "batches_per_epoch = 55_000 / 128", r"cannot be cut into pieces"),
        ("all 60,000 images", "batches_per_epoch = 469", r"kept for validation"),
        ("all 60,000, rounded down", "batches_per_epoch = 60_000 // 128", r"kept for validation"),
        ("the test set", "batches_per_epoch = 79", r"10,000 images of the test set"),
        ("the batch size", "batches_per_epoch = 128", r"images in one batch"),
        ("the images", "batches_per_epoch = 55_000", r"number of images"),
        ("a text", "batches_per_epoch = '430'", r"A number is expected, not the text '430'"),
        ("the batches of another size", "batches_per_epoch = 215", r"batches of 256"),
        ("one too many", "batches_per_epoch = 431", r"one batch takes all 88"),
        ("the remainder", "batches_per_epoch = 55_000 % 128", r"the last batch holds"),
        ("times the batch size", "batches_per_epoch = 55_040", r"430 full batches would hold"),
        ("upside down", "batches_per_epoch = 128 / 55_000", r"wrong way round"),
        ("anything else", "batches_per_epoch = 7", r"^7 is not right"),
    ],
    "start.2": [
        (
            "two highest",
            """
def accuracy(logits, labels):
    return (logits.topk(2, 1).indices == labels[:, None]).any(1).float().mean()
""",
            r"two highest scores",
        ),
        (
            "softmax over the images",
            """
def accuracy(logits, labels):
    return (logits.softmax(0).argmax(1) == labels).float().mean()
""",
            r"softmax runs over the images",
        ),
        (
            "the loss",
            """
def accuracy(logits, labels):
    return F.cross_entropy(logits, labels).item()
""",
            r"That is the loss",
        ),
        (
            "all logits",
            """
def accuracy(logits, labels):
    return (logits.argmax(1) == labels).sum().item() / logits.numel()
""",
            r"number of all logits",
        ),
        (
            "the first image",
            """
def accuracy(logits, labels):
    return float(logits[0].argmax() == labels[0])
""",
            r"Only the first image",
        ),
        (
            "the whole batch",
            """
def accuracy(logits, labels):
    return float(torch.equal(logits.argmax(1), labels))
""",
            r"whole batch is right",
        ),
        (
            "along the images",
            """
def accuracy(logits, labels):
    return (logits.argmax(dim=0) == labels).float().mean().item()
""",
            r"dimension 0, the images",
        ),
        (
            "a count",
            """
def accuracy(logits, labels):
    return (logits.argmax(dim=1) == labels).sum()
""",
            r"You count the right images.*gives 1; right is 0\.5",
        ),
        (
            "percent",
            """
def accuracy(logits, labels):
    return 100 * (logits.argmax(dim=1) == labels).float().mean().item()
""",
            r"percent.*gives 50; right is 0\.5",
        ),
        (
            "the error rate",
            """
def accuracy(logits, labels):
    return (logits.argmax(dim=1) != labels).float().mean().item()
""",
            r"share of wrong predictions",
        ),
        (
            "divided by the classes",
            """
def accuracy(logits, labels):
    return (logits.argmax(dim=1) == labels).sum().item() / logits.shape[1]
""",
            r"number of classes",
        ),
        (
            "not averaged",
            """
def accuracy(logits, labels):
    return logits.argmax(dim=1) == labels
""",
            r"True or False for each image",
        ),
        (
            "no return",
            """
def accuracy(logits, labels):
    share = (logits.argmax(dim=1) == labels).float().mean().item()
""",
            r"gives nothing \(None\)\. Is the `return` missing",
        ),
        (
            "mean of truth values",
            """
def accuracy(logits, labels):
    predictions = logits.argmax(dim=1)
    return (predictions == labels).mean().item()
""",
            r"True and False have no mean.*raised .*Bool \(line 4 of your cell",
        ),
        (
            "the highest values instead of their places",
            """
def accuracy(logits, labels):
    return (logits.max(dim=1).values == labels).float().mean().item()
""",
            r"compare their places",
        ),
        (
            "argmax over everything",
            """
def accuracy(logits, labels):
    return (logits.argmax() == labels).float().mean().item()
""",
            r"one place in the whole batch",
        ),
        (
            "a fixed number of images",
            """
def accuracy(logits, labels):
    return (logits.argmax(dim=1) == labels).sum().item() / 10
""",
            r"only for a batch of 10 images",
        ),
        (
            "the lowest score",
            """
def accuracy(logits, labels):
    return (logits.argmin(1) == labels).float().mean().item()
""",
            r"lowest score",
        ),
        (
            "a column of predictions",
            """
def accuracy(logits, labels):
    return (logits.argmax(1, keepdim=True) == labels).float().mean().item()
""",
            r"keepdim=True",
        ),
        (
            "whole division",
            """
def accuracy(logits, labels):
    return int((logits.argmax(1) == labels).sum()) // len(labels)
""",
            r"drops the fraction",
        ),
        (
            "the pair that max gives",
            """
def accuracy(logits, labels):
    return (logits.max(dim=1) == labels).float().mean().item()
""",
            r"gives a pair",
        ),
        ("a number", "accuracy = 0.9", r"A function is expected, not 0\.9"),
        (
            "one argument",
            """
def accuracy(logits):
    return 1.0
""",
            r"your function takes `logits`, and the task hands it 2",
        ),
        (
            "works in place",
            """
def accuracy(logits, labels):
    logits.sub_(logits.max(dim=1, keepdim=True).values)
    return (logits.argmax(dim=1) == labels).float().mean().item()
""",
            r"changes its argument `logits` in place",
        ),
    ],
}

right_answers = {
    "start.1": [
        ("without math", "batches_per_epoch = -(-55_000 // 128)"),
        ("a float", "batches_per_epoch = 430.0"),
        ("counted", "batches_per_epoch = len(range(0, 55_000, 128))"),
        ("a tensor", "batches_per_epoch = torch.tensor(55_000 / 128).ceil()"),
    ],
    "start.2": [
        (
            "a loop",
            """
def accuracy(logits, labels):
    right = 0
    for scores, label in zip(logits.tolist(), labels.tolist()):
        right += scores.index(max(scores)) == label
    return right / len(labels)
""",
        ),
        (
            "a tensor, other names",
            """
def accuracy(scores, targets):
    return torch.eq(scores.max(dim=-1).indices, targets).double().mean()
""",
        ),
        ("a lambda", "accuracy = lambda x, y: (x.softmax(1).argmax(1) == y).sum() / len(y)"),
    ],
}


# --- mutants that the checks accept, and why they may ---------------------------------------------

equivalent = {
    "start.2": [
        (
            "The same number, as a tensor without dimensions; checks take numbers in either form.",
            "`(predictions == labe … ).item()` becomes `(predictions == labe … ).mean()`",
        ),
    ],
}


# --- probes: what the equivalent ones are compared on ---------------------------------------------


def probe_start_2(accuracy):
    return accuracy(torch.randn(50, 7), torch.randint(7, (50,)))
