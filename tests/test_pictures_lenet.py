"""The kernels of chapter 01 after training: what is drawn is what they are and what they make."""

import matplotlib.pyplot as plt
import numpy as np
import torch

from utils.pictures import lenet as pictures


def test_each_learned_kernel_is_above_its_own_map():
    image, kernels = torch.rand(28, 28), torch.randn(6, 5, 5)
    maps = torch.randn(6, 28, 28)
    figure = pictures.learned(image, kernels, maps)
    try:
        pictured = [axis.images[0] for axis in figure.axes if axis.images]
        expected = [*kernels, image, *maps]
        assert len(pictured) == len(expected)
        for picture, values in zip(pictured, expected):
            assert np.allclose(picture.get_array(), values)
        for picture, kernel in zip(pictured, kernels):
            limit = float(kernel.abs().max())  # grey is zero
            assert np.allclose(picture.get_clim(), (-limit, limit))
        for picture, values in zip(pictured[7:], maps):
            assert np.allclose(picture.get_clim(), (float(values.min()), float(values.max())))
    finally:
        plt.close(figure)
