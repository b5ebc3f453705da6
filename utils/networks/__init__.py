"""The reference networks of the course, one file a family.

>>> from utils import networks
>>> networks.available("lenet")
['lenet5_1998', 'lenet']
>>> network = networks.build("lenet", activation="sigmoid", pooling="average")
"""

from utils.networks import lenet, alexnet, vgg, nin  # isort: skip - the order of the chapters
from utils.networks.common import ImageClassifier, available, build, initialise

__all__ = ["ImageClassifier", "alexnet", "available", "build", "initialise", "lenet", "nin", "vgg"]
