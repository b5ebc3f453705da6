"""Every picture a chapter shows. Each function returns the Figure; a cell ends with plt.show().

Lines differ in dash and marker as well as in colour, and right and wrong differ by sign and frame,
so every figure can be read in grey and by the colour-blind. Nothing here changes matplotlib's
global settings.
"""

from utils.plotting.drawings import blocks, branches, mlpconv_figure
from utils.plotting.evidence import overlay, overlays, receptive_field
from utils.plotting.look import COLOURS, DASHES, MARKERS, NARROW, WIDTH, axes, line, style
from utils.plotting.networks import network
from utils.plotting.pictures import confusion, feature_maps, filters, images, maps
from utils.plotting.runs import activations, bars, curves, distribution, loss_log

__all__ = [
    "COLOURS",
    "DASHES",
    "MARKERS",
    "NARROW",
    "WIDTH",
    "activations",
    "axes",
    "bars",
    "blocks",
    "branches",
    "confusion",
    "curves",
    "distribution",
    "feature_maps",
    "filters",
    "images",
    "line",
    "loss_log",
    "maps",
    "mlpconv_figure",
    "network",
    "overlay",
    "overlays",
    "receptive_field",
    "style",
]
