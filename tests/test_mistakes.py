"""The search for a mistake: what it names, and that it names nothing that is not there."""

import ast
import re
import time

import pytest
import torch
import torch.nn.functional as F
from told import patiently
from torch import nn

from exercises import correspondence, engine, mistakes, mutants, slips
from exercises.compare import Wrong, call, make, same_outputs, same_results

# --- parameters find their partners ---------------------------------------------------------------


class Unfolded(nn.Module):
    """Conv2d(3→8, 3×3), ReLU, Conv2d(8→6, 1×1), on patches; the second layer's weight and bias are
    one tensor."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(27, 8)
        self.second = nn.Parameter(torch.randn(9, 6))

    def forward(self, x):
        n, _, h, w = x.shape
        patches = F.unfold(x, 3, padding=1).transpose(1, 2)
        hidden = self.first(patches).relu()
        out = hidden @ self.second[:8] + self.second[8]
        return out.transpose(1, 2).reshape(n, 6, h, w)


def convolutions(*, padding=1):
    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=padding), nn.ReLU(), nn.Conv2d(8, 6, 1))


def test_parameters_are_found_by_what_they_do():
    same_outputs(Unfolded(), convolutions(), (2, 3, 7, 5))


def test_parameters_that_do_something_else_find_no_partner():
    class WithoutRelu(Unfolded):
        def forward(self, x):
            n, _, h, w = x.shape
            patches = F.unfold(x, 3, padding=1).transpose(1, 2)
            out = self.first(patches) @ self.second[:8] + self.second[8]
            return out.transpose(1, 2).reshape(n, 6, h, w)

    shape = (2, 3, 7, 5)
    assert correspondence.correspondence(WithoutRelu(), convolutions(), shape) is None
    assert correspondence.correspondence(nn.Conv2d(3, 8, 3), convolutions(), shape) is None
    with pytest.raises(Wrong, match="278 parameters, as it should, but computes"):
        same_outputs(WithoutRelu(), convolutions(), shape)


# --- what is seen in a module ---------------------------------------------------------------------


def test_a_layer_that_is_made_in_forward_is_told_so():
    class Anew(nn.Module):
        def forward(self, x):
            return nn.Linear(4, 3)(x)

    with pytest.raises(Wrong, match="made anew in each call"):
        same_outputs(Anew(), nn.Linear(4, 3), (2, 4))


def test_layers_in_a_list_are_told_so():
    class Listed(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = [nn.Linear(4, 3)]

        def forward(self, x):
            return self.layers[0](x)

    with pytest.raises(Wrong, match=r"`self.layers` is a plain list.*nn\.ModuleList"):
        same_outputs(Listed(), nn.Linear(4, 3), (2, 4))


def test_a_batch_of_one_image_is_tried():
    class Squeezed(nn.Module):
        def forward(self, x):
            return x.mean(dim=(2, 3)).squeeze()

    class Right(nn.Module):
        def forward(self, x):
            return x.mean(dim=(2, 3))

    same_outputs(Right(), Right(), (2, 3, 4, 4))
    with pytest.raises(Wrong, match=r"batch of one image .*squeeze"):
        same_outputs(Squeezed(), Right(), (2, 3, 4, 4))


# --- what is seen in a function -------------------------------------------------------------------


def test_arguments_that_do_not_fit_the_def_line():
    with pytest.raises(Wrong, match=r"takes `a`, `strides`; the task's name `stride` is not among"):
        call(lambda a, strides=1: a, 1, stride=2)
    with pytest.raises(Wrong, match="`b` would get no value"):
        call(lambda a, b: a, 1)
    assert call(lambda a, **more: more, 1, stride=2) == {"stride": 2}


def test_a_class_where_an_object_of_it_is_meant():
    with pytest.raises(Wrong, match="gives the class ReLU itself"):
        make(lambda: nn.ReLU)
    with pytest.raises(Wrong, match="is a class itself"):
        same_results(nn.ReLU, torch.relu, (torch.randn(3),))


def test_a_function_that_remembers_is_told_so():
    calls = []

    def counting(x):
        calls.append(x)
        return x + (len(calls) > 2)

    with pytest.raises(Wrong, match="called a second time"):
        same_results(counting, lambda x: x, (1,), (2,))


X = torch.randn(2, 3, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda x: (2 * x).detach(), "no gradient"),
        (lambda x: x + x.detach(), "another gradient"),
        (lambda x: (2 * x).double(), "float64"),
        (lambda x: (2 * x).detach().numpy(), "NumPy"),
    ],
)
def test_what_a_network_goes_on_with_has_gradients_and_the_right_type(answer, message):
    same_results(lambda x: x + x, lambda x: 2 * x, (X,), layer=True)
    with pytest.raises(Wrong, match=message):
        same_results(answer, lambda x: 2 * x, (X,), layer=True)


def test_what_one_can_see_in_wrong_numbers():
    for answer, message in (
        (lambda x: 3 * x, "every number is 1.5 times the right one"),
        (lambda x: 2 * x + 1, "every number is 1 too large"),
        (lambda x: 2 * x.flip(0), "the right numbers in other places"),
    ):
        with pytest.raises(Wrong, match=message):
            same_results(answer, lambda x: 2 * x, (X,))


# --- the search -----------------------------------------------------------------------------------

SOLUTION = """
def pooled(maps):
    return maps.mean(dim=(2, 3))
"""


def reference():
    namespace = {}
    exec(SOLUTION, namespace)
    return namespace["pooled"]


def checked(answer):
    same_results(answer, reference(), (torch.arange(48.0).reshape(2, 3, 4, 2).sin(),))


def explained(answer):
    def made(source):
        namespace = {"torch": torch}
        exec(source, namespace)
        return namespace["pooled"]

    found = [
        *((slips.words(m.change, m.place), m.source) for m in mutants.mutants(SOLUTION)),
        *slips.further(SOLUTION),
    ]
    seen, right = (mistakes.seen_by(checked, given) for given in (answer, reference()))
    slips_made = (mistakes.Candidate(words, lambda s=source: made(s)) for words, source in found)
    calls = mistakes.calls_changed(reference(), right)
    return mistakes.explain(checked, reference, seen, right, slips_made, (), calls)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda x: F.adaptive_avg_pool2d(x, 1), "two axes of length 1 too many at the end"),
        (
            lambda x: torch.stack([image.sum((1, 2)) for image in x]),
            "the sum is taken, not the mean",
        ),
        (lambda x: x.relu().mean((2, 3)), "ReLU"),
        (lambda x: x.amax((2, 3)), "maximum"),
        (lambda x: x.mean(2), r"over the rows \(height\) only"),
        (lambda x: x.mean((2, 3))[0], "only the first"),
        (lambda x: 100 * x.mean((2, 3)), ""),
        (lambda x: x.mean((2, 3)) + 0.123 * x[:, :, 0, 0].sin(), ""),
    ],
)
def test_the_mistake_that_gives_the_same_is_named_and_no_other(answer, message):
    words = explained(answer)
    assert re.search(message, words) if message else not words


def test_the_search_ends():
    began = time.process_time()
    explained(lambda x: x.mean((2, 3)) + 0.123 * x[:, :, 0, 0].sin())
    assert time.process_time() - began < 3 * mistakes.SECONDS


def test_a_mistake_is_said_before_the_difference():
    item = engine.find("gap.4")

    def without_linear_layers_weights(features, weight, classes):
        return features.mean(dim=1)

    assert engine.evaluate("gap.4", item.reference()).outcome == "right"
    result = patiently("gap.4", without_linear_layers_weights)
    assert result.outcome == "wrong"
    quick = engine.evaluate("gap.4", without_linear_layers_weights, explain=False)
    assert result.message.endswith(quick.message)


CHANNELS = """
def total(modules, extra=2):
    return sum(one[1] + extra for one in modules)
"""


def test_an_index_a_default_and_a_product_are_named():
    found = {m.source: slips.words(m.change, m.place) for m in mutants.mutants(CHANNELS)}
    found |= {source: words for words, source in slips.further(CHANNELS)}

    def words(old: str, new: str) -> str:
        return found[ast.unparse(ast.parse(CHANNELS.replace(old, new)))]

    assert words("one[1]", "one[0]").startswith("`one[0]` is taken, not `one[1]`")
    assert words("extra=2", "extra=3") == "the default of `extra` is 3, not 2"
    assert words("one[1] + extra", "one[1] * extra").startswith("the parts are multiplied")
    assert words("for one in modules)", "for one in modules) / 2") == "the result is divided by two"


# --- what a message may say -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("a 4096 is a 4097 in `(4096 + 1) * 4096`", "a 4096 is a 4097"),
        ("a 1 is a 2 in `field, distance = (1, 1)`", ""),
        ("`break` takes the place of `size = size // 2`", ""),
        ("`padded` and `stride` have changed places", ""),
        ("`images` and `stride` have changed places", "`images` and `stride` have changed places"),
        ("the bias is missing (`nn.Linear(4, 3)`)", "the bias is missing (`nn.Linear(4, 3)`)"),
    ],
)
def test_code_of_the_solution_is_in_no_message(words, said):
    known = {"images", "stride", "nn", "Linear"}.__contains__
    assert slips.sayable(words, known) == said


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ([nn.ReLU()], r"\*layers.*with a star"),
        ((layer for layer in [nn.ReLU()]), "with a star"),
        (F.relu, r"`relu` is a function.*`nn\.ReLU\(\)`"),
        (nn.ReLU, r"`ReLU` is a class here.*`ReLU\(\)`"),
        (3, "no layer, of the type `int`"),
    ],
)
def test_what_is_no_layer_is_told_as_what_it_is(part, words):
    with pytest.raises(Wrong, match=words):
        call(lambda: nn.Sequential(part))


def test_weights_of_modules_that_differ_anyway_are_not_compared(monkeypatch):
    """To look for the partner of each parameter takes the most time of all."""
    compared = []
    monkeypatch.setattr(correspondence, "correspondence", lambda *_: compared.append(1))
    layers = [nn.Conv2d(3, 3, 3), nn.ReLU(), nn.Conv2d(3, 3, 3)]
    with pytest.raises(Wrong, match="other values for an input"):
        same_outputs(nn.Sequential(layers[0], layers[2]), nn.Sequential(*layers), (2, 3, 8, 8))
    assert not compared


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("torch.cat(torch.ones(2, 2), torch.ones(2, 2))", r"takes one list of tensors"),
        ("unknown_name", r"`unknown_name` has no value there.*`self\.`"),
        ("nn.BatchNorm2d(5)(torch.ones(2, 4, 3, 3))", "batch norm for 5 channels gets maps with 4"),
        ("1 if torch.ones(2) else 2", "gets a whole tensor"),
        ("torch.ones(2, 2).max(dim=0) / 2", r"`max\(dim=…\)` of torch gives two things"),
    ],
)
def test_what_python_and_torch_say_is_put_in_words(code, words):
    with pytest.raises(Wrong, match=words):
        call(lambda: eval(code))
