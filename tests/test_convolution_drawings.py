"""The pictures of convolution: every number in them is what torch computes."""

import io
import itertools
from collections import Counter

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from utils.topics import convolution_drawings as drawings

pytestmark = pytest.mark.filterwarnings("error")

IMAGE = torch.tensor([[0, 4, 4, 3, 3], [3, 1, 1, 4, 2], [3, 4, 1, 3, 3], [0, 2, 1, 2, 1]])
KERNEL = torch.tensor([[1, 0, -1], [2, 0, -2], [1, 0, -1]])


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def convolve(image, kernel, **options):
    image, kernel = (torch.as_tensor(x, dtype=torch.float64) for x in (image, kernel))
    if image.ndim == 2:
        image, kernel = image[None], kernel[None]
    return F.conv2d(image[None], kernel[None], **options)[0, 0]


def texts(figure) -> list[str]:
    written = [text.get_text() for text in figure.findobj(matplotlib.text.Text)]
    return [text.replace("−", "-") for text in written if text]


def all_in(values, texts) -> bool:
    """Every number is there as often as it should be."""
    wanted = Counter(f"{value:g}" for value in values.flatten().tolist())
    return wanted <= Counter(texts)


def terms_of(sentence) -> list[float]:
    terms = sentence.split("=")[1].replace("(", "").replace(")", "").split("+")
    return [float(term) for term in terms]


def opened(picture):
    return Image.open(io.BytesIO(picture.data))


def test_output_size_is_torchs():
    sizes = itertools.product(range(1, 9), (1, 2, 3, 5), (1, 2, 3), (0, 1, 2))
    for size, kernel_size, stride, padding in sizes:
        image, kernel = torch.zeros(size, size), torch.zeros(kernel_size, kernel_size)
        if kernel_size > size + 2 * padding:
            with pytest.raises(ValueError, match=str(kernel_size)):
                drawings.output_size(size, kernel_size, stride, padding)
        else:
            expected = convolve(image, kernel, stride=stride, padding=padding).shape[-1]
            assert drawings.output_size(size, kernel_size, stride, padding) == expected


@pytest.mark.parametrize(("stride", "padding"), [(1, 0), (1, 1), (2, 1)])
def test_the_last_step_shows_the_whole_output_of_torch(stride, padding):
    expected = convolve(IMAGE, KERNEL, stride=stride, padding=padding)
    last = (expected.shape[0] - 1, expected.shape[1] - 1)
    figure = drawings.step(IMAGE, KERNEL, stride=stride, padding=padding, position=last)
    assert all_in(expected, texts(figure))


def test_a_step_writes_out_its_sum():
    figure = drawings.step(IMAGE, KERNEL, position=(0, 1))
    expected = convolve(IMAGE, KERNEL)[0, 1]
    (sentence,) = [text for text in texts(figure) if text.startswith("output[0, 1] =")]
    assert sentence.endswith(f"= {expected:g}")
    assert sum(terms_of(sentence)) == pytest.approx(float(expected))


def test_a_step_fills_the_output_up_to_its_position():
    figure = drawings.step(IMAGE, KERNEL * 0 + 7, position=(0, 0))
    later = drawings.step(IMAGE, KERNEL * 0 + 7, position=(1, 2))
    assert len(texts(later)) == len(texts(figure)) + 5


def test_one_by_one_over_channels():
    image = torch.arange(2 * 2 * 3).reshape(3, 2, 2)
    kernel = torch.tensor([1.0, -2.0, 3.0]).reshape(3, 1, 1)
    shown = texts(drawings.step(image, kernel, position=(1, 1)))
    assert all_in(convolve(image, kernel), shown)
    assert opened(drawings.animate(image, kernel)).n_frames == 4


def test_a_channel_with_weight_zero_keeps_its_value():
    image = torch.full((2, 1, 1), 5)
    shown = texts(drawings.step(image, torch.tensor([0, 3]).reshape(2, 1, 1)))
    assert "5 × 0 = 0" in shown and "5 × 3 = 15" in shown


def test_a_larger_kernel_sums_over_channels_too():
    image = torch.stack([IMAGE, 2 * IMAGE, IMAGE - 3])
    kernel = torch.stack([KERNEL, KERNEL + 1, -KERNEL])
    expected = convolve(image, kernel, padding=1, stride=2)
    last = (expected.shape[0] - 1, expected.shape[1] - 1)
    shown = texts(drawings.step(image, kernel, padding=1, stride=2, position=last))
    assert all_in(expected, shown)
    own = [convolve(image[c], kernel[c], padding=1, stride=2)[last].item() for c in range(3)]
    for value in own:
        assert any(text.endswith(f": sum {value:g}") for text in shown)
    sentence = next(text for text in shown if text.startswith("output["))
    assert terms_of(sentence) == own
    top, left = (2 * place for place in last)
    window = F.pad(image, (1, 1, 1, 1))[:, top : top + 3, left : left + 3]
    assert all_in(window * kernel, shown), "every product can be read"


@pytest.mark.parametrize(("stride", "padding", "frames"), [(1, 1, 20), (2, 1, 6), (1, 0, 20)])
def test_one_by_one_beside_a_larger_kernel(tmp_path, stride, padding, frames):
    image, weights = torch.stack([IMAGE, IMAGE + 1]), [1.0, -2.0]
    kernel = torch.stack([KERNEL, -KERNEL])
    path = tmp_path / "beside.gif"
    picture = drawings.animate_beside(
        image, weights, kernel, stride=stride, padding=padding, path=path
    )
    with Image.open(path) as written:
        assert written.n_frames == opened(picture).n_frames == frames
    alone = drawings.animate(image, torch.tensor(weights).reshape(2, 1, 1))
    assert opened(picture).height > 1.5 * opened(alone).height
    assert len(picture.data) < 400_000


def test_both_pictures_beside_each_other_show_what_torch_computes(monkeypatch):
    drawn = []
    keep = drawings._draw
    monkeypatch.setattr(
        drawings,
        "_draw",
        lambda figure, *rest: (keep(figure, *rest), drawn.append(texts(figure))),
    )
    image, kernel = torch.stack([IMAGE, IMAGE + 1]), torch.stack([KERNEL, -KERNEL])
    drawings.animate_beside(image, [1, -2], kernel, stride=2, padding=1)
    small = convolve(image, torch.tensor([1, -2]).reshape(2, 1, 1), stride=2)
    large = convolve(image, kernel, stride=2, padding=1)
    assert all_in(torch.cat([small.flatten(), large.flatten()]), drawn[-1])


def test_a_sum_of_rounded_numbers_is_not_called_exact():
    third = torch.full((1, 2), 1 / 3)
    assert "output[0, 0] ≈ 0.33 + 0.33 ≈ 0.67" in texts(drawings.step(third, torch.ones(1, 2)))
    assert "output[0, 0] = 0.5" in texts(drawings.step([[0.5]], [[1.0]]))


def test_the_animation_of_chapter_01_stays_small():
    image = torch.arange(25).reshape(5, 5) % 7
    picture = drawings.animate(image, KERNEL, padding=1)
    assert opened(picture).n_frames == 25
    assert len(picture.data) < 200_000


@pytest.mark.parametrize("suffix", [".gif", ".png"])
def test_an_animation_has_a_picture_for_every_output_value(tmp_path, suffix):
    path = tmp_path / f"convolution{suffix}"
    drawings.animate(IMAGE, KERNEL, padding=1, stride=2, path=path)
    expected = convolve(IMAGE, KERNEL, stride=2, padding=1).numel()
    with Image.open(path) as pictures:
        assert pictures.n_frames == expected == 6
        first = pictures.convert("RGB").tobytes()
        pictures.seek(expected - 1)
        assert pictures.convert("RGB").tobytes() != first
    assert path.stat().st_size < 200_000


def test_an_animation_stops_and_its_steps_follow_as_stills(monkeypatch):
    picture = drawings.animate(IMAGE, KERNEL, padding=1, stride=2)
    moving = opened(picture)
    assert moving.info["loop"] == 2
    with Image.open(io.BytesIO(picture.stills.data)) as stills:
        assert stills.size == (2 * moving.width, 3 * moving.height)  # six positions
        sheet = stills.convert("RGB")
    for number in range(6):
        moving.seek(number)
        x, y = number % 2 * moving.width, number // 2 * moving.height
        tile = sheet.crop((x, y + 1, x + moving.width, y + moving.height))
        same = moving.convert("RGB").crop((0, 1, *moving.size))
        assert tile.tobytes() == same.tobytes()
    assert len(picture.stills.data) < 400_000
    shown = []
    monkeypatch.setattr(drawings, "display", lambda *pictures: shown.extend(pictures))
    picture._ipython_display_()
    assert [one.data for one in shown] == [picture.data, picture.stills.data]


def test_an_animation_is_the_same_every_time():
    once, again = (drawings.animate(IMAGE, KERNEL, stride=2).data for _ in range(2))
    assert once == again


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(kernel=torch.ones(6, 6)), "6"),
        (dict(stride=0), "stride"),
        (dict(padding=-1), "padding"),
        (dict(position=(9, 0)), r"position \(9, 0\) is outside"),
        (dict(kernel=torch.ones(2, 3, 3)), "kernel"),
    ],
)
def test_what_does_not_fit_is_said(arguments, message):
    with pytest.raises(ValueError, match=message):
        drawings.step(IMAGE, **{"kernel": KERNEL, **arguments})


def test_an_unknown_suffix_writes_nothing(tmp_path):
    with pytest.raises(ValueError, match=r"\.gif or \.png"):
        drawings.animate(IMAGE, KERNEL, path=tmp_path / "a.mp4")
    assert list(tmp_path.iterdir()) == []


def test_explore_is_a_still_where_no_one_answers(monkeypatch):
    shown = []
    monkeypatch.setattr(drawings, "display", shown.append)
    drawings.explore()
    assert opened(shown[0]).format == "PNG"


def test_the_sliders_of_explore_redraw(monkeypatch):
    shown = []
    monkeypatch.setattr(drawings, "display", shown.append)
    monkeypatch.delenv("COURSE_UNDER_PYTEST")
    monkeypatch.delenv("COURSE_STILL", raising=False)
    drawings.explore()
    size, kernel, stride, padding, channels, kernels, _, message, picture = shown[0].children
    before = picture.value
    stride.value = 2
    side = drawings.output_size(size.value, kernel.value, 2, padding.value)
    assert f"{side}×{side}" in message.value
    assert picture.value != before
    before = picture.value
    channels.value, kernels.value = 3, 20
    layer = torch.nn.Conv2d(3, 20, kernel.value, 2, padding.value, bias=False)
    maps = layer(torch.zeros(1, 3, size.value, size.value))
    weights = layer.weight.numel()
    assert "×".join(map(str, maps.shape[1:])) in message.value
    assert f"= {weights:,}." in message.value
    assert message.value.endswith(f"= {weights * maps[0, 0].numel():,}")
    assert picture.value != before
    kernel.value, size.value, padding.value = 5, 2, 0
    assert "5" in message.value and "×" not in message.value.split(":")[0]
