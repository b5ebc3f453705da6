"""Answers to the exercises of chapter 00."""

wrong_answers = {
    "start.1": [
        ("rounded down", "batches_per_epoch = 55_000 // 256", r"216 images are left over"),
        ("not rounded", "batches_per_epoch = 55_000 / 256", r"cannot be cut into pieces"),
        ("all 60,000 images", "batches_per_epoch = 235", r"kept for validation"),
        ("all 60,000, rounded down", "batches_per_epoch = 60_000 // 256", r"kept for validation"),
        ("the test set", "batches_per_epoch = 40", r"10,000 images of the test set"),
        ("the batch size", "batches_per_epoch = 256", r"images in one batch"),
        ("the images", "batches_per_epoch = 55_000", r"number of images"),
        ("a text", "batches_per_epoch = '215'", r"A number is expected, not the text '215'"),
        ("anything else", "batches_per_epoch = 7", r"^7 is not right"),
    ],
    "start.2": [
        (
            "along the images",
            """
def accuracy(logits, labels):
    return (logits.argmax(dim=0) == labels).float().mean().item()
""",
            r"dimension 0, the images.*gives",
        ),
        (
            "a count",
            """
def accuracy(logits, labels):
    return (logits.argmax(dim=1) == labels).sum()
""",
            r"You count the right images.*gives 7; right is 0\.7",
        ),
        (
            "percent",
            """
def accuracy(logits, labels):
    return 100 * (logits.argmax(dim=1) == labels).float().mean().item()
""",
            r"percent.*gives 70; right is 0\.7",
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
            r"raised .*Bool \(line 4 of your cell: \"return \(predictions == labels\)",
        ),
        (
            "the highest values instead of their places",
            """
def accuracy(logits, labels):
    return (logits.max(dim=1).values == labels).float().mean().item()
""",
            r"gives 0; right is 0\.7",
        ),
        ("a number", "accuracy = 0.9", r"A function is expected, not 0\.9"),
        (
            "one argument",
            """
def accuracy(logits):
    return 1.0
""",
            r"raised TypeError: accuracy\(\) takes 1 positional argument",
        ),
        (
            "works in place",
            """
def accuracy(logits, labels):
    logits.sub_(logits.max(dim=1, keepdim=True).values)
    return (logits.argmax(dim=1) == labels).float().mean().item()
""",
            r"changes its argument in place",
        ),
    ],
}

right_answers = {
    "start.1": [
        ("without math", "batches_per_epoch = -(-55_000 // 256)"),
        ("a float", "batches_per_epoch = 215.0"),
        ("counted", "batches_per_epoch = len(range(0, 55_000, 256))"),
        ("a tensor", "batches_per_epoch = torch.tensor(55_000 / 256).ceil()"),
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
