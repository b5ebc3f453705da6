"""The rule of chapter 10: one sign with every seed, and a median outside the band."""

import math

import pytest
import torch

from utils.topics import verdicts


def answers(right, images=1000):
    """Right on the first so many images."""
    return torch.arange(images) < right


def test_it_counts_d_and_the_band_from_right_and_wrong():
    first = [answers(900), answers(910)]
    second = [answers(860), answers(850)]
    found = verdicts.judge(first, second)
    assert found.leads == pytest.approx([4, 6])
    assert found.d == pytest.approx(0.05)  # 40 and 60 of 1,000
    assert found.band == pytest.approx(200 * math.sqrt(0.05 / 1000))
    assert found.signs == "++" and found.words == "the first is better"
    assert verdicts.judge(second, first).words == "the second is better"


def test_accuracies_give_the_same_with_d_and_images():
    first, second = [answers(900), answers(910)], [answers(860), answers(850)]
    counted = verdicts.judge(first, second)
    given = verdicts.judge([0.90, 0.91], [0.86, 0.85], d=counted.d, images=1000)
    assert str(given) == str(counted)


@pytest.mark.parametrize(
    ("second", "words"),
    [
        ([0.88, 0.88, 0.88], "the first is better"),
        ([0.899, 0.898, 0.897], "not shown, inside the band"),
        ([0.88, 0.88, 0.91], "not shown, signs differ"),
        ([0.90, 0.88, 0.88], "not shown, signs differ"),  # no lead is no sign
        ([0.899, 0.901, 0.9], "not shown, signs differ and inside the band"),
        ([0.92, 0.93, 0.92], "the second is better"),
    ],
)
def test_the_verdict(second, words):
    assert verdicts.judge([0.9] * 3, second, d=0.06, images=5000).words == words


def test_more_pairs_widen_the_band():
    runs = ([0.9] * 5, [0.892] * 5)
    one, ten = (verdicts.judge(*runs, d=0.06, images=5000, pairs=pairs) for pairs in (1, 10))
    assert one.band == pytest.approx(200 * math.sqrt(0.06 / 5000))
    assert ten.band == pytest.approx(0.97, abs=0.005)
    assert one.words == "the first is better" and ten.words == "not shown, inside the band"


def test_both_kinds_of_luck_add_up_as_squares():
    found = verdicts.judge([0.92, 0.93, 0.94], [0.9] * 3, d=0.06, images=5000)
    assert found.both == pytest.approx(math.hypot(found.band, 2 / math.sqrt(3)))
    one = verdicts.judge([0.92], [0.9], d=0.06, images=5000)
    assert math.isnan(one.both) and one.words == "the first is better, with one seed"


def test_runs_that_do_not_belong_together_are_refused():
    with pytest.raises(ValueError, match="shape"):
        verdicts.judge([answers(900)], [answers(900), answers(910)])
    with pytest.raises(ValueError, match="d and images"):
        verdicts.judge([0.9, 0.9], [0.8, 0.8])
    with pytest.raises(ValueError, match="seeds, images"):
        verdicts.judge([answers(900)], [answers(910, images=2000)[:900]])
    with pytest.raises(ValueError, match="d and images"):
        verdicts.judge([0.9, 0.9], [0.8, 0.8], d=0.06)
