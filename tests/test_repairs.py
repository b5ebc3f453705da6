"""The one change that makes a module right, and other words for mistakes."""

import re

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from exercises import compare, repairs


class Block(nn.Module):
    """conv, norm, ReLU, conv, norm, plus what came in, ReLU; the options are mistakes."""

    def __init__(self, size=3, eps=1e-5, extra=None, join=torch.add, between=torch.relu, **options):
        super().__init__()
        padding = options.pop("padding", size // 2)
        self.conv1 = nn.Conv2d(4, 4, size, padding=padding, **({"bias": False} | options))
        self.norm1 = nn.BatchNorm2d(4, eps=eps)
        self.conv2 = nn.Conv2d(4, 4, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(4)
        self.extra = extra or nn.Identity()
        self.join, self.between = join, between

    def forward(self, maps):
        branch = self.between(self.norm1(self.conv1(maps)))
        return self.join(self.extra(self.norm2(self.conv2(branch))), maps).relu()


def said(module, right=None):
    torch.manual_seed(0)
    return repairs.explain(module, right or Block(), [(3, 4, 6, 6), (2, 4, 5, 7)])


@pytest.mark.parametrize(
    "module, words",
    [
        (Block(padding=0), r"`self.conv1`.* should have padding 1, not 0"),
        (Block(size=1), r"should be 3×3, not 1×1, and have padding 1, not 0"),
        (Block(bias=True), r"`self.conv1`.* should have no bias"),
        (Block(eps=1e-2), r"should have eps 1e-05, not 0.01"),
        (Block(extra=nn.Dropout(0.3)), r"a dropout .* is too many"),
        (Block(extra=nn.ReLU()), r"there is a ReLU too many: the second ReLU"),
        (Block(between=torch.sigmoid), r"there is a sigmoid where a ReLU is right"),
        (Block(between=lambda x: x), r"ReLU is missing: one belongs after the first batch norm"),
        (Block(join=torch.sub), r"subtracted where they have to be added"),
        (
            Block(join=lambda z, x: torch.cat([z, x], 1)),
            r"concatenated where they have to be added",
        ),
        (Block(join=lambda z, x: z), r"the input is not added after .*: the shortcut is missing"),
    ],
)
def test_the_change_that_makes_a_module_right_is_named(module, words):
    assert re.search(words, said(module)), said(module)


@pytest.mark.parametrize(
    "activation, words",
    [
        (torch.relu, r"there is a ReLU where a ReLU6 is right"),
        (lambda x: x, r"a ReLU6 is missing: one belongs after the batch norm"),
        (torch.sigmoid, r"there is a sigmoid where a ReLU6 is right"),
    ],
)
def test_the_activation_of_the_right_module_is_named(activation, words):
    class Cell(nn.Module):
        def __init__(self, activation):
            super().__init__()
            self.conv, self.norm = nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)
            self.activation = activation
            nn.init.constant_(self.norm.weight, 9.0)  # so that many values are above 6

        def forward(self, maps):
            return self.activation(self.norm(self.conv(maps)))

    wrong, right = Cell(activation), Cell(F.relu6)
    assert re.search(words, said(wrong, right)), said(wrong, right)


def test_nothing_is_said_of_a_module_with_two_strange_mistakes():
    assert said(Block(join=lambda z, x: (z * 3).sin() + x.flip(-1))) == ""


def test_infinite_numbers_are_only_close_to_themselves():
    infinite = torch.tensor([float("-inf"), 1.0])
    assert not compare.close(torch.zeros(2), infinite)
    assert compare.close(infinite, infinite)


def test_two_slips_in_a_number_are_named_and_ambiguous_pairs_are_not():
    def count(a=2, b=3, c=10):
        return a * b + c

    found = compare.combined(count, a={4: "A."}, b={5: "B."}, c={0: "C."})
    assert found[4 * 5 + 10] == "A. B." and found[4 * 3] == "A. C." and count() not in found
    same = compare.combined(count, a={3: "A."}, c={13: "C."})
    assert same[19] == "A. Or, which is the same: C."


def test_arguments_in_another_order_are_told():
    def right(maps, count, stride=2):
        return maps[::stride] * count

    def wrong(maps, stride=2, count=3):
        return right(maps, count, stride)

    with pytest.raises(compare.Wrong, match="in the order `maps`, `stride`, `count`"):
        compare.same_results(wrong, right, (torch.arange(6.0), 5))


def test_a_number_comes_from_an_argument_only_where_that_is_likely():
    made = {"in_channels": 3, "one": 5, "widths": (7, 9), "stride": 2}
    assert repairs._origin(7, made) == " (the argument `widths[0]`)"
    assert repairs._origin(6, made) == " (2 * in_channels = 6)"
    assert not repairs._origin(2, made)  # too many things are two
    strided = nn.Conv2d(3, 7, 3, stride=2, padding=5)
    words = repairs._setting(nn.Conv2d(3, 7, 3), strided, made)
    assert words == "should have stride 2 (the argument `stride`), not 1, and have padding 5, not 0"
