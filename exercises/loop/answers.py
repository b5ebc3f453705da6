"""Answers to the exercises of chapter 11."""

import torch
from torch import nn

from utils import data

_FIT = """
def my_fit(model, batches, epochs, learning_rate, seed):
    torch.manual_seed(seed)
    weights, rate = model.parameters(), learning_rate
    optimizer = torch.optim.SGD(weights, lr=rate, momentum=0.9, weight_decay=5e-4)
    model.train()
    losses, step = [], 0
    for epoch in range(epochs):
        batches.set_epoch(epoch)
        total, n = 0.0, 0
        for x, y in batches:
            for g in optimizer.param_groups:
                g["lr"] = learning_rate * training.one_cycle(step, epochs * len(batches))
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            total += loss.item() * len(x)
            n += len(x)
            step += 1
        losses.append(total / n)
    model.eval()
    return losses
"""


def _fit(*changes):
    source = _FIT
    for old, new in zip(changes[::2], changes[1::2], strict=True):
        assert old in source, old
        source = source.replace(old, new)
    return source


_SCALED = """
def scaled_step(model, optimizer, loss, scale):
    optimizer.zero_grad()
    (scale * loss).backward()
    for p in model.parameters():
        if not torch.isfinite(p.grad).all():
            return scale / 2
    for p in model.parameters():
        p.grad /= scale
    optimizer.step()
    return scale
"""
_PARTS = """
def accumulate(model, images, labels, part_size):
    for p in model.parameters():
        p.grad = None
    total = 0
    for x, y in zip(images.split(part_size), labels.split(part_size)):
        loss = F.cross_entropy(model(x), y) * len(y) / len(labels)
        loss.backward()
        total = total + loss.detach()
    return total
"""
_EACH = "def average_gradients(model):\n    for p in model.parameters():\n"
_STATE = """
import copy

def run_state(model, optimizer, epoch):
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
    state["random"] = torch.get_rng_state()
    state["epoch"] = epoch + 1
    return copy.deepcopy(state)
"""

_BACK = "            loss.backward()\n"
_PENALTY = "            loss = loss + 5e-4 * sum(p.square().sum() for p in model.parameters())\n"
_ORDER = """
def my_images(count, rank, processes, epoch, seed):
    g = torch.Generator().manual_seed(seed + epoch)
    order = torch.randperm(count, generator=g)
"""


def _scaled(*changes):
    source = _SCALED
    for old, new in zip(changes[::2], changes[1::2], strict=True):
        assert old in source, old
        source = source.replace(old, new)
    return source


wrong_answers = {
    "loop.1": [
        ("step without parentheses", _fit("optimizer.step()", "optimizer.step"), r"never called"),
        (
            "clipped gradients",
            _fit(_BACK, f"{_BACK}            nn.utils.clip_grad_norm_(model.parameters(), 1)\n"),
            r"gradients change \(are they clipped",
        ),
        ("Nesterov", _fit("momentum=0.9", "momentum=0.9, nesterov=True"), r"is Nesterov's"),
        ("more momentum", _fit("momentum=0.9", "momentum=0.95"), r"`momentum` 0\.95 \(0\.9 is"),
        (
            "a copy is trained",
            "import copy\n"
            + _fit("weights, rate", "model = copy.deepcopy(model)\n    weights, rate"),
            r"train a copy of the network",
        ),
        (
            "the penalty in the loss",
            _fit(", weight_decay=5e-4", "", _BACK, _PENALTY + _BACK),
            r"twice that of `weight_decay=5e-4`",
        ),
        (
            "the losses of a second pass",
            _fit(
                "            total += loss.item() * len(x)\n",
                """            with torch.no_grad():
                model.eval()
                total += F.cross_entropy(model(x), y).item() * len(x)
                model.train()
""",
            ),
            r"come from further passes",
        ),
        (
            "losses with their graphs",
            _fit("loss.item() * len(x)", "loss * len(x)"),
            r"still holds the graph",
        ),
        (
            "the rate after the step",
            _fit(
                """            for g in optimizer.param_groups:
                g["lr"] = learning_rate * training.one_cycle(step, epochs * len(batches))
""",
                "",
                "            optimizer.step()\n",
                """            optimizer.step()
            for g in optimizer.param_groups:
                g["lr"] = learning_rate * training.one_cycle(step, epochs * len(batches))
""",
            ),
            r"rate is set after the step",
        ),
        (
            "the rate of the next step",
            _fit("one_cycle(step,", "one_cycle(step + 1,"),
            r"is wrong: Each step has the rate of the next one|^Each step has the rate of the next",
        ),
        (
            "momentum and decay exchanged",
            _fit("lr=rate, momentum=0.9, weight_decay=5e-4", "rate, 5e-4, weight_decay=0.9"),
            r"changed places: the third argument",
        ),
        (
            "arguments of one_cycle exchanged",
            _fit(
                "one_cycle(step, epochs * len(batches))", "one_cycle(epochs * len(batches), step)"
            ),
            r"arguments of `one_cycle` have changed places",
        ),
        ("images of full batches", _fit("n += len(x)", "n += 8"), r"size of a full batch"),
        (
            "evaluation after each epoch",
            _fit("        losses.append", "        model.eval()\n        losses.append"),
            r"only the first one is in training mode",
        ),
        (
            "no zero_grad",
            _fit("            optimizer.zero_grad()\n", ""),
            r"add up from step to step",
        ),
        (
            "step before backward",
            _fit(
                *("            optimizer.step()\n", ""),
                *("            optimizer.zero_grad()\n", "            optimizer.step()\n"),
            ).replace("loss = F", "optimizer.zero_grad()\n            loss = F"),
            r"gradients of the batch before",
        ),
        (
            "step before backward, after the loss",
            _fit(
                *("            optimizer.step()\n", ""),
                *(
                    "            loss.backward()\n",
                    "            optimizer.step()\n            loss.backward()\n",
                ),
            ),
            r"finds no gradients",
        ),
        (
            "zero_grad between backward and step",
            _fit(
                *("            optimizer.zero_grad()\n", ""),
                *(
                    "            optimizer.step()",
                    "            optimizer.zero_grad()\n            optimizer.step()",
                ),
            ),
            r"throws the new gradients away",
        ),
        (
            "mean of means",
            _fit("loss.item() * len(x)", "loss.item()", "total / n", "total / len(batches)"),
            r"mean over the batches. The last batch is smaller",
        ),
        (
            "means over the number of images",
            _fit("loss.item() * len(x)", "loss.item()"),
            r"each mean has to be multiplied",
        ),
        ("no set_epoch", _fit("        batches.set_epoch(epoch)\n", ""), r"set_epoch.* is missing"),
        ("no seed", _fit("    torch.manual_seed(seed)\n", ""), r"manual_seed.* is missing"),
        ("no training mode", _fit("    model.train()\n", ""), r"never in training mode"),
        ("left in training mode", _fit("    model.eval()\n", ""), r"eval.* is missing at the end"),
        (
            "one rate",
            _fit(
                'g["lr"] = learning_rate * training.one_cycle(step, epochs * len(batches))', "pass"
            ),
            r"rate stays the same",
        ),
        (
            "the cycle anew in each epoch",
            _fit(
                "    for epoch in range(epochs):\n",
                "    for epoch in range(epochs):\n        step = 0\n",
            ),
            r"starts anew in each epoch",
        ),
        (
            "the epoch's rate",
            _fit("one_cycle(step, epochs * len(batches))", "one_cycle(epoch, epochs)"),
            r"number of the epoch",
        ),
        (
            "the optimizer anew in each epoch",
            _fit(
                "        total, n = 0.0, 0\n",
                "        total, n = 0.0, 0\n        optimizer = torch.optim.SGD("
                "model.parameters(), lr=1, momentum=0.9, weight_decay=5e-4)\n",
            ),
            r"forgets its momentum",
        ),
        ("no momentum", _fit(", momentum=0.9", ""), r"momentum of 0\.9 is missing"),
        ("no decay", _fit(", weight_decay=5e-4", ""), r"weight decay of 5e-4 is missing"),
        (
            "the sum of all epochs",
            _fit(
                *("        total, n = 0.0, 0\n", ""),
                *("    losses, step = [], 0\n", "    losses, step, total, n = [], 0, 0.0, 0\n"),
            ),
            r"not set back to zero",
        ),
        ("the last loss", _fit("total / n", "loss.item()"), r"loss of the last batch"),
        ("no return", _fit("    return losses\n", ""), r"nothing \(None\)\. Is the `return`"),
        ("a number", _fit("return losses", "return losses[-1]"), r"list of 3 numbers is expected"),
        (
            "softmax first",
            _fit("cross_entropy(model(x), y)", "cross_entropy(model(x).softmax(1), y)"),
            r"expects logits",
        ),
        (
            "two mistakes",
            _fit(
                *("            optimizer.zero_grad()\n", ""),
                *("loss.item() * len(x)", "loss.item()", "total / n", "total / len(batches)"),
            ),
            r"Two things are wrong",
        ),
        (
            "another name",
            _fit("learning_rate, seed", "rate, seed").replace("learning_rate", "rate"),
            r"`learning_rate` is not among them",
        ),
    ],
    "loop.2": [
        (
            "a step for each gradient",
            _scaled("scale\n    optimizer.step()", "scale\n        optimizer.step()"),
            r"inside the loop over the gradients",
        ),
        (
            "clipped",
            _scaled(
                *("    for p in model.parameters():\n        p.grad /= scale\n", ""),
                "    optimizer.step()",
                "    nn.utils.clip_grad_norm_(model.parameters(), 0.5)\n    optimizer.step()",
            ),
            r"right direction, and .* times the right length",
        ),
        (
            "the step, and the weights put back",
            """
import copy

def scaled_step(model, optimizer, loss, scale):
    before = copy.deepcopy(model.state_dict())
    optimizer.zero_grad()
    (loss * scale).backward()
    good = all(p.grad.isfinite().all() for p in model.parameters())
    for p in model.parameters():
        p.grad /= scale
    optimizer.step()
    if not good:
        model.load_state_dict(before)
    return scale if good else scale / 2
""",
            r"momentum has changed",
        ),
        (
            "until it works",
            """
def scaled_step(model, optimizer, loss, scale):
    while True:
        optimizer.zero_grad()
        (loss * scale).backward(retain_graph=True)
        if all(p.grad.isfinite().all() for p in model.parameters()):
            break
        scale /= 2
    for p in model.parameters():
        p.grad /= scale
    optimizer.step()
    return scale
""",
            r"again and again in one step",
        ),
        (
            "gradients thrown away",
            _scaled(
                *("    optimizer.zero_grad()\n", ""),
                *(".backward()\n", ".backward()\n    optimizer.zero_grad()\n"),
            ),
            r"zero_grad.* comes after `backward",
        ),
        (
            "cut off",
            _scaled("(scale * loss)", "torch.tensor(scale * loss.item(), requires_grad=True)"),
            r"has reached no weight",
        ),
        ("half, without its fraction", _scaled("scale / 2", "int(scale / 2)"), r"cut to a whole"),
        (
            "the first gradient alone",
            """
def scaled_step(model, optimizer, loss, scale):
    optimizer.zero_grad()
    (loss * scale).backward()
    if not next(model.parameters()).grad.isfinite().all():
        return scale / 2
    for p in model.parameters():
        p.grad /= scale
    optimizer.step()
    return scale
""",
            r"Only the first gradient",
        ),
        (
            "the last gradient alone",
            """
def scaled_step(model, optimizer, loss, scale):
    optimizer.zero_grad()
    (loss * scale).backward()
    if not list(model.parameters())[-1].grad.isfinite().all():
        return scale / 2
    for p in model.parameters():
        p.grad /= scale
    optimizer.step()
    return scale
""",
            r"Only the last gradient",
        ),
        (
            "all have to be infinite",
            """
def scaled_step(model, optimizer, loss, scale):
    optimizer.zero_grad()
    (loss * scale).backward()
    if not any(p.grad.isfinite().all() for p in model.parameters()):
        return scale / 2
    for p in model.parameters():
        p.grad /= scale
    optimizer.step()
    return scale
""",
            r"^(?!NaN).*only if all gradients",
        ),
        (
            "a step, then half",
            """
def scaled_step(model, optimizer, loss, scale):
    optimizer.zero_grad()
    (loss * scale).backward()
    bad = any(not p.grad.isfinite().all() for p in model.parameters())
    for p in model.parameters():
        p.grad /= scale
    optimizer.step()
    return scale / 2 if bad else scale
""",
            r"step is made although",
        ),
        (
            "never undone",
            _SCALED.replace("    for p in model.parameters():\n        p.grad /= scale\n", ""),
            r"scale is not undone",
        ),
        (
            "undone in a copy",
            _SCALED.replace("p.grad /= scale", "p.grad / scale"),
            r"divide in place|not undone",
        ),
        (
            "steps anyway",
            _SCALED.replace(
                "            return scale / 2\n",
                "            scale = scale / 2\n            break\n",
            ),
            r"makes its step although",
        ),
        (
            "does not look",
            """
def scaled_step(model, optimizer, loss, scale):
    optimizer.zero_grad()
    (loss * scale).backward()
    for p in model.parameters():
        p.grad /= scale
    optimizer.step()
    return scale
""",
            r"Nothing looks for gradients",
        ),
        ("not scaled", _SCALED.replace("(scale * loss)", "loss"), r"The loss is not scaled"),
        (
            "only infinite",
            _SCALED.replace("not torch.isfinite(p.grad).all()", "torch.isinf(p.grad).any()"),
            r"NaN is not",
        ),
        (
            "looks at the loss",
            _SCALED.replace("not torch.isfinite(p.grad).all()", "not torch.isfinite(loss)"),
            r"You look at the loss",
        ),
        ("the scale stays", _SCALED.replace("return scale / 2", "return scale"), r"stays the same"),
        ("the scale grows", _SCALED.replace("scale / 2", "scale * 2"), r"should be halved"),
        (
            "old gradients",
            _SCALED.replace("    optimizer.zero_grad()\n", ""),
            r"old gradients are not forgotten",
        ),
        (
            "divides the loss",
            _SCALED.replace("scale * loss", "loss / scale"),
            r"should be multiplied by it|divided by the scale",
        ),
        ("no step", _SCALED.replace("    optimizer.step()\n", ""), r"step\(\)` is missing"),
        ("no return", _SCALED.replace("    return scale\n", ""), r"nothing \(None\)\. Return the"),
        (
            "zeros for what is infinite",
            """
def scaled_step(model, optimizer, loss, scale):
    optimizer.zero_grad()
    (loss * scale).backward()
    for p in model.parameters():
        p.grad = torch.nan_to_num(p.grad) / scale
    optimizer.step()
    return scale
""",
            r"replaced by numbers",
        ),
    ],
    "loop.3": [
        (
            "the first labels",
            _PARTS.replace(
                "cross_entropy(model(x), y)", "cross_entropy(model(x), labels[: len(y)])"
            ),
            r"labels are always the first ones",
        ),
        (
            "gradients in a list",
            """
def accumulate(model, images, labels, part_size):
    total, sums = 0.0, [0.0 for p in model.parameters()]
    for x, y in zip(images.split(part_size), labels.split(part_size)):
        loss = F.cross_entropy(model(x), y, reduction="sum") / len(labels)
        found = torch.autograd.grad(loss, list(model.parameters()))
        sums = [a + b for a, b in zip(sums, found)]
        total += loss.item()
    return total
""",
            r"neither forgotten nor replaced",
        ),
        (
            "the loss of the whole batch",
            _PARTS.replace("return total", "return F.cross_entropy(model(images), labels).item()"),
            r"for the returned loss the network sees 10 images",
        ),
        (
            "one backward for all",
            """
def accumulate(model, images, labels, part_size):
    model.zero_grad()
    logits = torch.cat([model(x) for x in images.split(part_size)])
    loss = F.cross_entropy(logits, labels)
    loss.backward()
    return loss.item()
""",
            r"3 parts wait for `backward\(\)`",
        ),
        (
            "losses added, one backward",
            """
def accumulate(model, images, labels, part_size):
    model.zero_grad(set_to_none=False)
    losses = []
    for i in range(0, len(images), part_size):
        losses.append(F.cross_entropy(model(images[i : i + part_size]), labels[i : i + part_size],
                                      reduction="sum"))
    loss = sum(losses) / len(labels)
    loss.backward()
    return float(loss)
""",
            r"Call `backward\(\)` for each part",
        ),
        (
            "every third image",
            """
def accumulate(model, images, labels, part_size):
    model.zero_grad()
    total, k = 0.0, -(-len(images) // part_size)
    for r in range(k):
        loss = F.cross_entropy(model(images[r::k]), labels[r::k], reduction="sum") / len(labels)
        loss.backward()
        total += loss.item()
    return total
""",
            r"the parts have 4, 3, 3 images; 4, 4, 2 are right",
        ),
        (
            "single images",
            _PARTS.replace("split(part_size)", "split(1)"),
            r"the parts have 1, 1, .* are right",
        ),
        (
            "chunks",
            _PARTS.replace("split(part_size)", "chunk(part_size)"),
            r"`chunk` takes the number of parts",
        ),
        (
            "evaluation mode",
            _PARTS.replace("    total = 0\n", "    total = 0\n    model.eval()\n"),
            r"switches the network to evaluation mode",
        ),
        (
            "the sum alone goes back",
            """
def accumulate(model, images, labels, part_size):
    model.zero_grad()
    total = 0.0
    for x, y in zip(images.split(part_size), labels.split(part_size)):
        loss = F.cross_entropy(model(x), y, reduction="sum")
        loss.backward()
        total += loss.item()
    return total / len(images)
""",
            r"returned loss is right.*gets the sum",
        ),
        (
            "divided by the part's size",
            """
def accumulate(model, images, labels, part_size):
    model.zero_grad()
    total = 0.0
    for x, y in zip(images.split(part_size), labels.split(part_size)):
        loss = F.cross_entropy(model(x), y, reduction="sum") / part_size
        loss.backward()
        total += loss.item()
    return total
""",
            r"divide the sum by `part_size`",
        ),
        (
            "not divided",
            _PARTS.replace(" * len(y) / len(labels)", ""),
            r"parts' means add up",
        ),
        (
            "divided by the number of parts",
            _PARTS.replace("* len(y) / len(labels)", "/ len(images.split(part_size))"),
            r"divide by the number of parts",
        ),
        (
            "every part counts as a full one",
            _PARTS.replace("* len(y)", "* part_size"),
            r"weigh each part with `part_size`",
        ),
        (
            "the sum",
            _PARTS.replace(
                "F.cross_entropy(model(x), y) * len(y) / len(labels)",
                'F.cross_entropy(model(x), y, reduction="sum")',
            ),
            r"sum over all images is not divided",
        ),
        (
            "divided twice",
            _PARTS.replace("* len(y) / len(labels)", "/ len(labels)"),
            r"divide by the size of the part twice",
        ),
        (
            "forgets in between",
            _PARTS.replace("        loss = F", "        model.zero_grad()\n        loss = F"),
            r"only the last part is left",
        ),
        (
            "keeps old gradients",
            _PARTS.replace("    for p in model.parameters():\n        p.grad = None\n", ""),
            r"old gradients are not forgotten",
        ),
        (
            "all at once",
            """
def accumulate(model, images, labels, part_size):
    model.zero_grad()
    loss = F.cross_entropy(model(images), labels)
    loss.backward()
    return loss.item()
""",
            r"sees 10 images at a time; at most 4",
        ),
        (
            "one backward, at the end",
            """
def accumulate(model, images, labels, part_size):
    model.zero_grad()
    for x, y in zip(images.split(part_size), labels.split(part_size)):
        loss = F.cross_entropy(model(x), y) * len(y) / len(labels)
    loss.backward()
    return loss.item()
""",
            r"called once, after the last part|only the last part is left",
        ),
        (
            "the last loss",
            _PARTS.replace("total = total + ", "total = "),
            r"returned loss is that of the last part",
        ),
        (
            "the loss as a mean of means",
            """
def accumulate(model, images, labels, part_size):
    model.zero_grad()
    means = []
    for x, y in zip(images.split(part_size), labels.split(part_size)):
        mean = F.cross_entropy(model(x), y)
        (mean * len(y) / len(labels)).backward()
        means.append(mean.item())
    return sum(means) / len(means)
""",
            r"mean of the parts' means",
        ),
        (
            "makes a step",
            _PARTS.replace(
                "    return",
                "    with torch.no_grad():\n        for p in model.parameters():\n"
                "            p -= 0.1 * p.grad\n    return",
            ),
            r"changes the weights",
        ),
        (
            "drops the rest",
            _PARTS.replace(
                "in zip(images.split(part_size), labels.split(part_size)):",
                "in zip(images.split(part_size), labels.split(part_size)):\n"
                "        if len(y) < part_size:\n            continue",
            ),
            r"last part is left out|sees only",
        ),
    ],
    "loop.4": [
        (
            "forgotten first",
            "def average_gradients(model):\n    model.zero_grad(set_to_none=False)\n"
            "    for p in model.parameters():\n        dist.all_reduce(p.grad)\n"
            "        p.grad /= dist.get_world_size()",
            r"no gradients left to send",
        ),
        (
            "a bucket that is never full",
            "def average_gradients(model):\n    bucket = []\n    for p in model.parameters():\n"
            "        bucket.append(p.grad)\n        if len(bucket) == 8:\n"
            "            for gradient in bucket:\n                dist.all_reduce(gradient)\n"
            "                gradient /= dist.get_world_size()\n            bucket = []",
            r"is never reached here",
        ),
        (
            "a bucket that is not sent",
            "def average_gradients(model):\n    bucket = []\n    for p in model.parameters():\n"
            "        bucket.append(p.grad)\n        if len(bucket) == 2:\n"
            "            for gradient in bucket:\n                dist.all_reduce(gradient)\n"
            "                gradient /= dist.get_world_size()\n            bucket = []",
            r"gradient was not exchanged: 3\.",
        ),
        (
            "in 16 bits",
            _EACH + "        small = p.grad.half()\n        dist.all_reduce(small)\n"
            "        p.grad = small.float() / dist.get_world_size()",
            r"sent in 16 bits",
        ),
        (
            "the mean over the entries",
            _EACH + "        mean = p.grad.mean()\n        dist.all_reduce(mean)\n"
            "        p.grad.fill_(mean / dist.get_world_size())",
            r"mean over the entries",
        ),
        (
            "not waited for",
            _EACH + "        dist.all_reduce(p.grad, async_op=True)\n"
            "        p.grad /= dist.get_world_size()",
            r"only begins the exchange",
        ),
        (
            "waited for too late",
            _EACH + "        work = dist.all_reduce(p.grad, async_op=True)\n"
            "        p.grad /= dist.get_world_size()\n        work.wait()",
            r"only begins the exchange",
        ),
        (
            "the first process alone",
            "def average_gradients(model):\n    if dist.get_rank() == 0:\n"
            "        for p in model.parameters():\n            dist.all_reduce(p.grad)\n"
            "            p.grad /= dist.get_world_size()",
            r"every process has to make every call",
        ),
        (
            "the sum for one process",
            _EACH + "        dist.reduce(p.grad, 0)\n        p.grad /= dist.get_world_size()",
            r"gives the sum to one process alone",
        ),
        (
            "one process's gradients for all",
            _EACH + "        dist.broadcast(p.grad, 0)",
            r"gives all processes the gradients of one",
        ),
        (
            "no biases",
            _EACH + "        if p.dim() > 1:\n            dist.all_reduce(p.grad)\n"
            "            p.grad /= dist.get_world_size()",
            r"biases, are left out",
        ),
        (
            "the sum",
            _EACH + "        dist.all_reduce(p.grad)",
            r"summed and not divided",
        ),
        (
            "divided by 2",
            _EACH + "        dist.all_reduce(p.grad)\n        p.grad /= 2",
            r"right only for two processes",
        ),
        (
            "nothing sent",
            _EACH + "        p.grad /= dist.get_world_size()",
            r"sends nothing",
        ),
        (
            "a copy",
            _EACH + "        g = p.grad.clone()\n"
            "        dist.all_reduce(g)\n        g /= dist.get_world_size()",
            r"what was exchanged is a copy",
        ),
        (
            "the weights",
            _EACH + "        dist.all_reduce(p.data)\n        p.data /= dist.get_world_size()",
            r"weights have changed",
        ),
        (
            "a new tensor",
            _EACH
            + "        dist.all_reduce(p.grad)\n        mean = p.grad / dist.get_world_size()",
            r"stays the sum|summed and not divided",
        ),
        (
            "the average of NCCL",
            _EACH + "        dist.all_reduce(p.grad, op=dist.ReduceOp.AVG)",
            r"Cannot use ReduceOp\.AVG with Gloo",
        ),
        (
            "the largest",
            _EACH + "        dist.all_reduce(p.grad, op=dist.ReduceOp.MAX)",
            r"maximum over the processes",
        ),
        (
            "the first alone",
            "def average_gradients(model):\n    p = next(model.parameters())\n"
            "    dist.all_reduce(p.grad)\n    p.grad /= dist.get_world_size()",
            r"Only the first parameter",
        ),
        (
            "of the loss",
            "def average_gradients(model):\n    dist.all_reduce(model.grad)",
            r"no attribute 'grad'",
        ),
    ],
    "loop.5": [
        (
            "one colon",
            _ORDER + "    return order[rank:processes]\n",
            r"has one colon",
        ),
        (
            "each part sorted",
            _ORDER + "    return order[rank::processes].sort()[0]\n",
            r"sorted by",
        ),
        (
            "a generator that goes on",
            """
generator = torch.Generator()

def my_images(count, rank, processes, epoch, seed):
    if epoch == 0:
        generator.manual_seed(seed)
    return torch.randperm(count, generator=generator)[rank::processes]
""",
            r"make a new generator in each call",
        ),
        (
            "start and step",
            """
def my_images(count, rank, processes, epoch, seed):
    g = torch.Generator().manual_seed(seed + 1000 * epoch)
    return torch.randperm(count, generator=g)[processes :: rank + 1]
""",
            r"start and step have changed places",
        ),
        (
            "the rank minus one",
            """
def my_images(count, rank, processes, epoch, seed):
    g = torch.Generator().manual_seed(seed + 1000 * epoch)
    return torch.randperm(count, generator=g)[rank - 1 :: processes]
""",
            r"ranks count from 0",
        ),
        (
            "with repetition",
            """
def my_images(count, rank, processes, epoch, seed):
    g = torch.Generator().manual_seed(seed + 1000 * epoch)
    return torch.randint(count, (count,), generator=g)[rank::processes]
""",
            r"draws an image twice",
        ),
        (
            "a product",
            """
def my_images(count, rank, processes, epoch, seed):
    g = torch.Generator().manual_seed(seed * epoch)
    return torch.randperm(count, generator=g)[rank::processes]
""",
            r"a product with 0 is 0",
        ),
        (
            "one order, turned",
            """
def my_images(count, rank, processes, epoch, seed):
    g = torch.Generator().manual_seed(seed)
    return torch.randperm(count, generator=g).roll(epoch)[rank::processes]
""",
            r"only begun at another image",
        ),
        (
            "a text's hash",
            """
def my_images(count, rank, processes, epoch, seed):
    g = torch.Generator().manual_seed(hash((str(seed), epoch)) % 2**31)
    return torch.randperm(count, generator=g)[rank::processes]
""",
            r"another number in every Python process",
        ),
        (
            "orders of their own",
            """
def my_images(count, rank, processes, epoch, seed):
    g = torch.Generator().manual_seed(seed + 1000 * epoch + rank)
    return torch.randperm(count, generator=g)[rank::processes]
""",
            r"must not depend on `rank`",
        ),
        (
            "every epoch alike",
            """
def my_images(count, rank, processes, epoch, seed):
    g = torch.Generator().manual_seed(seed)
    return torch.randperm(count, generator=g)[rank::processes]
""",
            r"Two epochs have the same order",
        ),
        (
            "every seed alike",
            """
def my_images(count, rank, processes, epoch, seed):
    g = torch.Generator().manual_seed(epoch)
    return torch.randperm(count, generator=g)[rank::processes]
""",
            r"Two seeds give the same order",
        ),
        (
            "all images",
            """
def my_images(count, rank, processes, epoch, seed):
    g = torch.Generator().manual_seed(seed + 1000 * epoch)
    return torch.randperm(count, generator=g)
""",
            r"Every process shows all images",
        ),
        (
            "one part for all",
            """
def my_images(count, rank, processes, epoch, seed):
    g = torch.Generator().manual_seed(seed + 1000 * epoch)
    return torch.randperm(count, generator=g)[: -(-count // processes)]
""",
            r"`rank` is not used",
        ),
        (
            "the rest dropped",
            """
def my_images(count, rank, processes, epoch, seed):
    g = torch.Generator().manual_seed(seed + 1000 * epoch)
    part = count // processes
    return torch.randperm(count, generator=g)[rank * part : (rank + 1) * part]
""",
            r"left over when you divide are dropped",
        ),
        (
            "filled up",
            """
def my_images(count, rank, processes, epoch, seed):
    g = torch.Generator().manual_seed(seed + 1000 * epoch)
    order = torch.randperm(count, generator=g)
    order = torch.cat([order, order[: -count % processes]])
    return order[rank::processes]
""",
            r"filled up to one size",
        ),
        (
            "the rest goes to the last",
            """
def my_images(count, rank, processes, epoch, seed):
    g = torch.Generator().manual_seed(seed + 1000 * epoch)
    part = count // processes
    end = count if rank == processes - 1 else (rank + 1) * part
    return torch.randperm(count, generator=g)[rank * part : end]
""",
            r"No process should have more than one more",
        ),
        (
            "the global seed",
            """
def my_images(count, rank, processes, epoch, seed):
    torch.manual_seed(seed + 1000 * epoch)
    return torch.randperm(count)[rank::processes]
""",
            r"global random numbers",
        ),
        (
            "shuffled inside a part",
            """
def my_images(count, rank, processes, epoch, seed):
    g = torch.Generator().manual_seed(seed + 1000 * epoch)
    part = torch.arange(rank, count, processes)
    return part[torch.randperm(len(part), generator=g)]
""",
            r"same images in every epoch",
        ),
        (
            "not shuffled",
            "def my_images(count, rank, processes, epoch, seed):\n"
            "    return list(range(rank, count, processes))",
            r"nothing is shuffled",
        ),
        (
            "from 1 on",
            """
def my_images(count, rank, processes, epoch, seed):
    g = torch.Generator().manual_seed(seed + 1000 * epoch)
    return 1 + torch.randperm(count, generator=g)[rank::processes]
""",
            r"does not exist. Images are numbered from 0",
        ),
    ],
    "loop.6": [
        (
            "states exchanged",
            _STATE.replace("model.state", "other.state")
            .replace("optimizer.state", "model.state")
            .replace("other.state", "optimizer.state"),
            r"has the state of the optimizer in it",
        ),
        (
            "one dictionary for all calls",
            _STATE.replace("def run", "kept = {}\n\ndef run").replace(
                "return copy.deepcopy(state)", "kept.update(copy.deepcopy(state))\n    return kept"
            ),
            r"second call fills the dictionary of the first",
        ),
        (
            "left in evaluation mode",
            _STATE.replace("    state = {", "    model.eval()\n    state = {"),
            r"leaves the network in evaluation mode",
        ),
        (
            "not copied",
            _STATE.replace("copy.deepcopy(state)", "state"),
            r"have changed with the training.*Copy them",
        ),
        (
            "the dictionary alone copied",
            _STATE.replace("copy.deepcopy(state)", "dict(state)"),
            r"holds the network's own tensors",
        ),
        (
            "the optimizer not copied",
            _STATE.replace(
                "return copy.deepcopy(state)",
                'state["model"] = copy.deepcopy(state["model"])\n    return state',
            ),
            r"optimizer's state is not copied",
        ),
        ("the epoch that is done", _STATE.replace("epoch + 1", "epoch"), r"would be trained twice"),
        (
            "a new optimizer",
            _STATE.replace(
                '"optimizer": optimizer.state_dict()',
                '"optimizer": torch.optim.SGD(model.parameters(), momentum=0.9).state_dict()',
            ),
            r"has no momentum|momentum is lost",
        ),
        (
            "no random numbers",
            _STATE.replace('    state["random"] = torch.get_rng_state()\n', ""),
            r'"random" is missing',
        ),
        (
            "a seed",
            _STATE.replace("torch.get_rng_state()", "torch.initial_seed()"),
            r'"random" cannot be put back.*get_rng_state',
        ),
        (
            "sets the seed",
            _STATE.replace("torch.get_rng_state()", "torch.manual_seed(0).get_state()"),
            r"draws random numbers or sets their seed",
        ),
        (
            "another state of chance",
            _STATE.replace("torch.get_rng_state()", "torch.Generator().get_state()"),
            r'"random" is not the state',
        ),
        (
            "parameters alone",
            _STATE.replace("model.state_dict()", "dict(model.named_parameters())"),
            r'"model" cannot be put back.*running means',
        ),
        (
            "the network itself",
            _STATE.replace("model.state_dict()", "model"),
            r'"model" cannot be put back',
        ),
        (
            "a list",
            "def run_state(model, optimizer, epoch):\n    return [model, epoch]",
            r"A dictionary",
        ),
    ],
    "loop.7": [
        (
            "weights and momentum too",
            'two_machines = {"batch_size": 256, "steps": 5005, "bytes": 306_684_384, '
            '"seconds": 1.431}',
            r"not weights and momentum too",
        ),
        (
            "eight streams",
            'two_machines = {"batch_size": 256, "steps": 5005, "bytes": 102_228_128, '
            '"seconds": 11.4495}',
            r"you count eight streams",
        ),
        (
            "in bits",
            'two_machines = {"batch_size": 256, "steps": 5005, '
            '"bytes": 817825024, "seconds": 1.4312}',
            r'"bytes".*in bits',
        ),
        (
            "half the seconds",
            'two_machines = {"batch_size": 256, "steps": 5005, '
            '"bytes": 102228128, "seconds": 0.7156}',
            r'"seconds".*half of it',
        ),
        (
            "one machine",
            'two_machines = {"batch_size": 128, "steps": 10010, '
            '"bytes": 102228128, "seconds": 1.4312}',
            r'"batch_size".*one machine',
        ),
        (
            "rounded down",
            'two_machines = {"batch_size": 256, "steps": 5004, '
            '"bytes": 102228128, "seconds": 1.4312}',
            r'"steps".*images that are left',
        ),
        (
            "numbers, not bytes",
            'two_machines = {"batch_size": 256, "steps": 5005, '
            '"bytes": 25557032, "seconds": 1.4312}',
            r'"bytes".*each takes 4 bytes',
        ),
        (
            "bytes a second",
            'two_machines = {"batch_size": 256, "steps": 5005, '
            '"bytes": 102228128, "seconds": 0.1789}',
            r'"seconds".*a byte has 8 bits',
        ),
        (
            "sent once",
            'two_machines = {"batch_size": 256, "steps": 5005, '
            '"bytes": 102228128, "seconds": 0.818}',
            r'"seconds".*1\.75 times',
        ),
        (
            "both directions one after the other",
            'two_machines = {"batch_size": 256, "steps": 5005, '
            '"bytes": 102228128, "seconds": 2.862}',
            r'"seconds".*at the same time',
        ),
        (
            "machines, not processes",
            'two_machines = {"batch_size": 256, "steps": 5005, '
            '"bytes": 102228128, "seconds": 0.8178}',
            r'"seconds".*1\.75 times',
        ),
    ],
}

right_answers = {
    "loop.1": [
        ("other names, a float", _FIT),
        (
            "a scheduler of torch",
            """
def my_fit(model, batches, epochs, learning_rate, seed):
    torch.manual_seed(seed)
    opt = torch.optim.SGD(model.parameters(), lr=learning_rate, momentum=0.9, weight_decay=5e-4)
    total = epochs * len(batches)
    share = lambda s: training.one_cycle(min(s, total - 1), total)
    rates = torch.optim.lr_scheduler.LambdaLR(opt, share)
    history = []
    model.train()
    for e in range(epochs):
        batches.set_epoch(e)
        sums, images = [], 0
        for x, y in batches:
            loss = F.cross_entropy(model(x), y, reduction="sum") / len(y)
            opt.zero_grad(set_to_none=False)
            loss.backward()
            opt.step()
            rates.step()
            sums.append(loss.detach() * len(y))
            images += len(y)
        history.append(torch.stack(sums).sum() / images)
    model.eval()
    return history
""",
        ),
        (
            "an array",
            _fit("return losses", "import numpy as np\n    return np.array(losses)"),
        ),
        (
            "enumerate, a tensor",
            """
def my_fit(model, batches, epochs, learning_rate, seed):
    torch.manual_seed(seed)
    model.train(True)
    opt = torch.optim.SGD(model.parameters(), momentum=0.9, weight_decay=5e-4)
    means = torch.zeros(epochs, dtype=torch.float64)
    for e in range(epochs):
        batches.set_epoch(e)
        seen = 0
        for b, (x, y) in enumerate(batches):
            opt.param_groups[0]["lr"] = learning_rate * training.one_cycle(
                e * len(batches) + b, epochs * len(batches)
            )
            opt.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            opt.step()
            means[e] += loss.item() * len(y)
            seen += len(y)
        means[e] /= seen
    model.train(False)
    return means
""",
        ),
    ],
    "loop.2": [
        ("other words", _SCALED),
        (
            "one long gradient",
            """
def scaled_step(model, optimizer, loss, scale):
    model.zero_grad()
    loss.mul(scale).backward()
    every = torch.cat([p.grad.flatten() for p in model.parameters()])
    if bool(every.isinf().any() | every.isnan().any()):
        return 0.5 * scale
    for p in model.parameters():
        p.grad = p.grad / scale
    optimizer.step()
    return scale
""",
        ),
        (
            "autograd.grad",
            """
def scaled_step(model, optimizer, loss, scale):
    parameters = list(model.parameters())
    gradients = torch.autograd.grad(loss * scale, parameters)
    if any(not g.isfinite().all() for g in gradients):
        return torch.tensor(scale / 2)
    for p, g in zip(parameters, gradients):
        p.grad = g / scale
    optimizer.step()
    return torch.tensor(scale)
""",
        ),
    ],
    "loop.3": [
        ("split, a tensor", _PARTS),
        (
            "divided at the end",
            """
def accumulate(model, images, labels, part_size):
    model.zero_grad()
    total = 0.0
    for i in range(-(-len(labels) // part_size)):
        x, y = images[i * part_size :][:part_size], labels[i * part_size :][:part_size]
        loss = F.cross_entropy(model(x), y, reduction="sum")
        loss.backward()
        total += loss.item()
    for p in model.parameters():
        p.grad /= len(labels)
    return total / len(labels)
""",
        ),
    ],
    "loop.4": [
        (
            "divided first",
            _EACH + "        p.grad.div_(dist.get_world_size())\n        dist.all_reduce(p.grad)",
        ),
        (
            "one long tensor",
            """
def average_gradients(model):
    gradients = [p.grad for p in model.parameters()]
    flat = torch.cat([g.flatten() for g in gradients])
    dist.all_reduce(flat, op=dist.ReduceOp.SUM)
    flat /= dist.get_world_size()
    start = 0
    for p in model.parameters():
        p.grad = flat[start : start + p.numel()].view_as(p)
        start += p.numel()
""",
        ),
        (
            "collected",
            """
def average_gradients(model):
    for p in model.parameters():
        every = [torch.zeros_like(p.grad) for _ in range(dist.get_world_size())]
        dist.all_gather(every, p.grad)
        p.grad = torch.stack(every).mean(0)
""",
        ),
        (
            "without waiting",
            """
def average_gradients(model):
    works = [dist.all_reduce(p.grad, async_op=True) for p in model.parameters()]
    for work in works:
        work.wait()
    for p in model.parameters():
        p.grad.mul_(1 / dist.get_world_size())
""",
        ),
    ],
    "loop.5": [
        (
            "blocks",
            """
def my_images(count, rank, processes, epoch, seed):
    g = torch.Generator()
    g.manual_seed(hash((seed, epoch)) % 2**31)
    order = torch.randperm(count, generator=g).tolist()
    return order[count * rank // processes : count * (rank + 1) // processes]
""",
        ),
        (
            "Python's random numbers",
            """
import random

def my_images(count, rank, processes, epoch, seed):
    order = list(range(count))
    random.Random(f"{seed} {epoch}").shuffle(order)
    return [image for place, image in enumerate(order) if place % processes == rank]
""",
        ),
        (
            "NumPy's random numbers",
            """
import numpy as np

def my_images(count, rank, processes, epoch, seed):
    order = np.random.default_rng((seed, epoch)).permutation(count)
    return torch.from_numpy(order)[rank::processes]
""",
        ),
    ],
    "loop.6": [
        ("one copy of all", _STATE),
        (
            "through a file",
            """
import io

def run_state(model, optimizer, epoch):
    file = io.BytesIO()
    torch.save(
        dict(
            model=model.state_dict(),
            optimizer=optimizer.state_dict(),
            random=torch.get_rng_state(),
            epoch=1 + epoch,
        ),
        file,
    )
    file.seek(0)
    return torch.load(file)
""",
        ),
        (
            "clones, and more than is asked for",
            """
import copy

def run_state(model, optimizer, epoch):
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    return {
        "epoch": torch.tensor(epoch + 1),
        "model": weights,
        "random": torch.random.default_generator.get_state(),
        "optimizer": copy.deepcopy(optimizer).state_dict(),
        "loss": 0.3,
    }
""",
        ),
    ],
    "loop.7": [
        (
            "written out",
            'two_machines = {"batch_size": 256, "steps": 5005, '
            '"bytes": 102_228_128, "seconds": 1.431}',
        ),
        (
            "in floats",
            'two_machines = {"batch_size": 256.0, "steps": -(-1281167 // 256), '
            '"bytes": 25_557_032 * 4.0, "seconds": 1.43}',
        ),
        (
            "computed otherwise",
            "two_machines = dict(batch_size=2 * 4 * 32, steps=1 + 1281167 // 256, "
            "bytes=25557032 * 32 // 8, "
            "seconds=1.75 * 25557032 * 32 / 1e9)",
        ),
    ],
}


# --- mutants that the checks accept, and why they may ---------------------------------------------

_OTHER_SEEDS = "Every epoch and every seed still has a random order of its own."
equivalent = {
    "loop.1": [
        (
            "The two do not touch each other.",
            "`torch.manual_seed(seed)` and `options = {'lr': lea …  0.0005}` exchanged",
            "`step, total_steps, m … es), [])` and `model.train()` exchanged",
            "`batches.set_epoch(epoch)` and `loss_sum, count = (0.0, 0)` exchanged",
            "`loss = F.cross_entro …  labels)` and `optimizer.zero_grad()` exchanged",
            "`optimizer.step()` and `loss_sum += loss.det … (labels)` exchanged",
        ),
        (
            "Every step sets the rate anew.",
            "`learning_rate` becomes `seed` in `options = {'lr': lea …  0.0005}`",
        ),
        ("Zero is zero.", "`loss_sum` and `count` exchanged", "`0.0` and `0` exchanged"),
        (
            "SGD made from one list of parameters has one group.",
            "`for group in optimiz … l_steps)` becomes `for group in optimiz … s) break`",
        ),
    ],
    "loop.2": [
        (
            "What is infinite or NaN stays so when it is divided by the scale.",
            "`if not all((gradient … cale / 2` and `for gradient in grad … /= scale` exchanged",
        ),
    ],
    "loop.3": [
        (
            "The two do not touch each other.",
            "`model.zero_grad()` and `mean_loss = 0.0` exchanged",
            "`loss.backward()` and `mean_loss += loss.item()` exchanged",
        ),
    ],
}
accepted = {
    "loop.1": [
        (
            "The numbers are the same; the graphs are kept until the epoch ends.",
            "`loss.detach()` becomes `loss`",
        ),
        ("A tensor serves as a number.", "`float(loss_sum / count)` becomes `loss_sum / count`"),
    ],
    "loop.3": [("A tensor serves as a number.", "`loss.item()` becomes `loss`")],
    "loop.4": [
        (
            "Each divides its own gradient first: the sum of the shares is the mean.",
            "`dist.all_reduce(parameter.grad)` and `parameter.grad /= di … d_size()` exchanged",
        ),
    ],
    "loop.5": [
        (
            _OTHER_SEEDS,
            "`seed + 1000 * epoch` becomes `seed - 1000 * epoch`",
            "`1000 * epoch` becomes `1000 + epoch`",
            "`1000 * epoch` becomes `epoch`",
            "`1000` becomes `1001`",
            "`1000` becomes `999`",
        ),
    ],
}


# --- probes: what the equivalent ones are compared on ---------------------------------------------


def probe_loop_1(my_fit):
    images = torch.randint(0, 256, (14, 1, 4, 4), dtype=torch.uint8)
    batches = data.Batches(images, torch.randint(3, (14,)), batch_size=5, device="cpu")
    found = []
    for epochs, rate, seed in ((2, 0.1, 3), (1, 0.3, 0)):
        model = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(16, 3))
        found += [*my_fit(model, batches, epochs, rate, seed), model.training]
        found += [parameter.detach().clone() for parameter in model.parameters()]
    return found


def probe_loop_2(scaled_step):
    model, found = nn.Linear(4, 3), []
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for factor, scale in ((1.0, 4.0), (float("inf"), 8.0), (float("nan"), 2.0), (0.5, 1.0)):
        loss = model(torch.randn(5, 4)).square().mean() * factor
        found.append(scaled_step(model, optimizer, loss, scale))
        found += [parameter.detach().clone() for parameter in model.parameters()]
    return found


def probe_loop_3(accumulate):
    found = []
    for count, part_size in ((9, 4), (6, 2), (3, 5)):
        model = nn.Linear(4, 3, dtype=torch.float64)
        model.weight.grad = torch.ones_like(model.weight)
        images = torch.randn(count, 4, dtype=torch.float64)
        found.append(accumulate(model, images, torch.randint(3, (count,)), part_size))
        found += [parameter.grad.clone() for parameter in model.parameters()]
    return found
