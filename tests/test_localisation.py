"""utils.topics.localisation against torchvision, captum and small cases by hand."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torchvision.ops import box_iou

from utils import data
from utils.topics import localisation


@pytest.fixture(scope="module")
def garments():
    raw = data.read_raw()
    return raw["train_images"][:60], raw["train_labels"][:60]


@pytest.fixture(scope="module")
def canvases(garments):
    return localisation.make_canvases(*garments, seed=3)


def random_boxes(count, generator):
    corners = torch.randint(0, 64, (2, count, 2), generator=generator).sort(dim=0).values
    return torch.cat([corners[0], corners[1] + 1], dim=1)


class TestCanvases:
    def test_shapes_and_types(self, canvases, garments):
        assert canvases.images.shape == (60, 1, 64, 64) and canvases.images.dtype == torch.uint8
        assert canvases.boxes.shape == (60, 4) and canvases.boxes.dtype == torch.int64
        assert torch.equal(canvases.labels, garments[1])

    def test_each_garment_is_whole_and_in_its_box(self, garments):
        images, labels = garments
        found = localisation.make_canvases(images, labels, pieces=0, noise=0, seed=3)
        for image, canvas, box in zip(images, found.images, found.boxes):
            left, top, right, bottom = box.tolist()
            ink = torch.where(image > localisation.INK, image, 0)
            rows, columns = ink[0].any(dim=1).nonzero(), ink[0].any(dim=0).nonzero()
            cut = ink[0, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
            assert torch.equal(canvas[0, top:bottom, left:right], cut)
            assert canvas.long().sum() == ink.long().sum()  # and nothing outside the box

    def test_pieces_change_nothing_inside_the_box(self, garments):
        options = dict(noise=0, seed=3)
        alone = localisation.make_canvases(*garments, pieces=0, **options)
        # The places are drawn from one stream, so only the first canvas is at the same place.
        among = localisation.make_canvases(*garments, pieces=20, **options)
        left, top, right, bottom = alone.boxes[0].tolist()
        assert torch.equal(alone.boxes[0], among.boxes[0])
        inside = (0, slice(top, bottom), slice(left, right))
        assert torch.equal(alone.images[0][inside], among.images[0][inside])
        assert (among.images > localisation.INK).sum() > 1.5 * (alone.images > 25).sum()

    def test_pieces_are_cut_from_other_garments(self):
        images = torch.zeros(2, 1, 28, 28, dtype=torch.uint8)
        images[0, 0, 8:20, 8:20], images[1] = 100, 200
        one = localisation.make_canvases(images, torch.zeros(2), noise=0, pieces=1, seed=0)
        assert one.images[0].unique().tolist() == [0, 100, 200]
        assert (one.images[0] == 200).sum() == localisation.PIECE**2

    def test_noise_is_faint(self, garments):
        quiet = localisation.make_canvases(*garments, pieces=0, noise=0)
        noisy = localisation.make_canvases(*garments, pieces=0, noise=32)
        difference = noisy.images[0].long() - quiet.images[0].long()
        assert difference.min() >= 0 and difference.max() == 32
        assert 14 < difference.float().mean() < 18

    def test_places_are_all_over(self, canvases):
        assert canvases.boxes[:, :2].min() < 12 and canvases.boxes[:, 2:].max() > 52
        assert canvases.boxes.min() >= 0 and canvases.boxes.max() <= 64

    def test_equal_seeds_give_equal_canvases(self, canvases, garments):
        again = localisation.make_canvases(*garments, seed=3)
        assert torch.equal(again.images, canvases.images)
        assert torch.equal(again.boxes, canvases.boxes)
        other = localisation.make_canvases(*garments, seed=4)
        assert not torch.equal(other.images, canvases.images)

    def test_errors_say_what_to_do(self, garments):
        with pytest.raises(ValueError, match=r"at least 38 .* but is 37"):
            localisation.make_canvases(*garments, size=37)
        with pytest.raises(ValueError, match="at least two images"):
            localisation.make_canvases(garments[0][:1], garments[1][:1])

    def test_load_keeps_the_sets_apart(self):
        sizes = dict(train_images=200, validation_images=100, test_images=50)
        splits = localisation.load(**sizes, batch_size=20, device="cpu")
        lengths = [len(part.labels) for part in (splits.train, splits.validation, splits.test)]
        assert lengths == [200, 100, 50]
        assert splits.validation_boxes.shape == (100, 4) and splits.test_boxes.shape == (50, 4)
        known = data.load(**sizes, device="cpu")
        assert torch.equal(splits.test.labels, known.test.labels)
        own = localisation.make_canvases(known.test.images, known.test.labels, seed=2)
        assert torch.equal(splits.test.images, own.images)
        again = localisation.load(**sizes, batch_size=20, device="cpu", seed=5)
        assert torch.equal(splits.train.images, again.train.images)
        first, other = next(iter(splits.train))[1], next(iter(again.train))[1]
        assert not torch.equal(first, other)

    def test_statistics_are_those_of_the_canvases(self):
        splits = localisation.load(train_images=2_000, validation_images=100, test_images=50)
        images = next(iter(data.Batches(splits.train.images, splits.train.labels, batch_size=2000)))
        pixels = images[0].cpu()
        (mean,), (std,) = localisation.STATISTICS
        assert abs(pixels.mean() - mean) < 0.01 and abs(pixels.std() - std) < 0.01


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return localisation.network().eval()


class TestClassMap:
    def test_mean_of_the_map_and_bias_is_the_logit(self, model):
        images = torch.randn(3, 1, 64, 64)
        logits = model(images)
        for label in range(10):
            maps = localisation.class_map(
                model.features(images), model.linear.weight, torch.full((3,), label)
            )
            assert maps.shape == (3, 16, 16)
            own = maps.mean(dim=(1, 2)) + model.linear.bias[label]
            assert torch.allclose(own, logits[:, label], atol=1e-5)

    def test_it_is_the_gradient_map_of_captum(self, model):
        """Behind global average pooling Grad-CAM is the class map divided by H x W."""
        captum = pytest.importorskip("captum.attr", reason="captum is not installed")
        images = torch.randn(2, 1, 64, 64)
        for classes in (torch.tensor([1, 7]), torch.tensor([3, 3])):
            grad_cam = captum.LayerGradCam(model, model.features)
            theirs = grad_cam.attribute(images, target=classes, relu_attributions=False)[:, 0]
            ours = localisation.class_map(model.features(images), model.linear.weight, classes)
            assert torch.allclose(theirs * 256, ours, atol=1e-5)

    def test_it_is_the_gradient_map(self, model):
        """The same without captum: weights are the mean gradients of the logit."""
        images = torch.randn(2, 1, 64, 64)
        features = model.features(images).detach().requires_grad_()
        logits = model.linear(model.flatten(model.pool(features)))
        (gradient,) = torch.autograd.grad(logits[:, 4].sum(), features)
        theirs = (gradient.sum(dim=(2, 3), keepdim=True) * features).sum(dim=1)
        ours = localisation.class_map(features, model.linear.weight, torch.tensor([4, 4]))
        assert torch.allclose(theirs, ours, atol=1e-5)

    def test_predicted_maps(self, model):
        canvases = data.Batches(
            torch.randint(0, 256, (5, 1, 64, 64), dtype=torch.uint8),
            torch.zeros(5, dtype=torch.int64),
            batch_size=2,
            mean=(0.3,),
            std=(0.3,),
        )
        in_training = copy.deepcopy(model).train()
        maps, classes = localisation.predicted_maps(in_training, canvases)
        assert not in_training.training
        images = torch.cat([images.cpu() for images, _ in canvases])
        assert torch.equal(classes, model(images).argmax(dim=1))
        small = localisation.class_map(model.features(images), model.linear.weight, classes)
        assert torch.allclose(maps, localisation.enlarge(small, 64), atol=1e-5)

    @pytest.mark.parametrize(("pooling", "function"), [("average", "avg"), ("max", "max")])
    def test_network_pools_as_asked(self, pooling, function):
        model = localisation.network(pooling).eval()
        images = torch.randn(2, 1, 30, 44)
        pooled = getattr(F, f"adaptive_{function}_pool2d")(model.features(images), 1)
        assert torch.allclose(model(images), model.linear(pooled.flatten(1)))
        with pytest.raises(ValueError, match="sum"):
            localisation.network("sum")


class TestBoxes:
    def test_iou_is_torchvisions(self):
        generator = torch.Generator().manual_seed(0)
        first, second = random_boxes(200, generator), random_boxes(200, generator)
        theirs = box_iou(first.float(), second.float()).diagonal()
        assert torch.allclose(localisation.iou(first, second), theirs)
        assert (theirs == 0).any() and (theirs > 0.3).any()

    def test_box_around(self):
        inside = torch.zeros(5, 7, dtype=torch.bool).numpy()
        assert localisation.box_around(inside) == (0, 0, 7, 5)
        inside[1, 2] = inside[3, 4] = True
        assert localisation.box_around(inside) == (2, 1, 5, 4)

    def test_the_largest_part_counts_not_the_highest(self):
        one = torch.zeros(8, 8)
        one[0, 0] = 10.0
        one[3:6, 2:7] = 3.0
        assert localisation.box_from_map(one) == (2, 3, 7, 6)
        assert localisation.box_from_map(one, threshold=0.5) == (0, 0, 1, 1)

    def test_corners_do_not_connect(self):
        one = torch.eye(4)
        one[3, 2] = 1.0
        assert localisation.box_from_map(one) == (2, 2, 4, 4)

    def test_a_map_without_positive_values_gives_all_of_it(self):
        assert localisation.box_from_map(torch.full((4, 6), -1.0)) == (0, 0, 6, 4)
        assert localisation.box_from_map(torch.zeros(4, 6)) == (0, 0, 6, 4)

    def test_pointing(self):
        maps = torch.zeros(3, 4, 6)
        maps[0, 1, 2] = maps[1, 1, 2] = maps[2, 3, 5] = 1.0
        boxes = torch.tensor([[2, 1, 3, 2], [0, 0, 2, 4], [5, 3, 6, 4]])
        assert localisation.pointing(maps, boxes).tolist() == [True, False, True]

    def test_pointing_takes_the_topmost_of_equal_values(self):
        maps = torch.zeros(2, 4, 6)
        maps[:, 1, 4] = maps[:, 2, 0] = maps[:, 1, 5] = 1.0
        boxes = torch.tensor([[4, 1, 5, 2], [0, 2, 1, 3]])
        assert localisation.pointing(maps, boxes).tolist() == [True, False]


class TestWithoutNetwork:
    def test_centre(self):
        one = localisation.centre_map(2, size=64, side=28)
        assert localisation.boxes_from_maps(one).tolist() == [[18, 18, 46, 46]] * 2

    def test_brightness(self, canvases):
        found = localisation.brightness_map(canvases.images)
        assert torch.equal(found, canvases.images[:, 0].float())
        blurred = localisation.brightness_map(canvases.images, blur=5)
        own = canvases.images[7, 0, 10:15, 20:25].float().mean()
        assert torch.allclose(blurred[7, 12, 22], own)

    def test_random(self):
        one = localisation.random_map(4, seed=1)
        assert one.shape == (4, 64, 64) and torch.equal(one, localisation.random_map(4, seed=1))
        assert not torch.equal(one, localisation.random_map(4, seed=2))
