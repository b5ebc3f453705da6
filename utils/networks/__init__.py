"""The reference networks of the course, one file a family.

>>> from utils import networks
>>> networks.available("lenet")
['lenet5_1998', 'lenet']
>>> network = networks.build("lenet", activation="sigmoid", pooling="average")
"""

# In the order of the chapters, which is the order of available(); families without one at the end.
from utils.networks import lenet, alexnet, vgg, nin, googlenet, resnet, mobilenet  # isort: skip
from utils.networks import squeezenet, efficientnet_lite  # isort: skip
from utils.networks.common import ImageClassifier, available, build, initialise

__all__ = [
    "ImageClassifier",
    "alexnet",
    "available",
    "build",
    "efficientnet_lite",
    "googlenet",
    "initialise",
    "lenet",
    "mobilenet",
    "nin",
    "resnet",
    "squeezenet",
    "vgg",
]
