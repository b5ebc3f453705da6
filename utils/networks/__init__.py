"""The reference networks of the course, one file a family.

>>> from utils import networks
>>> networks.available("lenet")
['lenet5_1998', 'lenet']
>>> network = networks.build("lenet", activation="sigmoid", pooling="average")
"""

# In the order of the chapters, which is the order of available().
from utils.networks import lenet, alexnet, vgg, nin, googlenet, resnet, mobilenet  # isort: skip
from utils.networks.common import ImageClassifier, available, build, initialise

__all__ = [
    "ImageClassifier",
    "alexnet",
    "available",
    "build",
    "googlenet",
    "initialise",
    "lenet",
    "mobilenet",
    "nin",
    "resnet",
    "vgg",
]
