"""Photographs of learners: files of every kind, what networks answer, and where they looked."""

import shutil

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from PIL import Image

from utils.networks import build, pretrained
from utils.topics import photos


@pytest.fixture(scope="module")
def cat():
    return photos.example("chelsea")


@pytest.fixture(scope="module")
def squeezenet():
    return build("squeezenet", pretrained=True)


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def close(first, second, tolerance=12):
    """Are two pictures the same but for what a format costs?"""
    a, b = (np.asarray(picture.convert("RGB"), float) for picture in (first, second))
    return a.shape == b.shape and np.abs(a - b).mean() < tolerance


# --- files ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        *(("a.jpg", "RGB"), ("a.png", "RGB"), ("a.bmp", "RGB"), ("a.webp", "RGB")),
        *(("a.png", "RGBA"), ("a.png", "P"), ("a.gif", "P"), ("a.jpg", "CMYK"), ("a.tif", "CMYK")),
        *(("Ein Bild (1) 猫.JPG", "RGB"), ("without_ending", "RGB")),
    ],
)
def test_files_of_every_kind_are_the_same_picture(name, mode, cat, tmp_path):
    path = tmp_path / name
    stored = cat.quantize(256) if mode == "P" else cat.convert(mode)
    stored.save(path, format="JPEG" if "." not in name else None)
    read = photos.read(path)
    assert read.mode == "RGB" and close(read, cat), (name, mode)


@pytest.mark.parametrize("mode", ["L", "1", "LA", "I;16", "F"])
def test_grey_files_stay_grey(mode, cat, tmp_path):
    grey = cat.convert("L")
    if mode == "I;16":
        picture = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    else:
        picture = cat.convert(mode) if mode != "LA" else grey.convert("LA")
    path = tmp_path / ("a.tif" if mode == "F" else "a.png")
    picture.save(path)
    read = np.asarray(photos.read(path), float)
    assert np.ptp(read, axis=2).max() == 0
    if mode != "1":
        wanted = np.asarray(grey, float)
        assert np.corrcoef(read[..., 0].ravel(), wanted.ravel())[0, 1] > 0.99


def test_what_is_clear_is_white(tmp_path):
    picture = Image.new("RGBA", (40, 40), (255, 0, 0, 0))
    picture.paste((0, 0, 255, 255), (0, 0, 20, 40))
    picture.save(tmp_path / "a.png")
    read = photos.read(tmp_path / "a.png")
    assert read.getpixel((5, 5)) == (0, 0, 255) and read.getpixel((35, 5)) == (255, 255, 255)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_phone_s_note_how_it_was_held_is_followed(orientation, tmp_path):
    """The picture is stored turned; every program that shows photographs turns it back."""
    upright = Image.new("RGB", (60, 40))
    upright.paste((250, 250, 250), (0, 0, 30, 20))  # the light is above and at the left
    back = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = upright.transpose(back[orientation]) if orientation in back else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "a.jpg", exif=exif, quality=95)
    read = photos.read(tmp_path / "a.jpg")
    assert read.size == (60, 40) and close(read, upright)


def test_an_animation_is_its_first_picture(cat, tmp_path):
    cat.save(tmp_path / "a.gif", save_all=True, append_images=[Image.new("RGB", cat.size)] * 3)
    assert close(photos.read(tmp_path / "a.gif"), cat, 20)


def test_large_and_long_pictures_are_made_smaller(tmp_path):
    Image.new("RGB", (4000, 3000), "green").save(tmp_path / "large.jpg")
    assert max(photos.read(tmp_path / "large.jpg").size) <= photos.LARGEST
    Image.new("RGB", (1500, 100)).save(tmp_path / "long.png")
    assert photos.read(tmp_path / "long.png").size == (300, 100)
    Image.new("RGB", (100, 1500)).save(tmp_path / "high.png")
    assert photos.read(tmp_path / "high.png").size == (100, 300)


@pytest.mark.parametrize("size", [(1, 1), (1, 900), (900, 1), (3, 2)])
def test_pictures_of_few_pixels_work(size, squeezenet, tmp_path):
    Image.new("RGB", size, "blue").save(tmp_path / "a.png")
    found = photos.look(tmp_path / "a.png", squeezenet)
    assert len(found) == 5 and all(0 <= answer.share <= 1 for answer in found)


def broken(tmp_path, cat):
    cat.save(tmp_path / "cut.jpg")
    content = (tmp_path / "cut.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(content[: len(content) // 3])
    cat.save(tmp_path / "cut.png")
    content = (tmp_path / "cut.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(content[: len(content) // 3])
    (tmp_path / "text.jpg").write_text("this is no picture")
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "phone.HEIC").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(90))
    (tmp_path / "renamed.jpg").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(90))
    (tmp_path / "page.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nowhere.jpg", "There is no file .*nowhere.jpg; the folder of this notebook is"),
        (".", "is a folder: name one picture in it"),
        ("text.jpg", "is no picture that can be read: expected JPEG, PNG"),
        ("page.svg", "is no picture that can be read: expected JPEG, PNG"),
        ("empty.png", "is empty: copy the picture again"),
        ("phone.HEIC", "HEIC for example, .* save it as JPEG first"),
        ("renamed.jpg", "HEIC for example, .* save it as JPEG first"),
        ("cut.jpg", "is damaged and cannot be read"),
        ("cut.png", "is damaged and cannot be read"),
    ],
)
def test_wrong_files_get_one_sentence(name, words, cat, tmp_path):
    broken(tmp_path, cat)
    with pytest.raises(photos.PhotoError, match=words) as caught:
        photos.look(tmp_path / name)
    message = str(caught.value)
    assert message.endswith(".") and "\n" not in message
    assert caught.value._render_traceback_() == [f"problem: {message}"]


def test_too_many_pixels_get_one_sentence(cat, tmp_path, monkeypatch):
    cat.save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(photos.PhotoError, match="has too many pixels: make it smaller"):
        photos.read(tmp_path / "a.png")


def test_names_of_the_course_and_paths(cat, tmp_path, monkeypatch):
    shutil.copy(photos.FOLDER / "chelsea.jpg", tmp_path / "coffee")  # a file like a name
    monkeypatch.chdir(tmp_path)
    assert close(photos.read("coffee"), cat)
    assert {path.stem for path in photos.FOLDER.glob("*.jpg")} == set(photos.NAMES)
    with pytest.raises(ValueError, match="no photograph 'dog': choose one of astronaut, chelsea"):
        photos.example("dog")


# --- answers and maps -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["squeezenet", "efficientnet_lite0"])
def test_look_says_the_classes_and_draws_both_pictures(name, capsys):
    found = photos.look("chelsea", name)
    printed = capsys.readouterr().out.splitlines()
    assert found[0].name == "Egyptian cat" and "Egyptian cat" in printed[0] and len(printed) == 5
    assert [answer.share for answer in found] == sorted((a.share for a in found), reverse=True)


def test_the_figure_has_the_photograph_and_the_map(cat, squeezenet):
    map = photos.class_maps(squeezenet, cat, [285])[0]
    figure = photos.seen(cat, map, "Egyptian cat")
    first, second = figure.axes
    assert first.get_title() == "the photograph"
    assert second.get_title() == "where it saw “Egyptian cat”"
    assert len(first.images) == 1 and len(second.images) == 2  # the map lies over the photograph


@pytest.mark.parametrize("name", ["squeezenet", "efficientnet_lite0"])
def test_the_average_of_a_class_map_is_the_logit(name, cat):
    """What makes the map an explanation: nothing else reaches the logit, apart from a bias."""
    network = build(name, pretrained=True)
    with torch.no_grad():
        logits = network(network.prepare(cat))[0]
    classes = logits.topk(5).indices.tolist()
    averages = photos.class_maps(network, cat, classes).mean(dim=(1, 2))
    linear = getattr(network.classifier, "linear", None)
    bias = linear.bias[classes] if linear is not None else 0
    assert torch.allclose(averages + bias, logits[classes], rtol=1e-3, atol=1e-3)


def test_the_map_follows_the_cat(squeezenet):
    """A cat pasted at the left or right of grey: the map's centre goes with it."""
    cat, centres = photos.example("chelsea").resize((300, 200)), []
    for left in (0, 300):
        canvas = Image.new("RGB", (600, 200), "grey")
        canvas.paste(cat, (left, 0))
        map = photos.class_maps(squeezenet, canvas, [285])[0]
        columns = torch.arange(map.shape[1]) / (map.shape[1] - 1)
        centres.append(float((map.sum(dim=0) * columns).sum() / map.sum()))
    assert centres[0] < 0.45 and centres[1] > 0.55


def test_torchvisions_networks_have_maps_too_and_vgg_has_none(cat):
    network = build("resnet18")
    network.preprocessing = pretrained.FETCHED["resnet18"].preprocessing
    assert photos.class_maps(network, cat, [3, 5]).shape == (2, 7, 11)
    vgg = build("vgg_small", in_channels=3)
    vgg.preprocessing = pretrained.Preprocessing(32, (0.0,) * 3)
    with pytest.raises(ValueError, match="vgg_small has no class activation maps: they need a"):
        photos.class_maps(vgg, cat, [3])


def test_classes_are_named_in_the_course_s_language(cat, squeezenet, monkeypatch):
    monkeypatch.setenv("COURSE_LANGUAGE", "zh")
    assert photos.answers(squeezenet, cat)[0].name == "埃及猫"


def test_another_network_gets_one_sentence(cat):
    with pytest.raises(TypeError, match="network is a name or a network of the course, but got Li"):
        photos.answers(torch.nn.Linear(1, 1), cat)
    with pytest.raises(ValueError, match=r'build\("resnet18", pretrained=True\)'):
        photos.answers(build("resnet18"), cat)


def test_numbers_of_classes():
    assert photos.class_number("Egyptian cat") == 285 and photos.class_number("tench") == 0
    with pytest.raises(ValueError, match="no class 'astronaut'; classes like it: none"):
        photos.class_number("astronaut")
    with pytest.raises(ValueError, match=r"no class 'helmet'; classes like it: .*football helmet"):
        photos.class_number("helmet")
    assert photos.classes_with("Football") == ["football helmet"]
