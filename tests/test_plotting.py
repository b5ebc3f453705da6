"""The figures: what they hold is what they were given, and drawing them warns of nothing."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import pytest
import torch
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager
from PIL import Image
from torch import nn

from utils import diagnosis, networks, plotting
from utils.plotting import look
from utils.training import History

pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture(autouse=True)
def draw_and_close():
    """Render every figure, which is when matplotlib complains of glyphs and layouts."""
    yield
    for number in plt.get_fignums():
        plt.figure(number).canvas.draw()
    plt.close("all")


def history(*accuracies: float) -> History:
    return History(
        train_loss=[1 - a for a in accuracies],
        train_accuracy=list(accuracies),
        validation_loss=[1.1 - a for a in accuracies],
        validation_accuracy=[a - 0.1 for a in accuracies],
    )


def texts(artist) -> set[str]:
    return {text.get_text() for text in artist.findobj(matplotlib.text.Text)}


def shown(axis) -> torch.Tensor:
    return torch.as_tensor(axis.images[0].get_array())


TWO = {"ReLU": history(0.5, 0.7, 0.8), "sigmoid": history(0.2, 0.3)}


def test_curves_draw_every_value_of_every_history():
    loss, accuracy = plotting.curves(TWO).axes
    assert [list(line.get_ydata()) for line in accuracy.lines] == [
        pytest.approx([0.5, 0.7, 0.8]),
        pytest.approx([0.4, 0.6, 0.7]),
        pytest.approx([0.2, 0.3]),
        pytest.approx([0.1, 0.2]),
    ]
    assert list(loss.lines[0].get_xdata()) == [1, 2, 3]
    looks = {(line.get_linestyle(), line.get_marker()) for line in accuracy.lines}
    assert len(looks) == 4, "two lines look the same without colour"


def test_curves_apart_have_a_column_for_each_history_on_common_axes():
    figure = plotting.curves(TWO, apart=True)
    above, below = figure.axes[:2], figure.axes[2:]
    assert [axis.get_title() for axis in above] == ["ReLU", "sigmoid"]
    for column, own, other in ((0, "ReLU", "sigmoid"), (1, "sigmoid", "ReLU")):
        drawn = [list(line.get_ydata()) for line in below[column].lines]
        mine = TWO[own].train_accuracy, TWO[own].validation_accuracy
        assert drawn == [TWO[other].validation_accuracy, *mine]
        assert list(above[column].lines[1].get_ydata()) == TWO[own].train_loss
    assert above[0].get_ylim() == above[1].get_ylim() and below[0].get_ylim() == below[1].get_ylim()
    [legend] = figure.legends
    names = [text.get_text() for text in legend.get_texts()]
    assert names == ["the others: validation", "train", "validation"]


def test_curves_of_one_history_without_validation():
    figure = plotting.curves(History(train_loss=[1.0], train_accuracy=[0.5]))
    assert [len(axis.lines) for axis in figure.axes] == [1, 1]
    epochs = figure.axes[0].get_xticks()
    assert all(epoch == int(epoch) for epoch in epochs), "there is no half epoch"


def test_distribution_has_a_dot_for_every_run_and_the_median():
    groups = {"a": [0.1, 0.5, 0.9], "b": [0.3]}
    figure = plotting.distribution(groups, xlabel="accuracy", lines={"guessing": 0.1})
    dots = [collection.get_offsets()[:, 0].tolist() for collection in figure.axes[0].collections]
    assert dots == [[0.1, 0.5, 0.9], [0.3]]
    assert {"50.0%", "30.0%", "guessing", "a\n3 runs", "b\n1 run"} <= texts(figure)


def test_distribution_says_once_what_is_the_same_for_all():
    axis = plotting.distribution({"a": [0.1, 0.5], "b": [0.3, 0.4]}, xlabel="accuracy").axes[0]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["a", "b"]
    assert axis.get_xlabel() == "accuracy (%), 2 runs each"


@pytest.mark.parametrize("values", [[], [0.5, float("nan")]])
@pytest.mark.parametrize("draws", [plotting.distribution, plotting.loss_log])
def test_runs_without_a_number_are_refused(draws, values):
    with pytest.raises(ValueError, match=r"one finite number .* 'diverged' has \["):
        draws({"good": [0.5], "diverged": values}, xlabel="accuracy")


def test_distribution_is_the_same_every_time():
    def offsets():
        figure = plotting.distribution({"a": [0.2] * 40}, xlabel="x")
        return figure.axes[0].collections[0].get_offsets().tolist()

    assert offsets() == offsets()
    heights = [y for _, y in offsets()]
    assert len(set(heights)) == 40, "equal runs hide each other"


def test_loss_log_joins_the_medians():
    figure = plotting.loss_log({"start": [0.7, 0.8, 0.75], "ReLU": [0.9, 0.85]}, xlabel="accuracy")
    joined = [line for line in figure.axes[0].lines if line.get_marker() == "o"]
    assert joined[0].get_xdata() == pytest.approx([0.75, 0.875])
    assert {"75.0%", "87.5%", "start", "+ ReLU"} <= texts(figure)


def test_images_mark_wrong_predictions_without_colour():
    pictures = torch.rand(3, 1, 8, 8)
    figure = plotting.images(pictures, [0, 1, 1], [0, 1, 0], classes=("bag", "shirt"))
    titles = [axis.get_title() for axis in figure.axes]
    assert titles == ["bag", "shirt", "shirt\n✗ bag"]
    frames = [axis.spines["left"].get_visible() for axis in figure.axes]
    assert frames == [False, False, True]
    torch.testing.assert_close(shown(figure.axes[2]), pictures[2, 0])


def test_images_in_colour_and_as_bytes():
    figure = plotting.images(torch.randint(0, 256, (12, 3, 5, 5), dtype=torch.uint8), columns=5)
    assert len([axis for axis in figure.axes if axis.get_visible()]) == 12
    assert figure.axes[0].images[0].get_array().shape == (5, 5, 3)


def test_filters_share_one_scale_around_zero():
    layer = nn.Conv2d(1, 6, 5)
    figure = plotting.filters(layer, title="kernels")
    limit = float(layer.weight.detach().abs().max())
    *panels, bar = figure.axes
    assert len(panels) == 6
    assert bar.get_ylabel() == "weight"
    for axis, kernel in zip(panels, layer.weight.detach()):
        assert axis.images[0].get_clim() == pytest.approx((-limit, limit))
        torch.testing.assert_close(shown(axis), kernel[0])


def test_1x1_filters_are_one_table():
    layer = nn.Conv2d(7, 5, 1)
    figure = plotting.filters(layer)
    table = figure.axes[0]
    torch.testing.assert_close(shown(table), layer.weight.detach()[:, :, 0, 0])
    assert (table.get_xlabel(), figure.axes[1].get_ylabel()) == ("input channel", "weight")


def test_feature_maps_are_what_the_layer_gives():
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5))
    image = torch.randn(1, 6, 6)
    figure = plotting.feature_maps(model, image, model[2])
    expected = model[:3].eval()(image[None])[0].detach()
    picture, *maps, bar = [axis for axis in figure.axes if axis.get_visible()]
    assert len(maps) == 4
    torch.testing.assert_close(shown(picture), image[0])
    assert bar.get_ylim() == pytest.approx((float(expected.min()), float(expected.max())))
    for axis, channel in zip(maps, expected):
        assert axis.images[0].get_clim() == pytest.approx(bar.get_ylim()), "the bar is for all maps"
        torch.testing.assert_close(shown(axis), channel)


def test_maps_on_scales_of_their_own_show_what_is_weak():
    values = torch.stack([torch.linspace(-5, 4, 9), torch.linspace(0, 0.2, 9)]).view(2, 3, 3)
    figure = plotting.maps(values, own_scale=True)
    limits = [axis.images[0].get_clim() for axis in figure.axes]
    assert limits == [pytest.approx((-5, 4)), pytest.approx((0, 0.2))], "and there is no bar"
    assert [axis.get_xlabel() for axis in figure.axes] == ["−5.0 to 4.0", "0.0 to 0.2"]


def test_feature_maps_leave_the_model_as_it_was():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU())
    model.train()
    model[1].eval()  # frozen
    plotting.feature_maps(model, torch.randn(1, 5, 5), model[0])
    assert model.training
    assert [module.training for module in model] == [True, False, True]
    assert not model[0]._forward_hooks


def test_feature_maps_refuse_a_layer_without_maps():
    model = nn.Sequential(nn.Flatten(), nn.Linear(9, 2))
    with pytest.raises(ValueError, match=r"gave \(1, 2\)"):
        plotting.feature_maps(model, torch.randn(1, 3, 3), model[1])
    with pytest.raises(ValueError, match="gave nothing"):
        plotting.feature_maps(model, torch.randn(1, 3, 3), nn.ReLU())


def test_confusion_counts_rows_as_truth():
    figure = plotting.confusion([0, 0, 0, 1], torch.tensor([0, 1, 1, 1]), ("bag", "shirt"))
    numbers = {text.get_position(): text.get_text() for text in figure.axes[0].texts}
    assert numbers == {(0, 0): "1", (1, 0): "2", (1, 1): "1"}


def test_activations_draw_the_statistics():
    model = networks.build("nin_small", batch_norm=False, final_relu=True)
    with torch.no_grad():
        model.features.mlpconv3.cccp2.bias.fill_(-100)  # every class map is dead
    statistics = diagnosis.activation_statistics(model, torch.rand(8, 1, 28, 28))
    figure = plotting.activations({"dead": statistics})
    spread, zeros, dead = figure.axes
    stds = [layer.std for layer in statistics]
    assert stds[-1] == 0 and "exactly 0" in texts(figure)
    drawn = [y for y, std in zip(spread.lines[0].get_ydata(), stds) if std > 0]
    assert drawn == [std for std in stds if std > 0]
    shares = [100 * layer.zeros for layer in statistics]
    assert list(zeros.lines[0].get_ydata()) == pytest.approx(shares)
    assert dead.lines[0].get_ydata()[-1] == 100 > dead.lines[0].get_ydata()[0]


def test_blocks_draw_a_box_for_every_layer():
    columns = {"VGG": [("3×3 conv", "conv"), ("linear", "linear")], "NiN": [("1×1 conv", "1x1")]}
    figure = plotting.blocks(columns)
    assert {"VGG", "NiN", "3×3 conv", "linear", "1×1 conv"} <= texts(figure)
    with pytest.raises(ValueError, match="kind must be one of input, conv, 1x1"):
        plotting.blocks({"VGG": [("3×3", "convolution")]})


def test_mlpconv_figure_joins_every_unit_of_the_mlp():
    figure = plotting.mlpconv_figure()
    linear, mlp = figure.axes
    circles = [len([p for p in a.patches if isinstance(p, plt.Circle)]) for a in (linear, mlp)]
    assert circles == [3, 4 + 4 + 3]
    # From two corners of the patch to the first layer, layer to layer, and to the maps.
    assert len(linear.lines) == 2 * 3 + 3
    assert len(mlp.lines) == 2 * 4 + 4 * 4 + 4 * 3 + 3


def test_no_figure_changes_the_global_style():
    before = dict(matplotlib.rcParams)
    plotting.curves(history(0.5))
    plotting.bars({"a": 1.0, "b": 2.5}, ylabel="count", form=".1f")
    assert dict(matplotlib.rcParams) == before


# --- fonts ----------------------------------------------------------------------------------------


def make_font(path, family, characters):
    """A font file whose characters are all the same triangle."""
    pen = TTGlyphPen(None)
    pen.moveTo((0, 0))
    pen.lineTo((800, 0))
    pen.lineTo((0, 800))
    pen.closePath()
    names = [".notdef", *(f"uni{ord(c):04X}" for c in characters)]
    font = FontBuilder(1000)
    font.setupGlyphOrder(names)
    font.setupCharacterMap({ord(c): f"uni{ord(c):04X}" for c in characters})
    font.setupGlyf({name: pen.glyph() for name in names})
    font.setupHorizontalMetrics({name: (1000, 0) for name in names})
    font.setupHorizontalHeader(ascent=800, descent=-200)
    font.setupNameTable({"familyName": family, "styleName": "Regular"})
    font.setupOS2()
    font.setupPost()
    font.save(path)
    return str(path)


@pytest.fixture
def fonts(monkeypatch, caplog):
    """Those that matplotlib brings, as on a machine without Chinese; no warning of a font."""
    own = [f for f in font_manager.fontManager.ttflist if "mpl-data" in f.fname]
    monkeypatch.setattr(font_manager.fontManager, "ttflist", own)
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda: [])
    look._with_chinese.cache_clear()
    yield own
    for number in plt.get_fignums():
        plt.figure(number).canvas.draw()
    look._with_chinese.cache_clear()
    assert not caplog.get_records("call")


def title_family(text="中网 1"):
    """The fonts of a title, which is drawn; a box in place of a character is a warning."""
    figure = plotting.curves(history(0.5), title=text)
    figure.canvas.draw()
    return figure._suptitle.get_fontfamily()


def test_without_a_chinese_font_nothing_changes(fonts):
    assert title_family("one")[0] == "DejaVu Sans"
    with pytest.warns(UserWarning, match="Glyph .* missing from font"):
        title_family()
    plt.close("all")


@pytest.mark.parametrize("family", ["SimHei", "Noto Sans CJK JP", "A font that nobody knows"])
@pytest.mark.parametrize("listed", [True, False])
def test_chinese_is_drawn_with_any_font_that_has_it(fonts, tmp_path, monkeypatch, family, listed):
    path = make_font(tmp_path / "font.ttf", family, "中网")
    if listed:
        font_manager.fontManager.addfont(path)
    else:  # installed after matplotlib made its list
        broken = tmp_path / "broken.ttf"
        broken.write_bytes(b"no font")
        monkeypatch.setattr(font_manager, "findSystemFonts", lambda: [str(broken), path])
    assert title_family() == ["DejaVu Sans", family]


@pytest.mark.parametrize("missing", [[], ["SimHei"]])
@pytest.mark.parametrize(
    "setting", ["font.sans-serif", "font.family", "font.serif by family", "font.family sans"]
)
def test_the_font_that_a_learner_chose_wins(fonts, tmp_path, setting, missing):
    font_manager.fontManager.addfont(make_font(tmp_path / "a.ttf", "Learner Hei", "中网1"))
    font_manager.fontManager.addfont(make_font(tmp_path / "b.ttf", "WenQuanYi Zen Hei", "中网"))
    key, _, how = setting.partition(" ")
    chosen = {key: [*missing, "learner hei"]}  # matplotlib takes any case
    if how == "by family":
        chosen["font.family"] = "serif"
    elif how == "sans":
        chosen = {"font.family": "sans", "font.sans-serif": [*missing, "learner hei"]}
    with plt.rc_context(chosen):
        families = title_family()
    assert families == ["learner hei", "DejaVu Sans", "WenQuanYi Zen Hei"]


@pytest.mark.parametrize("latex", [None, "/usr/bin/latex"])
def test_a_setting_that_needs_latex_is_left_out_where_there_is_none(monkeypatch, latex):
    monkeypatch.setattr(look.shutil, "which", lambda name: latex)
    with plt.rc_context({"text.usetex": True}), plotting.style():
        assert plt.rcParams["text.usetex"] is (latex is not None)


def test_branches_are_joined_and_their_channels_added():
    pool = ("3×3 max\npool, 192", "pool")
    figure = plotting.branches(
        {
            "naive": [[("1×1, 64", "1x1")], [("3×3, 128", "conv")], [pool]],
            "reduced": [[("1×1, 96", "1x1"), ("3×3, 128", "conv")], [pool, ("1×1, 32", "1x1")]],
        },
        source="input, 192 channels",
    )
    for axis, channels in zip(figure.axes, (384, 160), strict=True):
        assert {"input, 192 channels", f"joined, {channels} channels"} <= texts(axis)
    kind = matplotlib.patches.FancyArrowPatch
    arrows = [sum(isinstance(patch, kind) for patch in axis.patches) for axis in figure.axes]
    assert arrows == [3 * 2, 2 * 3]  # into and out of each branch, and between its layers


def test_distribution_says_what_is_outside_its_axis():
    groups = {"near": [0.8, 0.82], "far": [0.5, 0.6], "split": [0.5, 0.81, 0.82]}
    axis = plotting.distribution(groups, xlabel="accuracy", xlim=(0.75, 0.9)).axes[0]
    names = [label.get_text() for label in axis.get_yticklabels()]
    assert names == ["near\n2 runs", "far\n2 runs, 2 outside", "split\n3 runs, 1 outside"]
    assert [text.get_text() for text in axis.texts] == ["81.0%", "← 55.0%", "81.0%"]
    above = plotting.distribution({"far": [1.0]}, xlabel="accuracy", xlim=(0.75, 0.9)).axes[0]
    assert [text.get_text() for text in above.texts] == ["100.0% →"]


def test_a_font_without_bold_letters_goes_unmentioned(caplog, monkeypatch):
    monkeypatch.setattr(look, "_with_chinese", lambda installed: ["cmr10"])  # has no bold one
    with plotting.style():
        figure, axis = plt.subplots()
        axis.set_title("bold", fontweight="bold")
    figure.canvas.draw()
    assert caplog.text == ""


def test_feature_maps_refuse_a_photograph_that_is_not_prepared():
    model = nn.Sequential(nn.Conv2d(3, 2, 1))
    with pytest.raises(TypeError, match=r"got Image: of a photograph, give it what `model\."):
        plotting.feature_maps(model, Image.new("RGB", (4, 4)), model[0])
