"""The photographs and filters of chapter 02: what is drawn is what is computed."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from utils import networks, results
from utils.pictures import alexnet as pictures
from utils.plotting.evidence import fields
from utils.topics import photos
from utils.topics.photos import Answer


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def drawn(axis):
    """The first picture of an axis."""
    return np.asarray(axis.images[0].get_array())


def titles(figure):
    return [axis.get_title() for axis in figure.axes if axis.get_visible()]


def bars(angle, pixels=55):
    """Light and dark bars (1, 3, pixels, pixels), as far apart as the stripes of a filter."""
    waves = torch.cos(2 * torch.pi * torch.arange(pixels) / 7)
    return (waves[:, None] if angle == 0 else waves[None]).expand(1, 3, pixels, pixels)


def test_a_filter_of_stripes_answers_to_stripes_of_its_direction_alone():
    for angle in (0, 90):
        kernel = pictures.stripes(angle)
        assert kernel.shape == (1, 3, 11, 11) and kernel.sum().abs() < 1e-5
        peak = {other: F.conv2d(bars(other), kernel).max() for other in (0, 90)}
        assert peak[angle] > 20 * peak[90 - angle].abs()
    turned = pictures.stripes(45)[0, 0]  # against the clock: from lower left to upper right
    assert turned[3, 7] > 0.5 * turned.max() > turned[3, 3]


def test_the_temple_is_a_photograph_of_the_size_asked_for():
    photograph = pictures.temple(227)
    assert photograph.shape == (3, 227, 227)
    assert 0 <= photograph.min() < 0.1 < 0.9 < photograph.max() <= 1
    assert (photograph[0] - photograph[2]).abs().mean() > 0.05  # red and blue differ


def test_pieces_are_drawn_beside_their_photograph():
    photograph = pictures.cat(256)
    assert photograph.shape == (3, 256, 256) and 0 <= photograph.min() < photograph.max() <= 1
    pieces = [photograph[:, :224, :224], photograph[:, 32:, 32:].flip(2)]
    figure = pictures.augmented(photograph, pieces)
    assert titles(figure) == ["256×256", "224×224", "224×224"]
    for axis, picture in zip(figure.axes, (photograph, *pieces)):
        np.testing.assert_allclose(drawn(axis), picture.permute(1, 2, 0))


def test_all_runs_are_drawn_and_equal_seeds_joined():
    loss, accuracy = pictures.on_new_images().axes
    conditions = results.load("alexnet.json")["regularisation"]["conditions"]
    for axis, part, factor in ((loss, "loss", 1), (accuracy, "accuracy", 100)):
        assert len(axis.lines) == 10  # for each seed a line, and its circles
        for number, line in enumerate(axis.lines):
            runs = [entry["runs"][number // 2] for entry in conditions.values()]
            expected = [factor * run[f"validation_{part}"] for run in runs]
            np.testing.assert_allclose(line.get_ydata(), expected)
            low, high = axis.get_ylim()
            assert low < min(expected) and max(expected) < high


def test_dropout_and_augmentation_lower_the_loss_from_every_seed_as_the_chapter_says():
    conditions = results.load("alexnet.json")["regularisation"]["conditions"]
    runs = {name: entry["runs"] for name, entry in conditions.items()}
    assert all([run["seed"] for run in part] == [0, 1, 2, 3, 4] for part in runs.values())
    for neither, dropout, augmentation, both in zip(*runs.values()):
        single = dropout["validation_loss"], augmentation["validation_loss"]
        assert both["validation_loss"] < min(single) and max(single) < neither["validation_loss"]
        assert both["validation_accuracy"] < neither["validation_accuracy"] - 0.01


def test_what_each_addition_brought_is_what_all_pairs_share():
    assert pictures.brought() == {"dropout": "lower loss", "augmentation": "lower loss"}


def test_a_guess_is_shown_beside_what_was_found():
    found = {"pixels": 195, "MACs": "36%"}
    expected = "pixels: 195 (your guess: 40)\nMACs: 36% (no guess yet)"
    for guesses in ({"pixels": 40, "MACs": ...}, {"pixels": 40, "other": "x"}):
        assert pictures.compared(guesses, found) == expected


def test_a_map_is_drawn_after_each_layer_beside_three_windows_of_the_filter():
    photograph, kernel = torch.rand(3, 227, 227), pictures.stripes(0)
    sides = {"conv1": 55, "pool1": 27, "pool2": 13, "pool5": 6}
    maps = {name: torch.rand(1, 1, side, side) for name, side in sides.items()}
    figure = pictures.on_its_way(photograph, kernel, maps, sees=195)
    assert titles(figure)[3:7] == [f"{name}: {side}×{side}" for name, side in sides.items()]
    plain, near, weights, *rest, whole = figure.axes
    np.testing.assert_allclose(drawn(plain), photograph.permute(1, 2, 0))
    top, left = pictures.CORNER
    np.testing.assert_allclose(drawn(near)[0, 0], photograph[:, top, left])
    corners = [patch.get_xy() for patch in near.patches]
    assert np.ptp(corners, axis=0).tolist() == [4, 4]  # the stride
    assert drawn(weights).shape == (11, 11, 3)
    np.testing.assert_allclose(drawn(rest[0]), maps["conv1"][0, 0])
    assert len(rest[3].patches) == len(whole.patches) == 1


def test_the_frame_is_what_the_unit_in_the_middle_of_the_last_map_sees():
    features, images = networks.build("alexnet_2012").features.double(), torch.rand(1, 3, 227, 227)
    *_, pool5 = fields(features, images, (3.5 / 6, 3.5 / 6))
    assert pool5.size == (195, 195) and pool5.rows == pool5.columns == (227 - 195, 227)


def test_grey_kernels_are_not_colourful():
    grey = torch.randn(1, 1, 3, 3).expand(1, 3, 3, 3)
    opponent = torch.tensor([1.0, -1, 0])[None, :, None, None].expand(1, 3, 3, 3)
    found = pictures.colourful(torch.cat([grey, opponent, grey + 0.1 * opponent]))
    assert found[0] < 1e-6 and found[1] == pytest.approx(1) and 0 < found[2] < 1


def test_filters_are_drawn_in_groups():
    groups = {"mine": torch.randn(20, 1, 5, 5), "theirs": torch.zeros(3, 3, 3, 3)}
    figure = pictures.first_filters(groups)
    shown = [axis for axis in figure.axes if axis.images]
    assert len(shown) == 23 and [part.get_suptitle() for part in figure.subfigs] == [*groups]
    assert (drawn(shown[-1]) == 0.5).all()  # zero is middle grey


def test_the_puzzle_shows_the_maps_in_another_order_until_it_is_solved():
    kernels, maps = torch.randn(64, 3, 3, 3), torch.rand(64, 9, 9)
    letters, numbers = list("ABCD"), [number for _, number in pictures.PUZZLE.values()]
    assert sorted(numbers) == [1, 2, 3, 4] and all(n != i for i, n in enumerate(numbers, start=1))
    for solved in (False, True):
        figure = pictures.puzzle(torch.rand(3, 9, 9), kernels, maps, solved=solved)
        order = numbers if solved else sorted(numbers)
        expected = [f"filter {name}" for name in letters] + [f"map {number}" for number in order]
        assert titles(figure) == ["the photograph", *expected]
        for axis in figure.axes[5:]:
            channel = {f"map {n}": c for c, n in pictures.PUZZLE.values()}[axis.get_title()]
            np.testing.assert_allclose(drawn(axis), maps[channel])
    assert pictures.matched(dict(zip(letters, numbers))) == "4 of 4 are right"
    assert pictures.matched({"A": numbers[0], "B": 9, "C": 9, "D": "x"}) == "1 of 4 are right"
    assert pictures.matched({"A": 1, "B": ..., "C": 3, "D": 4}) == "not matched yet"


def test_the_filters_of_the_puzzle_look_for_what_the_chapter_says():
    weight = networks.build("squeezenet", pretrained=True).features.conv1.weight.detach().flip(1)
    channel = {name: weight[number] for name, (number, _) in pictures.PUZZLE.items()}
    across, down = channel["A"].mean(0), channel["C"].mean(0)
    assert across[:, 2].sum() > 0 > across[:, 0].sum()  # dark on the left, light on the right
    assert down[0].sum() > 0 > down[2].sum()  # light above dark
    red, green, blue = channel["B"].sum((1, 2))
    assert green > 0 > red + blue
    red, green, blue = channel["D"].sum((1, 2))
    assert red > 0 > green


def test_switching_off_filters_does_what_the_chapter_says():
    weight = networks.build("squeezenet", pretrained=True).features.conv1.weight.detach()
    order = pictures.colourful(weight.flip(1)).argsort()
    first = []
    for off in (order[:0], order[32:], order[:32]):  # none, the most colourful, the greyest
        network = networks.build("squeezenet", pretrained=True)
        with torch.no_grad():
            network.features.conv1.weight[off] = 0
            network.features.conv1.bias[off] = 0
        names = ("chelsea", "coffee", "flower")
        answers = [photos.answers(network, photos.example(name), best=1)[0] for name in names]
        first.append([answer.name for answer in answers])
    assert first == [
        ["Egyptian cat", "espresso", "brain coral"],
        ["Egyptian cat", "espresso", "golf ball"],
        ["goldfish", "consomme", "jellyfish"],
    ]


def test_answers_are_written_below_their_photographs():
    given = {"all": ["a", "b"], "half": ["c", "d"]}
    answers = {when: [Answer(0, name, 0.5) for name in names] for when, names in given.items()}
    figure = pictures.named(["chelsea", "coffee"], answers)
    assert [axis.get_xlabel() for axis in figure.axes] == ["all:\na\nhalf:\nc", "all:\nb\nhalf:\nd"]
