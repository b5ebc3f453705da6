"""Transfer: what is drawn, what is trained, and that a new head learns."""

import torch

from utils import training
from utils.networks import pretrained
from utils.topics import transfer


def test_images_are_ten_of_each_class_and_never_those_of_the_test():
    images, labels, test_images, test_labels = transfer.drawn(0, test_images=200)
    assert images.shape == (100, 1, 28, 28) and test_images.shape == (200, 1, 28, 28)
    assert labels.bincount().tolist() == [10] * 10
    seen = {image.numpy().tobytes() for image in test_images}
    assert not any(image.numpy().tobytes() in seen for image in images)
    again, other = transfer.drawn(0, test_images=200)[0], transfer.drawn(1, test_images=200)
    assert torch.equal(images, again) and not torch.equal(images, other[0])
    assert torch.equal(test_labels, other[3])


def test_grey_garments_reach_squeezenet_as_photographs_do():
    """Three equal channels, and each loses the mean of its colour."""
    torch.manual_seed(0)
    model = transfer.Transferred().eval()
    images = torch.randint(0, 256, (2, 1, 64, 64), dtype=torch.uint8)
    prepare = pretrained.Preprocessing(64, pretrained.STORED["squeezenet"].mean, bgr=True)
    wanted = model.features(prepare(images.expand(-1, 3, -1, -1))).mean(dim=(2, 3))
    assert torch.allclose(model.averages(images.float()), wanted, rtol=1e-4, atol=1e-3)


def test_a_new_head_learns_and_the_rest_stays():
    images, labels, test_images, test_labels = transfer.drawn(0, test_images=100)
    torch.manual_seed(0)
    model = transfer.Transferred()
    before = [p.clone() for p in model.features.parameters()]
    test = transfer.batches(test_images, test_labels, batch_size=100)
    guess = training.evaluate(model, test).accuracy
    transfer.train_head(model, transfer.batches(images, labels, batch_size=20))
    assert training.evaluate(model, test).accuracy > max(0.5, guess + 0.2)
    assert all(torch.equal(a, b) for a, b in zip(before, model.features.parameters(), strict=True))


def test_photographs_of_the_readers_own_classes():
    """What chapter 10 says to do with a folder: colour, another size, another number of classes."""
    images = torch.randint(0, 256, (4, 3, 96, 96), dtype=torch.uint8)
    options = {"batch_size": 4, "image_size": 96}
    ((batch, _),) = transfer.batches(images, torch.tensor([0, 1, 2, 0]), **options)
    assert torch.allclose(batch, images.float(), atol=1e-3)
    assert transfer.Transferred(num_classes=3)(batch).shape == (4, 3)
