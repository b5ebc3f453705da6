"""The arithmetic of convolution as a picture, with the numbers in the cells.

`step` draws one position of the kernel, `animate` all of them one after another, `animate_beside`
a 1x1 kernel above a larger one, and `explore` lets a reader move the kernel with sliders. An
animation stops by itself, and the same positions follow below it as still pictures. Every output in
a picture was computed by torch's `conv2d`. Dumoulin and Visin draw the same arithmetic without
numbers (arXiv 1603.07285).
"""

import io
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F
from IPython.display import Image, display
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image as Pillow
from PIL import ImageColor
from torch import Tensor

from utils import notebook
from utils.plotting import style

Grid = Sequence | Tensor

LARGEST = 12  # rows or columns, padding included; beyond it the numbers are too small to read

INPUT, PADDING, WINDOW, OUTPUT, EMPTY = "#dcebf7", "#f0f0f0", "#ffd98a", "#d8efd3", "#ffffff"
LINE, INK, WEIGHT, FAINT = "#808080", "#111111", "#a03000", "#8a8a8a"


def output_size(size: int, kernel_size: int, stride: int = 1, padding: int = 0) -> int:
    """Number of positions along one side: floor((size + 2·padding − kernel_size) / stride) + 1.

    All numbers are in pixels along height or width. Raises ValueError where a number makes no
    sense or the kernel is larger than the padded input.
    """
    for name, number, least in (
        ("size", size, 1),
        ("kernel_size", kernel_size, 1),
        ("stride", stride, 1),
        ("padding", padding, 0),
    ):
        if isinstance(number, bool) or not isinstance(number, int) or number < least:
            raise ValueError(f"{name} must be a whole number of at least {least}, not {number!r}.")
    padded = size + 2 * padding
    if kernel_size > padded:
        raise ValueError(
            f"A kernel of {kernel_size} pixels does not fit into {padded} pixels (an input of "
            f"{size} with padding {padding} on each side): make the kernel smaller or pad more."
        )
    return (padded - kernel_size) // stride + 1


def step(
    image: Grid,
    kernel: Grid,
    *,
    stride: int = 1,
    padding: int = 0,
    position: tuple[int, int] = (0, 0),
) -> Figure:
    """Draw the kernel at one position of its way over the image.

    `image` is (H, W) with a `kernel` (kh, kw), or (C, H, W) with a kernel (C, kh, kw).
    `position` is the (row, column) of the output value that is being computed; the output is
    filled in up to there. Raises ValueError where shapes, stride, padding or position do not fit.
    """
    scene = _scene(image, kernel, stride, padding)
    if tuple(position) not in scene.positions:
        rows, columns = scene.output.shape
        raise ValueError(
            f"The output has {rows} rows and {columns} columns, counted from 0: "
            f"position {tuple(position)} is outside."
        )
    with style():
        figure = plt.figure(figsize=_size(scene))
        _draw(figure, scene, tuple(position))
    return figure


def animate(
    image: Grid,
    kernel: Grid,
    *,
    stride: int = 1,
    padding: int = 0,
    path: str | Path | None = None,
    seconds: float = 1.6,
) -> "Moving":
    """Animate all positions of the kernel; arguments as in `step`.

    It runs twice and stays on the last position. A notebook shows below it every position as a
    still picture, to be read at one's own pace. `path` also writes the animation to a file, a GIF
    or, by its suffix, an animated PNG. The returned image is an animated PNG: unlike a GIF it is
    shown by GitHub, JupyterLab and Colab alike. The same arguments give the same bytes (with one
    version of matplotlib and Pillow).
    """
    return _animation([_scene(image, kernel, stride, padding)], path, seconds)


def animate_beside(
    image: Grid,
    weights: Sequence[float] | Tensor,
    kernel: Grid,
    *,
    stride: int = 1,
    padding: int = 0,
    path: str | Path | None = None,
    seconds: float = 1.6,
) -> "Moving":
    """Animate a 1x1 convolution above a larger one, on the same image and with the same stride.

    `image` is (C, H, W), `weights` one number for each channel, `kernel` (C, kh, kw). `padding` is
    that of the larger kernel; the 1x1 has none. They move position by position; the one with fewer
    positions waits at its last. Otherwise as `animate`.
    """
    small = torch.as_tensor(weights, dtype=torch.float64).reshape(-1, 1, 1)
    scenes = [_scene(image, small, stride, 0), _scene(image, kernel, stride, padding)]
    return _animation(scenes, path, seconds)


def explore() -> None:
    """Show a convolution with sliders: sizes, stride, padding, channels, kernels, position.

    A line above the picture gives the shape of the output, the weights and the MACs. Under pytest,
    and where COURSE_STILL is set, it shows one still picture instead.
    """
    # Sliders need a browser that answers; a run without one keeps a picture in the notebook.
    if "COURSE_STILL" in os.environ or notebook.under_pytest():
        display(Image(data=_still(6, 3, 1, 1, 2, 0), format="png"))
        return
    import ipywidgets as widgets

    def slider(name: str, value: int, least: int, most: int) -> widgets.IntSlider:
        return widgets.IntSlider(value, least, most, description=name)

    size, kernel = slider("input", 6, 2, 9), slider("kernel", 3, 1, 5)
    stride, padding = slider("stride", 1, 1, 3), slider("padding", 1, 0, 1)
    channels, kernels = slider("channels", 2, 1, 3), slider("kernels", 1, 1, 64)
    place = slider("position", 0, 0, 35)
    picture, message = widgets.Image(format="png"), widgets.Label()

    def redraw(_=None) -> None:
        settings = (size.value, kernel.value, stride.value, padding.value)
        try:
            side = output_size(*settings)
        except ValueError as error:
            message.value = str(error)
            return
        place.max = side * side - 1
        n, k, s, p = settings
        message.value = f"floor(({n} + 2·{p} − {k}) / {s}) + 1 = {side}. " + _count(
            channels.value, kernels.value, k, side
        )
        picture.value = _still(*settings, channels.value, place.value)

    controls = (size, kernel, stride, padding, channels, kernels, place)
    for control in controls:
        control.observe(redraw, names="value")
    redraw()
    display(widgets.VBox([*controls, message, picture]))


def _count(channels: int, kernels: int, kernel_size: int, side: int) -> str:
    """Output, weights and MACs of a layer, in words."""
    weights = channels * kernels * kernel_size**2
    return (
        f"Output {kernels}×{side}×{side}. Weights {kernel_size}·{kernel_size}·{channels}·{kernels} "
        f"= {weights:,}. MACs {side}·{side}·{weights:,} = {side * side * weights:,}"
    )


def _still(
    size: int, kernel_size: int, stride: int, padding: int, channels: int, place: int
) -> bytes:
    """One picture of `explore` as PNG: an image of small numbers and its first kernel."""
    generator = torch.Generator().manual_seed(0)
    image = torch.randint(0, 5, (channels, size, size), generator=generator)
    kernel = torch.zeros(channels, kernel_size, kernel_size)
    for channel in range(channels):
        kernel[channel, :, 0] = (1, -1, 2)[channel]
    if kernel_size > 1:
        kernel[:, :, -1] = -kernel[:, :, 0]  # finds edges
    scene = _scene(image, kernel, stride, padding)
    figure = Figure(figsize=_size(scene), dpi=DPI)
    with style():
        _draw(figure, scene, scene.positions[min(place, len(scene.positions) - 1)])
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=DPI)
    return buffer.getvalue()


# --- what is computed -----------------------------------------------------------------------------


@dataclass
class _Scene:
    """A checked convolution: image (C, H, W), kernel (C, kh, kw), output (rows, columns)."""

    image: Tensor
    kernel: Tensor
    output: Tensor
    stride: int
    padding: int

    @property
    def positions(self) -> list[tuple[int, int]]:
        rows, columns = self.output.shape
        return [(row, column) for row in range(rows) for column in range(columns)]


def _scene(image: Grid, kernel: Grid, stride: int, padding: int) -> _Scene:
    pixels, weights = _tensor("image", image), _tensor("kernel", kernel)
    channels = len(pixels)
    if len(weights) != channels:
        raise ValueError(
            f"The image has {channels} channels and the kernel has {len(weights)}: "
            "a kernel needs one slice for each channel of the image."
        )
    for length, kernel_length in zip(pixels.shape[1:], weights.shape[1:]):
        output_size(length, kernel_length, stride, padding)  # raises where they do not fit
        if length + 2 * padding > LARGEST:
            raise ValueError(
                f"A picture with numbers holds at most {LARGEST} rows and columns, padding "
                f"included, not {length + 2 * padding}: take a smaller image."
            )
    output = F.conv2d(pixels[None], weights[None], stride=stride, padding=padding)[0, 0]
    return _Scene(pixels, weights, output, stride, padding)


def _tensor(name: str, values: Grid) -> Tensor:
    try:
        tensor = torch.as_tensor(values).detach().cpu().to(torch.float64)
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(
            f"The {name} must be a grid of numbers whose rows are equally long."
        ) from None
    if tensor.ndim == 4 and len(tensor) == 1:
        tensor = tensor[0]
    if tensor.ndim == 2:
        tensor = tensor[None]
    if tensor.ndim != 3 or tensor.numel() == 0:
        raise ValueError(
            f"The {name} must have the shape (height, width) or (channels, height, width), "
            f"not {tuple(tensor.shape)}."
        )
    return tensor


# --- how it looks ---------------------------------------------------------------------------------

DPI, ANIMATION_DPI = 100, 72  # the smaller one keeps animations under 200 kB
MARGIN, GAP, TOP, BOTTOM = 0.4, 1.5, 1.1, 1.5  # in cells


def _number(value: float) -> str:
    """A number for a cell: at most two decimals and a true minus sign."""
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text.replace("-", "−")


def _sentence(position: tuple[int, int], products: list[float], result: float) -> str:
    """The sum in words, as "output[0, 1] = 2 + (−3) = −1"."""
    terms = [_number(product) for product in products]
    total = " + ".join(f"({term})" if term[0] == "−" else term for term in terms)
    if len(total) > 60:
        total = f"sum of the {len(terms)} products"
    # What is rounded for the picture need not add up to the last digit.
    sign = "=" if all(abs(x - round(x, 2)) < 1e-9 for x in [*products, result]) else "≈"
    sides = [f"output[{position[0]}, {position[1]}]", total, _number(result)]
    return f" {sign} ".join(sides if len(terms) > 1 else sides[::2])


@dataclass
class _Layout:
    """Positions of all parts, in cells: x to the right, y downwards."""

    inputs: list[float]  # left edge of each channel's grid, padding included
    products: float
    product_width: float
    output: float
    width: float
    height: float
    cell: float  # side of a cell in inches

    def top(self, rows: int) -> float:
        """Upper edge of a grid of so many rows, centred between captions and sum."""
        return TOP + (self.height - TOP - BOTTOM - rows) / 2


def _stack(kernel: Tensor) -> int:
    """Rows of the grids of products, one below the other, with a line of text between them."""
    channels, height, _ = kernel.shape
    return channels * (height + 1) - 1


def _layout(scene: _Scene) -> _Layout:
    channels, height, width = scene.image.shape
    tall, wide = height + 2 * scene.padding, width + 2 * scene.padding
    _, kernel_height, kernel_width = scene.kernel.shape
    product_rows = kernel_height
    product_width = float(max(2, kernel_width))
    if channels > 1:  # a line for each channel, "2 × 0.5 = 1", or a grid below its sum
        product_rows = channels if kernel_height * kernel_width == 1 else _stack(scene.kernel)
        product_width = max(3.4, kernel_width)
    inputs = [MARGIN + channel * (wide + 0.5) for channel in range(channels)]
    products = inputs[-1] + wide + GAP
    output = products + product_width + GAP
    total_width = output + max(scene.output.shape[1], 2.4) + MARGIN
    total_height = TOP + max(tall, product_rows, len(scene.output)) + BOTTOM
    cell = min(0.5, 8.8 / total_width)
    return _Layout(inputs, products, product_width, output, total_width, total_height, cell)


def _size(scene: _Scene) -> tuple[float, float]:
    layout = _layout(scene)
    return layout.width * layout.cell, layout.height * layout.cell


class _Pen:
    """Draws cells and numbers on one Axes whose unit is the side of a cell."""

    def __init__(self, axes: Axes, cell: float) -> None:
        self.axes, self.points = axes, 72 * cell  # a point is 1/72 inch

    def cell(self, x: float, y: float, fill: str, width: float = 1, dotted: bool = False) -> None:
        line = ":" if dotted else "-"
        patch = Rectangle((x, y), width, 1, facecolor=fill, edgecolor=LINE, lw=0.8, ls=line)
        self.axes.add_artist(patch)  # add_patch also measures limits, which are fixed here

    def frame(self, x: float, y: float, width: float, height: float, thickness: float) -> None:
        self.axes.add_artist(
            Rectangle((x, y), width, height, fill=False, edgecolor=INK, lw=thickness, zorder=3)
        )

    def write(self, x: float, y: float, text: str, share: float, **look) -> None:
        """`share` is the height of the letters in cells."""
        look = {"ha": "center", "va": "center", "color": INK, "zorder": 4} | look
        self.axes.text(x, y, text, fontsize=self.points * share, **look)


def _share(texts: Iterable[str], most: float, room: float) -> float:
    """The height of letters, in cells, at which the longest of the texts is `room` cells wide."""
    return min(most, room / (0.64 * max(len(text) for text in texts)))


def _draw(
    figure: Figure,
    scene: _Scene,
    position: tuple[int, int],
    box: tuple[float, float, float, float] = (0, 0, 1, 1),
    cell: float | None = None,
) -> None:
    """`box` is the part of the figure to draw in, `cell` the side of a cell in inches."""
    layout = _layout(scene)
    axes = figure.add_axes(box)
    axes.set(xlim=(0, layout.width), ylim=(layout.height, 0))
    axes.axis("off")
    pen = _Pen(axes, cell or layout.cell)
    window = _draw_input(pen, scene, layout, position)
    products = window * scene.kernel
    _draw_products(pen, scene, layout, window, products)
    _draw_output(pen, scene, layout, position)
    terms = products.sum((1, 2)) if len(products) > 1 else products.flatten()
    sentence = _sentence(position, terms.tolist(), scene.output[position].item())
    share = _share([sentence], 0.4, layout.width - 2 * MARGIN)
    pen.write(layout.width / 2, layout.height - 0.55, sentence, share)


def _draw_input(pen: _Pen, scene: _Scene, layout: _Layout, position: tuple[int, int]) -> Tensor:
    """Draw every channel with the kernel laid over it; return the covered values (C, kh, kw)."""
    p = scene.padding
    channels, height, width = scene.image.shape
    kernel_height, kernel_width = scene.kernel.shape[1:]
    padded = F.pad(scene.image, (p, p, p, p))
    first_row, first_column = (index * scene.stride for index in position)
    value_share = _share(map(_number, scene.image.flatten().tolist()), 0.42, 0.86)
    weight_share = _share((f"×{_number(w)}" for w in scene.kernel.flatten().tolist()), 0.3, 0.78)
    top = layout.top(height + 2 * p)
    for channel, left in enumerate(layout.inputs):
        for row in range(height + 2 * p):
            for column in range(width + 2 * p):
                real = p <= row < p + height and p <= column < p + width
                i, j = row - first_row, column - first_column
                covered = 0 <= i < kernel_height and 0 <= j < kernel_width
                x, y = left + column, top + row
                pen.cell(x, y, WINDOW if covered else INPUT if real else PADDING, dotted=not real)
                value = _number(padded[channel, row, column].item())
                height_of_value = 0.34 if covered else 0.5
                color = INK if real else FAINT
                pen.write(x + 0.5, y + height_of_value, value, value_share, color=color)
                if covered:
                    weight = f"×{_number(scene.kernel[channel, i, j].item())}"
                    pen.write(x + 0.5, y + 0.76, weight, weight_share, color=WEIGHT, weight="bold")
        pen.frame(left + p, top + p, width, height, 1.2)
        pen.frame(left + first_column, top + first_row, kernel_width, kernel_height, 2.4)
        name = f"channel {channel}" if channels > 1 else f"input {height}×{width}"
        name += f", padding {p}" if p else ""
        share = _share([name], 0.36, width + 2 * p + 0.4)
        pen.write(left + p + width / 2, top - 0.4, name, share)
    rows = slice(first_row, first_row + kernel_height)
    return padded[:, rows, first_column : first_column + kernel_width]


def _draw_products(
    pen: _Pen, scene: _Scene, layout: _Layout, window: Tensor, products: Tensor
) -> None:
    middle = layout.products + layout.product_width / 2
    grids = {"products": [[_number(value) for value in line] for line in products[0].tolist()]}
    width = 1.0
    if len(products) > 1 and products[0].numel() == 1:
        factors = zip(window.flatten(), scene.kernel.flatten(), products.flatten())
        grids = {"products": [["{} × {} = {}".format(*map(_number, line))] for line in factors]}
        width = layout.product_width
    elif len(products) > 1:
        grids = {
            f"channel {number}: sum {_number(grid.sum().item())}": [
                [_number(value) for value in line] for line in grid.tolist()
            ]
            for number, grid in enumerate(products)
        }
    share = _share((t for grid in grids.values() for row in grid for t in row), 0.42, 0.9 * width)
    top = layout.top(sum(len(grid) + 1 for grid in grids.values()) - 1)
    for name, grid in grids.items():
        left = middle - width * len(grid[0]) / 2
        pen.write(middle, top - 0.4, name, 0.36)
        for row, line in enumerate(grid):
            for column, text in enumerate(line):
                pen.cell(left + column * width, top + row, WINDOW, width)
                pen.write(left + (column + 0.5) * width, top + row + 0.5, text, share)
        top += len(grid) + 1
    center = layout.top(0)
    pen.write(layout.products - GAP / 2, center, "→", 0.6)
    pen.write(layout.output - GAP / 2, center, "→", 0.6)
    pen.write(layout.output - GAP / 2, center - 0.45, "sum", 0.36)


def _draw_output(pen: _Pen, scene: _Scene, layout: _Layout, position: tuple[int, int]) -> None:
    rows, columns = scene.output.shape
    top, left = layout.top(rows), layout.output + max(0.0, (2.4 - columns) / 2)
    share = _share(map(_number, scene.output.flatten().tolist()), 0.42, 0.86)
    for row, column in scene.positions:
        done = (row, column) <= position
        fill = WINDOW if (row, column) == position else OUTPUT if done else EMPTY
        pen.cell(left + column, top + row, fill)
        if done:
            value = _number(scene.output[row, column].item())
            pen.write(left + column + 0.5, top + row + 0.5, value, share)
    pen.frame(left + position[1], top + position[0], 1, 1, 2.4)
    pen.write(left + columns / 2, top - 0.4, f"output {rows}×{columns}", 0.36)


# --- animation files ------------------------------------------------------------------------------


class Moving(Image):
    """An animated PNG, and the same positions as still pictures in one PNG (`stills`)."""

    def __init__(self, moving: bytes, stills: bytes) -> None:
        super().__init__(data=moving, format="png")
        self.stills = Image(data=stills, format="png")

    def _ipython_display_(self) -> None:
        display(Image(data=self.data, format="png"), self.stills)


def _animation(scenes: list[_Scene], path: str | Path | None, seconds: float) -> Moving:
    """The scenes, one below the other, as an animated PNG; `path` may name a file for it too."""
    if path is not None and Path(path).suffix.lower() not in (".gif", ".png"):
        raise ValueError(f"An animation is written as .gif or .png, not as {Path(path).name!r}.")
    frames = _frames(scenes)
    if path is not None:
        Path(path).write_bytes(_encode(frames, Path(path).suffix[1:].upper(), seconds))
    return Moving(_encode(frames, "PNG", seconds), _side_by_side(frames))


def _side_by_side(frames: list[Pillow.Image]) -> bytes:
    """All frames in one picture, two in a row; rows of one frame where there are few."""
    columns = 1 if len(frames) < 5 else 2
    width, height = frames[0].size
    rows = -(-len(frames) // columns)
    sheet = Pillow.new("P", (columns * width, rows * height))
    sheet.putpalette(frames[0].getpalette())
    sheet.paste(frames[0].getpixel((0, 0)), (0, 0, *sheet.size))
    for number, frame in enumerate(frames):
        sheet.paste(frame, (number % columns * width, number // columns * height))
    grey = frames[0].palette.getcolor(ImageColor.getrgb(LINE))
    for row in range(1, rows):
        sheet.paste(grey, (0, row * height, sheet.width, row * height + 1))
    buffer = io.BytesIO()
    sheet.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def _frames(scenes: list[_Scene]) -> list[Pillow.Image]:
    """One picture for each output value of the longest scene; the others wait at their last."""
    layouts = [_layout(scene) for scene in scenes]
    cell = min(layout.cell for layout in layouts)
    width, height = max(part.width for part in layouts), sum(part.height for part in layouts)
    figure = Figure(figsize=(width * cell, height * cell), dpi=ANIMATION_DPI)
    canvas = FigureCanvasAgg(figure)
    pictures = []
    with style():
        count = max(len(scene.positions) for scene in scenes)
        for index in range(count):
            figure.clear()
            look = {"ha": "right", "va": "bottom", "color": INK, "fontsize": 0.3 * 72 * cell}
            figure.text(0.99, 0.012, f"{index + 1} of {count}", **look)
            top = 1.0
            for scene, layout in zip(scenes, layouts):
                top -= layout.height / height
                box = (0, top, layout.width / width, layout.height / height)
                place = scene.positions[min(index, len(scene.positions) - 1)]
                _draw(figure, scene, place, box, cell)
            canvas.draw()
            pixels = canvas.buffer_rgba()
            size = canvas.get_width_height()
            pictures.append(Pillow.frombytes("RGBA", size, pixels.tobytes()).convert("RGB"))
    palette = _palette()
    return [picture.quantize(palette=palette, dither=Pillow.Dither.NONE) for picture in pictures]


def _palette() -> Pillow.Image:
    """The few colours of these pictures: every ground, and what letters on it fade through."""
    inks = [(ground, INK) for ground in (INPUT, WINDOW, OUTPUT, EMPTY)]
    inks += [(WINDOW, WEIGHT), (PADDING, FAINT), (WINDOW, FAINT), (EMPTY, LINE)]
    colors = []
    for ground, ink in inks:
        pair = [ImageColor.getrgb(name) for name in (ground, ink)]
        for share in (0.0, 0.33, 0.67, 1.0):
            colors += [round(a + share * (b - a)) for a, b in zip(*pair)]
    palette = Pillow.new("P", (1, 1))
    palette.putpalette(colors)
    return palette


def _encode(frames: list[Pillow.Image], kind: str, seconds: float) -> bytes:
    buffer = io.BytesIO()
    # The last picture, the whole output, is shown longer before the animation starts once more.
    durations = [round(1000 * seconds)] * (len(frames) - 1) + [round(3000 * seconds)]
    frames[0].save(
        buffer,
        format=kind,
        save_all=True,
        append_images=frames[1:],
        duration=durations,
        loop=2 if kind == "PNG" else 1,  # twice in all: an APNG counts runs, a GIF repetitions
        # A GIF has one palette for all frames already; a PNG gets a fifth smaller.
        **({"optimize": True} if kind == "PNG" else {}),
    )
    return buffer.getvalue()
