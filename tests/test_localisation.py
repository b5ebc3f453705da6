"""utils.topics.localisation against torchvision, captum and small cases by hand."""

import copy

import pytest
import torch
from captum.attr import LayerGradCam
from torch.nn import functional
from torchvision.ops import box_iou

from utils import data
from utils.topics import localisation
from utils.topics.localisation import box_around, box_from_map, class_map, make_canvases, pointing


@pytest.fixture(scope="module")
def garments():
    raw = data.read_raw()
    return raw["train_images"][:60], raw["train_labels"][:60]


@pytest.fixture(scope="module")
def canvases(garments):
    return make_canvases(*garments, seed=3)


# --- canvases -------------------------------------------------------------------------------------


def test_shapes_types_and_places(canvases, garments):
    assert canvases.images.shape == (60, 1, 64, 64) and canvases.images.dtype == torch.uint8
    assert canvases.boxes.shape == (60, 4) and canvases.boxes.dtype == torch.int64
    assert torch.equal(canvases.labels, garments[1])
    assert canvases.boxes.min() >= 0 and canvases.boxes.max() <= 64
    assert canvases.boxes[:, :2].min() < 12 and canvases.boxes[:, 2:].max() > 52  # all over


def test_each_garment_is_whole_and_in_its_box(garments):
    images, labels = garments
    alone = make_canvases(images, labels, pieces=0, noise=0, seed=3)
    for image, canvas, (left, top, right, bottom) in zip(images, alone.images, alone.boxes):
        ink = torch.where(image > localisation.INK, image, 0)
        rows, columns = ink[0].any(dim=1).nonzero(), ink[0].any(dim=0).nonzero()
        cut = ink[0, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        assert torch.equal(canvas[0, top:bottom, left:right], cut)
        assert canvas.long().sum() == ink.long().sum()  # and nothing outside the box


def test_pieces_change_nothing_inside_the_box(garments):
    alone = make_canvases(*garments, pieces=0, noise=0, seed=3)
    # The places are drawn from one stream, so only the first canvas is at the same place.
    among = make_canvases(*garments, pieces=20, noise=0, seed=3)
    assert torch.equal(alone.boxes[0], among.boxes[0])
    left, top, right, bottom = alone.boxes[0]
    inside = (0, slice(top, bottom), slice(left, right))
    assert torch.equal(alone.images[0][inside], among.images[0][inside])
    assert (among.images > localisation.INK).sum() > 1.5 * (alone.images > 25).sum()


def test_pieces_are_cut_from_other_garments():
    images = torch.zeros(2, 1, 28, 28, dtype=torch.uint8)
    images[0, 0, 8:20, 8:20], images[1] = 100, 200
    canvas = make_canvases(images, torch.zeros(2), noise=0, pieces=1, seed=0).images[0]
    assert canvas.unique().tolist() == [0, 100, 200]
    assert (canvas == 200).sum() == localisation.PIECE**2


def test_noise_is_faint(garments):
    quiet, noisy = (make_canvases(*garments, pieces=0, noise=noise) for noise in (0, 32))
    difference = noisy.images[0].long() - quiet.images[0].long()
    assert difference.min() >= 0 and difference.max() == 32
    assert 14 < difference.float().mean() < 18


def test_equal_seeds_give_equal_canvases(canvases, garments):
    again, other = (make_canvases(*garments, seed=seed) for seed in (3, 4))
    assert torch.equal(again.images, canvases.images) and torch.equal(again.boxes, canvases.boxes)
    assert not torch.equal(other.images, canvases.images)


def test_errors_say_what_to_do(garments):
    with pytest.raises(ValueError, match=r"at least 38 .* but is 37"):
        make_canvases(*garments, size=37)
    with pytest.raises(ValueError, match="at least two images"):
        make_canvases(garments[0][:1], garments[1][:1])


def test_load_keeps_the_sets_apart():
    sizes = dict(train_images=200, validation_images=100, test_images=50)
    splits = localisation.load(**sizes, batch_size=20, device="cpu")
    parts = (splits.train, splits.validation, splits.test)
    assert [len(part.labels) for part in parts] == [200, 100, 50]
    assert splits.validation_boxes.shape == (100, 4) and splits.test_boxes.shape == (50, 4)
    known = data.load(**sizes, device="cpu").test
    assert torch.equal(splits.test.labels, known.labels)
    assert torch.equal(splits.test.images, make_canvases(known.images, known.labels, seed=2).images)
    again = localisation.load(**sizes, batch_size=20, device="cpu", seed=5)
    assert torch.equal(splits.train.images, again.train.images)
    assert not torch.equal(next(iter(splits.train))[1], next(iter(again.train))[1])


def test_statistics_are_those_of_the_canvases():
    splits = localisation.load(train_images=2_000, validation_images=100, test_images=50)
    pixels = splits.train.images.cpu() / 255
    (mean,), (std,) = localisation.STATISTICS
    assert abs(pixels.mean() - mean) < 0.01 and abs(pixels.std() - std) < 0.01


# --- maps -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return localisation.network().eval()


def test_mean_of_the_map_and_bias_is_the_logit(model):
    images = torch.randn(3, 1, 64, 64)
    for label in range(10):
        classes = torch.full((3,), label)
        maps = class_map(model.features(images), model.linear.weight, classes)
        assert maps.shape == (3, 16, 16)
        own = maps.mean(dim=(1, 2)) + model.linear.bias[label]
        assert torch.allclose(own, model(images)[:, label], atol=1e-5)


def test_it_is_the_gradient_map_of_captum(model):
    """Behind global average pooling Grad-CAM is the class map divided by H x W."""
    images = torch.randn(2, 1, 64, 64)
    for classes in (torch.tensor([1, 7]), torch.tensor([3, 3])):
        grad_cam = LayerGradCam(model, model.features)
        theirs = grad_cam.attribute(images, target=classes, relu_attributions=False)[:, 0]
        ours = class_map(model.features(images), model.linear.weight, classes)
        assert torch.allclose(theirs * 256, ours, atol=1e-5)


def test_predicted_maps(model):
    pixels = torch.randint(0, 256, (5, 1, 64, 64), dtype=torch.uint8)
    batches = data.Batches(pixels, torch.zeros(5).long(), batch_size=2, mean=(0.3,), std=(0.3,))
    in_training = copy.deepcopy(model).train()
    maps, classes = localisation.predicted_maps(in_training, batches)
    assert not in_training.training
    images = torch.cat([images.cpu() for images, _ in batches])
    assert torch.equal(classes, model(images).argmax(dim=1))
    small = class_map(model.features(images), model.linear.weight, classes)
    assert torch.allclose(maps, localisation.enlarge(small, 64), atol=1e-5)


@pytest.mark.parametrize(("pooling", "function"), [("average", "avg"), ("max", "max")])
def test_network_pools_as_asked(pooling, function):
    model = localisation.network(pooling).eval()
    images = torch.randn(2, 1, 30, 44)
    pooled = getattr(functional, f"adaptive_{function}_pool2d")(model.features(images), 1)
    assert torch.allclose(model(images), model.linear(pooled.flatten(1)))
    with pytest.raises(ValueError, match="sum"):
        localisation.network("sum")


# --- boxes ----------------------------------------------------------------------------------------


def test_iou_is_torchvisions():
    corners = torch.randint(0, 64, (2, 2, 200, 2), generator=torch.Generator().manual_seed(0))
    low, high = corners.sort(dim=0).values
    first, second = torch.cat([low, high + 1], dim=-1)
    theirs = box_iou(first.float(), second.float()).diagonal()
    assert torch.allclose(localisation.iou(first, second), theirs)
    assert (theirs == 0).any() and (theirs > 0.3).any()


def test_box_around():
    inside = torch.zeros(5, 7, dtype=torch.bool).numpy()
    assert box_around(inside) == (0, 0, 7, 5)
    inside[1, 2] = inside[3, 4] = True
    assert box_around(inside) == (2, 1, 5, 4)


def test_box_from_map():
    values = torch.zeros(8, 8)
    values[0, 0], values[3:6, 2:7] = 10.0, 3.0
    assert box_from_map(values) == (2, 3, 7, 6), "the largest part, not the highest"
    assert box_from_map(values, threshold=0.5) == (0, 0, 1, 1)
    values = torch.eye(4)
    values[3, 2] = 1.0
    assert box_from_map(values) == (2, 2, 4, 4), "corners do not connect"
    for values in (torch.full((4, 6), -1.0), torch.zeros(4, 6)):
        assert box_from_map(values) == (0, 0, 6, 4), "nothing is positive"


def test_pointing():
    maps = torch.zeros(3, 4, 6)
    maps[0, 1, 2] = maps[1, 1, 2] = maps[2, 3, 5] = 1.0
    boxes = torch.tensor([[2, 1, 3, 2], [0, 0, 2, 4], [5, 3, 6, 4]])
    assert pointing(maps, boxes).tolist() == [1, 0, 1]
    maps = torch.zeros(2, 4, 6)
    maps[:, 1, 4] = maps[:, 2, 0] = maps[:, 1, 5] = 1.0
    boxes = torch.tensor([[4, 1, 5, 2], [0, 2, 1, 3]])
    assert pointing(maps, boxes).tolist() == pytest.approx([1 / 3] * 2), "one of three equal values"


def test_maps_without_a_network(canvases):
    centre = localisation.centre_map(2, size=64, side=28)
    assert localisation.boxes_from_maps(centre).tolist() == [[18, 18, 46, 46]] * 2
    brightness = localisation.brightness_map(canvases.images)
    assert torch.equal(brightness, canvases.images[:, 0].float())
    blurred = localisation.brightness_map(canvases.images, blur=5)
    assert torch.allclose(blurred[7, 12, 22], canvases.images[7, 0, 10:15, 20:25].float().mean())
    first, again, other = (localisation.random_map(4, seed=seed) for seed in (1, 1, 2))
    assert first.shape == (4, 64, 64) and torch.equal(first, again)
    assert not torch.equal(first, other)
    left_half = torch.tensor([[0, 0, 32, 64]]).expand(1000, 4)
    share = pointing(localisation.random_map(1000), left_half).mean()
    assert 0.4 < share < 0.6, "the highest place of a random map is anywhere"


# --- small garments -------------------------------------------------------------------------------


def test_small_garments_move_and_lose_nothing():
    batches = data.load(device="cpu", validation_images=50, test_images=10).validation
    middle = localisation.small_garments(batches)
    right = localisation.small_garments(batches, right=4)
    assert middle.images.shape == batches.images.shape and middle.images.dtype == torch.uint8
    assert torch.equal(right.images[..., 4:], middle.images[..., :-4])
    assert middle.images[..., :4].max() == 0 and middle.images[..., -4:].max() == 0
    assert torch.equal(middle.labels, batches.labels)
    with pytest.raises(ValueError, match="from -4 to 4"):
        localisation.small_garments(batches, right=5)


def test_examples_are_six_classes_in_their_order():
    validation = data.load(device="cpu", train_images=10, test_images=10).validation
    shown = localisation.examples(validation.images, validation.labels)
    assert shown.labels.tolist() == [0, 1, 5, 7, 8, 9]


# --- covering -------------------------------------------------------------------------------------


def test_a_square_on_the_peak_is_whole():
    maps = torch.zeros(4, 20, 30)
    for index, place in enumerate([(10, 15), (0, 0), (19, 29), (3, 27)]):
        maps[index][place] = 1
    squares = localisation.square_on_peak(maps, side=7)
    assert squares.tolist() == [[12, 7, 19, 14], [0, 0, 7, 7], [23, 13, 30, 20], [23, 0, 30, 7]]


def test_covered_is_black_inside_and_the_same_outside(canvases):
    boxes = torch.tensor([[3, 5, 9, 20]]).expand(60, 4)
    black = localisation.covered(canvases.images, boxes)
    assert black[:, :, 5:20, 3:9].max() == 0
    assert (black != canvases.images)[:, :, 5:20, 3:9].any()
    same = black == canvases.images
    same[:, :, 5:20, 3:9] = True
    assert same.all()


def test_the_other_square_is_as_bright_whole_and_elsewhere(canvases):
    squares = localisation.square_on_peak(localisation.brightness_map(canvases.images, 9))
    others = localisation.as_bright_elsewhere(canvases.images, squares, canvases.boxes)
    assert others.min() >= 0 and others.max() <= 64
    assert (others[:, 2:] - others[:, :2] == localisation.SQUARE).all()
    assert localisation.iou(others, squares).max() == 0
    assert (localisation.iou(others, canvases.boxes) == 0).float().mean() > 0.9
    sums = [
        [int(image[0, t:b, le:r].sum()) for image, (le, t, r, b) in zip(canvases.images, boxes)]
        for boxes in (squares, others)
    ]
    first, second = torch.tensor(sums) / localisation.SQUARE**2
    assert (first - second).abs().median() < 2  # of 255


def test_the_other_square_on_the_garment_is_inside_its_box(canvases):
    squares = localisation.square_on_peak(localisation.brightness_map(canvases.images, 7), side=7)
    boxes = canvases.boxes
    others = localisation.as_bright_elsewhere(canvases.images, squares, boxes, on_garment=True)
    assert localisation.iou(others, squares).max() == 0
    inside = (others[:, :2] >= boxes[:, :2]) & (others[:, 2:] <= boxes[:, 2:])
    assert inside.all(dim=1).float().mean() > 0.9
    beside = localisation.as_bright_elsewhere(canvases.images, squares, boxes)
    assert (others != beside).any(dim=1).all()


def test_the_other_square_is_the_most_equal_one():
    images = torch.zeros(1, 1, 64, 64, dtype=torch.uint8)
    images[0, 0, 0:17, 0:17] = 100
    images[0, 0, 40:57, 3:20] = 130
    images[0, 0, 40:57, 40:57] = 90
    square, garment = torch.tensor([[0, 0, 17, 17]]), torch.tensor([[38, 38, 60, 60]])
    other = localisation.as_bright_elsewhere(images, square, garment)
    left, top, right, bottom = other[0].tolist()
    assert abs(float(images[0, 0, top:bottom, left:right].float().mean()) - 100) < 3
    assert right <= 38  # not on the garment, though that is nearer to 100
