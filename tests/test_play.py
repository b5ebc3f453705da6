"""The page to play with: its networks are those of torch, and it works in a real browser.

What needs Chromium (or Chrome) and `python -m pip install playwright` is skipped without them.
"""

import dataclasses
import functools
import gzip
import http.server
import io
import json
import math
import re
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.fx
import torch.nn.functional as F
from PIL import Image

from benchmarks import common, play
from tools import ROOT
from tools.site import first_page
from utils import data, results
from utils.networks import pretrained
from utils.topics import photos

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
PATIENCE = 120_000  # milliseconds, for a busy machine
STRINGS = json.loads((first_page.PLAY / "strings.json").read_text(encoding="utf-8"))
SCRIPTS = "".join(path.read_text(encoding="utf-8") for path in first_page.PLAY.glob("*.js"))
PAGE = (first_page.PLAY / "page.html").read_text(encoding="utf-8")
STORED = first_page.networks()


def stored(name):
    return results.load(f"play/{name}.json")


# --- what is stored -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", STORED)
def test_a_stored_network_is_the_courses(name):
    content, network = stored(name), play.load(name)
    assert content["steps"] == play.steps(network)
    tensors = [[key, list(tensor.shape)] for key, tensor in play.tensors(network).items()]
    assert content["tensors"] == tensors
    recipe = play.accuracy.RECIPES[name]
    assert content["recipe"] == json.loads(json.dumps({"images": 55_000, **recipe}))
    assert content["parameters"] == sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize("name", STORED)
def test_the_stored_accuracy_is_that_of_the_recipe_and_rounding_costs_nothing(name):
    content, benchmark = stored(name), results.load(f"accuracy/{name}.json")["test_accuracy"]
    assert benchmark["min"] - 0.005 <= content["test_accuracy"] <= benchmark["max"] + 0.005
    assert abs(content["test_accuracy"] - content["test_accuracy_in_float32"]) <= 0.001


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=() if n == "lenet" else pytest.mark.long) for n in STORED]
)
def test_the_accuracy_that_the_page_names(name):
    test = data.load("fashion_mnist", device="cpu", batch_size=500).test
    assert common.accuracy(play.load(name), test) == pytest.approx(
        stored(name)["test_accuracy"], abs=3e-4
    )


def test_every_network_of_the_page_is_stored():
    assert tuple(first_page.TITLES) == play.NAMES
    missing = [name for name in play.NAMES if name not in STORED]
    if missing:
        pytest.skip(f"not trained yet: `python -m benchmarks.play {' '.join(missing)}`")


def test_a_page_without_networks_is_not_built(tmp_path, monkeypatch):
    monkeypatch.setattr(first_page, "STORED", tmp_path)
    with pytest.raises(
        FileNotFoundError, match=r"has no network: run `python -m benchmarks\.play`"
    ):
        first_page.networks()


def test_the_images_are_from_the_test_set():
    images, test = results.load("play/images.json"), data.load("fashion_mnist", device="cpu").test
    assert test.labels[images["index"]].tolist() == images["label"]
    assert sorted(images["label"]) == sorted(4 * list(range(10)))
    pixels = first_page.base64.b64decode(images["pixels"])
    assert pixels == test.images[images["index"]].numpy().tobytes()


def test_all_networks_together_are_small():
    assert sum(path.stat().st_size for path in first_page.STORED.glob("*.f16")) < 2e6


def test_a_file_of_another_size_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(play.results, "FOLDER", tmp_path)
    (tmp_path / "play").mkdir()
    (tmp_path / "play" / "lenet.f16").write_bytes(bytes(4))
    with pytest.raises(ValueError, match=r"has 2 values, but the network has 61706: run"):
        play.load("lenet")


def test_the_network_for_photographs_is_the_courses():
    content, network = stored("squeezenet"), play.load("squeezenet")
    assert content["steps"] == play.steps(network)
    tensors = pretrained.stored("squeezenet")
    assert content["tensors"] == [
        [key, list(tensor.shape), str(tensor.dtype)[6:]] for key, tensor in tensors.items()
    ]
    preparation = {key: content[key] for key in ("size", "mean", "std", "bgr")}
    wanted = dataclasses.asdict(pretrained.STORED["squeezenet"])
    assert preparation == json.loads(json.dumps(wanted))


def test_the_photographs_are_the_courses_with_their_credits(monkeypatch):
    assert sorted(first_page.PHOTOGRAPHS) == sorted(photos.NAMES)
    credits = first_page.credits()
    assert credits["china"] == "danielbuechele, CC BY 2.0"
    assert credits["astronaut"] == "NASA: Eileen Collins, public domain"
    for language in ("en", "zh"):
        assert STRINGS[language]["photographs"].keys() == credits.keys()
    monkeypatch.setattr(first_page, "PHOTOGRAPHS", ("chelsea", "dog"))
    with pytest.raises(ValueError, match=r"licences\.md names .*china.*, not chelsea, dog"):
        first_page.credits()


def test_what_the_page_does_not_know_is_refused():
    network = play.networks.build("lenet", activation="tanh")
    with pytest.raises(ValueError, match=r"The page knows no Tanh\(\)"):
        play.steps(network)
    network = play.networks.build("lenet")
    with torch.no_grad():
        network.features.conv1.weight[0] = 1e6
    with pytest.raises(ValueError, match="half precision cannot hold"):
        play.round_to_half(network)


# --- texts ----------------------------------------------------------------------------------------


def test_both_languages_have_the_same_texts():
    english, chinese = STRINGS["en"], STRINGS["zh"]
    assert english.keys() == chinese.keys()
    for key, text in english.items():
        fields = [sorted(set(re.findall(r"\{\w+\}", str(t)))) for t in (text, chinese[key])]
        assert fields[0] == fields[1], key
    assert tuple(english["classes"]) == data.FASHION_CLASSES
    assert len(chinese["classes"]) == 10


def test_every_text_is_there_and_used():
    asked = set(re.findall(r'data-(?:text|label)="(\w+)"', PAGE))
    asked |= set(re.findall(r'\btext\(\s*"(\w+)"', SCRIPTS))
    assert asked <= STRINGS["en"].keys()
    built = re.findall(r"\btext\(\s*`(\w+_?)\$\{", SCRIPTS)  # as `op_${kind}`
    asked |= {key for key in STRINGS["en"] for start in built if key.startswith(start)}
    named = {key for key in STRINGS["en"] if re.search(rf'"{key}"', SCRIPTS)}
    sliders = set(re.findall(r"(\w+): \[\d, \d\]", SCRIPTS))
    assert STRINGS["en"].keys() - asked - named - sliders == set()


def test_sentences_are_short():
    for key, text in STRINGS["en"].items():
        for sentence in re.split(r"(?<=[.:;])\s", str(text)):
            assert len(re.sub(r"\{\w+\}|[·×()/⌊⌋+−=]", "", sentence).split()) <= 20, key


def test_english_texts_are_in_the_page_before_the_scripts_run():
    page = first_page.with_texts(
        '<p data-text="title"></p><b data-label="seen"></b>', STRINGS["en"]
    )
    assert f">{STRINGS['en']['title']}</p>" in page
    assert f'aria-label="{STRINGS["en"]["seen"]}"' in page


# --- in a browser ---------------------------------------------------------------------------------


class Compressing(http.server.SimpleHTTPRequestHandler):
    """Compresses as GitHub Pages does."""

    def log_message(self, *_):
        pass

    def do_GET(self):
        path = Path(self.translate_path(self.path))
        if not path.is_file():
            return self.send_error(404)
        content = gzip.compress(path.read_bytes())
        self.send_response(200)
        self.send_header("Content-Type", self.guess_type(str(path)))
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The part to play with alone, without the rest of the site."""
    folder = tmp_path_factory.mktemp("play")
    first_page.store_play(folder / "_static" / "play")
    shutil.copy(ROOT / "tools/site/static/icon.svg", folder / "below.svg")
    for name, language in (("index.html", "en"), ("zh/index.html", "zh-CN")):
        content = first_page.play(language[:2]).split("\n", 1)[1].rpartition("\n")[0]
        head = f'<!doctype html><html lang="{language}"><meta charset="utf-8"><title>play</title>'
        head += '<meta name="viewport" content="width=device-width"><link rel="icon" href="data:,">'
        (folder / name).parent.mkdir(exist_ok=True)
        below = f'<img src="{"../" * name.count("/")}below.svg" loading="lazy" alt="">'
        (folder / name).write_text(f"{head}<body>{content}{below}", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def chromium():
    if BROWSER is None:
        pytest.skip("no Chromium or Chrome found")
    api = pytest.importorskip("playwright.sync_api", reason="python -m pip install playwright")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def address(folder):
    handler = functools.partial(Compressing, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture
def opened(chromium, address):
    """A function that opens the page; afterwards nothing was asked for outside, nothing failed."""
    trouble, contexts = [], []

    def open_page(width=1280, at=None, **options):
        at = at or f"{address}/index.html"
        context = chromium.new_context(viewport={"width": width, "height": 844}, **options)
        context.set_default_timeout(PATIENCE)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda m: trouble.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: trouble.append(str(error)))
        page.on("requestfailed", lambda request: trouble.append(request.url))
        here = (at.removesuffix("index.html").removesuffix("zh/"), "data:", "blob:")
        page.on("request", lambda r: None if r.url.startswith(here) else trouble.append(r.url))
        page.goto(at)
        page.wait_for_selector("#play[data-ready]", timeout=PATIENCE)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert trouble == []


class Results(torch.fx.Interpreter):
    """What torch computes, step by step; dropout and the like are no steps of the page."""

    def __init__(self, network):
        super().__init__(torch.fx.symbolic_trace(network))
        self.outputs = []

    def run_node(self, node):
        result = super().run_node(node)
        module = self.module.get_submodule(node.target) if node.op == "call_module" else None
        skipped = isinstance(module, torch.nn.Dropout | torch.nn.Identity)
        if node.op not in ("placeholder", "output") and not skipped:
            self.outputs.append(result[0].flatten())
        return result


def torch_outputs(network, pixels):
    mean, std = data.STATISTICS["fashion_mnist"]
    image = torch.tensor(pixels, dtype=torch.float32).view(1, 1, 28, 28)
    interpreter = Results(network.eval())
    with torch.no_grad():
        interpreter.run((image / 255 - mean[0]) / std[0])
    return interpreter.outputs


@pytest.fixture(scope="module")
def pictures():
    """Images (bytes): test images, random dots, black and white."""
    images = results.load("play/images.json")
    pixels = np.frombuffer(first_page.base64.b64decode(images["pixels"]), np.uint8)
    chosen = pixels.reshape(-1, 784)[[0, 7, 19, 33]]
    noise = np.random.default_rng(0).integers(0, 256, (1, 784))
    return np.concatenate([chosen, noise, np.zeros((1, 784)), np.full((1, 784), 255)]).astype(int)


@pytest.mark.parametrize("name", STORED)
def test_every_layer_score_and_activation_map_is_torchs(name, opened, pictures):
    page, network = opened(), play.load(name)
    page.evaluate("name => oneByOne.choose(name)", name)
    compute = """pixels => {
        const network = oneByOne.state.network;
        const outputs = oneByOne.run(network, oneByOne.normalise(network, pixels));
        const maps = Array.from({length: 10}, (_, label) =>
            oneByOne.activationMap(network, outputs, label));
        return {
            outputs: outputs.map((output) => [...output.values]),
            maps: maps.map((map) => map && [...map.values]),
            shares: oneByOne.softmax(outputs.at(-1).values),
        };
    }"""
    for pixels in pictures:
        wanted, got = torch_outputs(network, pixels), page.evaluate(compute, pixels.tolist())
        assert len(got["outputs"]) == len(wanted) == len(stored(name)["steps"])
        for step, ours, theirs in zip(stored(name)["steps"], got["outputs"], wanted):
            difference = (torch.tensor(ours) - theirs).abs().max().item()
            assert difference < 1e-4, step["name"]
        shares = torch.softmax(wanted[-1], 0)
        assert torch.tensor(got["shares"]).sub(shares).abs().max() < 1e-4
        if name == "lenet":
            assert got["maps"] == [None] * 10
            continue
        maps = torch.tensor(got["maps"])
        steps = stored(name)["steps"]
        pooling = next(n for n, step in enumerate(steps) if step["op"] == "average")
        features = wanted[steps[pooling]["inputs"][0]].view(-1, maps.shape[1])
        linear = getattr(network.classifier, "linear", None)
        cams = features if linear is None else linear.weight.detach() @ features
        assert (maps - cams).abs().max() < 1e-4
        bias = 0 if linear is None else linear.bias.detach()
        assert (maps.mean(1) + bias - wanted[-1]).abs().max() < 1e-4


def test_half_precision_is_numpys(opened):
    every = np.arange(2**16, dtype="<u2")
    got = opened().evaluate(
        "text => [...oneByOne.halves(oneByOne.bytes(text))].map(String)",
        first_page.base64.b64encode(every.tobytes()).decode(),
    )
    wanted = every.view("<f2").astype(np.float64)
    got = np.array([float(value.replace("Infinity", "inf")) for value in got])
    assert np.array_equal(got, wanted, equal_nan=True)


def test_convolutions_and_all_their_products_are_torchs(opened):
    page, random, tried = opened(), np.random.default_rng(1), 0
    compute = """settings => {
        const layer = oneByOne.convolution(settings);
        if (layer === null) return null;
        const count = layer.seen * settings.kernel ** 2;
        const ends = [...layer.output.values].map((_, position) =>
            oneByOne.product(settings, layer, (position + 1) * count - 1));
        const products = Array.from({length: layer.output.values.length * count}, (_, n) =>
            oneByOne.product(settings, layer, n)).map((at) => at.pixel * at.weight);
        return {
            image: [...layer.image.values], weight: [...layer.weight],
            output: [...layer.output.values], side: layer.side, products,
            sums: ends.map((at) => at.sum),
            places: ends.map((at) => [at.channel, at.row, at.column]),
        };
    }"""
    for _ in range(120):
        size, kernel, padding = (int(random.integers(*r)) for r in ((3, 8), (1, 6), (0, 3)))
        stride, dilation = (int(value) for value in random.integers(1, 4, 2))
        inputs, outputs = (int(value) for value in random.integers(1, 5, 2))
        shared = [g for g in range(1, 5) if inputs % g == outputs % g == 0]
        groups = int(random.choice(shared))
        settings = dict(size=size, kernel=kernel, stride=stride, padding=padding)
        settings |= dict(dilation=dilation, inputs=inputs, outputs=outputs, groups=groups)
        got = page.evaluate(compute, settings)
        if size + 2 * padding < dilation * (kernel - 1) + 1:
            assert got is None
            continue
        tried += 1
        image = torch.tensor(got["image"]).view(1, inputs, size, size)
        weight = torch.tensor(got["weight"]).view(outputs, inputs // groups, kernel, kernel)
        wanted = F.conv2d(image, weight, None, stride, padding, dilation, groups)[0]
        assert list(wanted.shape) == [outputs, got["side"], got["side"]]
        assert got["output"] == got["sums"] == wanted.flatten().tolist()
        count = weight[0].numel()
        assert len(got["products"]) == wanted.numel() * count
        sums = np.array(got["products"]).reshape(-1, count).sum(1)
        assert sums.tolist() == got["output"]
        assert got["places"] == [list(p) for p in np.ndindex(*wanted.shape)]
    assert tried > 60


# --- photographs ----------------------------------------------------------------------------------


def png(picture):
    file = io.BytesIO()
    picture.save(file, "PNG")
    return {"name": "mine.png", "mimeType": "image/png", "buffer": file.getvalue()}


def test_photographs_are_prepared_as_by_torch(opened):
    page, network = opened(), play.load("squeezenet")
    random = np.random.default_rng(2)
    compute = """({width, height, data}) => {
        const network = {size: 224, mean: [104, 117, 123], std: [1, 1, 1], bgr: true};
        const pixels = oneByOne.bytes(data);
        const {shape, values} = oneByOne.prepare(network, {width, height, data: pixels});
        return {shape, some: [...values].filter((_, n) => n % 7 === 0)};
    }"""
    # Smaller, larger, one side only, and half pixels: Python rounds those to even numbers.
    for width, height in ((451, 300), (100, 80), (224, 500), (64, 67), (65, 64), (300, 224)):
        pixels = random.integers(0, 256, (height, width, 4), dtype=np.uint8)
        data = first_page.base64.b64encode(pixels.tobytes()).decode()
        got = page.evaluate(compute, {"width": width, "height": height, "data": data})
        wanted = network.prepare(torch.from_numpy(pixels[..., :3]).permute(2, 0, 1))[0]
        assert got["shape"] == list(wanted.shape)
        difference = torch.tensor(got["some"]) - wanted.flatten()[::7]
        assert difference.abs().max() < 0.01  # of 255; torch has its shares in single precision


def test_poolings_round_up_as_torchs(opened):
    page, random = opened(), np.random.default_rng(3)
    compute = """([step, side, pixels]) => {
        const input = {shape: [2, side, side], values: Float32Array.from(pixels)};
        const {shape, values} = oneByOne.operations.max_pool(step, {}, input);
        return {shape, values: [...values]};
    }"""
    for _ in range(60):
        kernel, stride, side = (int(random.integers(*r)) for r in ((1, 5), (1, 4), (5, 12)))
        step = {"kernel_size": kernel, "stride": stride, "ceil_mode": bool(random.integers(2))}
        step["padding"] = int(random.integers(0, kernel // 2 + 1))
        values = torch.from_numpy(random.random((2, side, side), np.float32))
        got = page.evaluate(compute, [step, side, values.flatten().tolist()])
        wanted = F.max_pool2d(values, **step)
        assert got["shape"] == list(wanted.shape), step
        assert got["values"] == wanted.flatten().tolist(), step


def ready(page):
    page.wait_for_function("oneByOne.state.outputs.length === 65")


def test_a_photograph_of_ones_own_is_classified_as_by_torch(opened):
    """SqueezeNet's logits are torch's to 1e-3 of the largest, and so is every layer."""
    page, network = opened(), play.load("squeezenet")
    page.locator("input[value=squeezenet]").check()
    ready(page)
    picture = photos.example("coffee").crop((60, 40, 560, 380))
    page.evaluate("oneByOne.state.outputs = []")
    page.set_input_files("#play-photograph", png(picture))
    ready(page)
    outputs = page.evaluate(
        """oneByOne.state.outputs.map(({shape, values}) =>
            ({shape, values: [...values].filter((_, n) => shape.length < 2 || n % 997 === 0)}))"""
    )
    interpreter = Results(network)
    with torch.no_grad():
        interpreter.run(network.prepare(picture))
    assert len(outputs) == len(interpreter.outputs) == len(stored("squeezenet")["steps"])
    for step, ours, theirs in zip(stored("squeezenet")["steps"], outputs, interpreter.outputs):
        assert math.prod(ours["shape"]) == len(theirs)
        theirs = theirs if len(ours["shape"]) < 2 else theirs[::997]
        difference = (torch.tensor(ours["values"]) - theirs).abs().max() / theirs.abs().max()
        assert difference < 1e-3, step["name"]
    wanted = photos.answers(network, picture)
    assert page.locator(".play-name").all_inner_texts()[:5] == [answer.name for answer in wanted]
    assert page.locator(".play-scores label:visible").count() == 5
    shares = [number(t.rstrip("%")) for t in page.locator(".play-share").all_inner_texts()[:5]]
    assert shares == pytest.approx([100 * answer.share for answer in wanted], abs=0.06)
    page.locator('input[name="play-class"]').nth(1).check()  # the map of the second class
    caption = page.locator("#play-map-caption").inner_text()
    assert wanted[1].name in caption
    mean = photos.class_maps(network, picture, [wanted[1].number]).mean().item()
    assert number(re.search(r"[\d.]+(?=\.$)", caption)[0]) == pytest.approx(mean, abs=0.02)
    assert "What the network gets: 329 × 224 pixels" in page.locator("#play-seen").inner_text()


def test_the_courses_photographs_and_chinese_names(opened, address):
    page, network = opened(at=f"{address}/zh/index.html"), play.load("squeezenet")
    page.locator("input[value=squeezenet]").check()
    ready(page)
    names = pretrained.class_names("zh")
    for n, name in enumerate(first_page.PHOTOGRAPHS):
        if n:
            page.evaluate("oneByOne.state.outputs = []")
            page.locator("#play-samples").press("ArrowRight")
            ready(page)
        shares = network(network.prepare(photos.example(name))).softmax(dim=1)[0]
        got = page.evaluate("oneByOne.softmax(oneByOne.state.outputs.at(-1).values)")
        assert (torch.tensor(got) - shares).abs().max() < 0.02, name  # decoders of JPEG differ
        best = int(torch.tensor(got).argmax())
        assert page.locator(".play-name").first.inner_text() == names[best]
        assert first_page.credits()[name] in page.locator("#play-credit").inner_text()
    assert page.locator("#play-samples img").first.get_attribute("alt") == "一只猫"


def test_the_page_can_be_used_while_the_network_computes(opened):
    page = opened()
    page.evaluate("oneByOne.choose('squeezenet')")  # comes back when the worker begins
    page.evaluate("name => oneByOne.choose(name)", opens_with())
    page.locator("#play-gallery").press("End")
    page.wait_for_function("oneByOne.state.outputs.at(-1)?.values.length === 10")
    page.wait_for_timeout(3000)
    assert page.evaluate("oneByOne.state.outputs.at(-1).values.length") == 10
    assert page.locator("#play-sources").is_visible()
    assert not page.locator("#play-photographs").is_visible()
    page.locator("input[value=squeezenet]").check()
    ready(page)
    assert page.locator("#play-photographs").is_visible()
    page.locator("#play-layers [role=option]").nth(9).click()
    assert "fire2.cat" in page.locator("#play-layer-about").inner_text()
    page.evaluate("oneByOne.state.at = {channel: 69, row: 0, column: 0}")
    page.locator("#play-maps").press("PageDown")  # a map of the second branch
    assert page.locator("#play-value").inner_text().startswith("output[70, 0, 0] = ")
    assert page.locator("#play-sum").inner_text() == STRINGS["en"]["sum_concatenate"]


def test_a_file_that_is_no_photograph_gets_a_sentence(opened):
    page = opened()
    page.locator("input[value=squeezenet]").check()
    ready(page)
    file = {"name": "a.txt", "mimeType": "image/png", "buffer": b"no image"}
    page.set_input_files("#play-photograph", file)
    message = page.locator("#play-photograph-message")
    page.wait_for_function(
        "document.getElementById('play-photograph-message').textContent.includes('a.txt')"
    )
    assert "JPEG or PNG" in message.inner_text()


def number(text):
    return float(text.replace("−", "-").replace(",", ""))


def test_the_keyboard_is_enough(opened, pictures):
    page, first = opened(), STORED.index(opens_with())
    page.evaluate("pixels => oneByOne.show(pixels)", pictures[0].tolist())
    page.locator('input[name="play-network"]:checked').focus()
    for _ in range(first):
        page.keyboard.press("ArrowLeft")
    page.wait_for_function("oneByOne.state.network.network === 'lenet'")
    page.locator("#play-layers").focus()
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    assert page.locator('#play-layers [aria-selected="true"]').count() == 1
    assert "conv2" in page.locator("#play-layer-about").inner_text()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "play-maps"
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    for key in ("ArrowDown", "ArrowDown", "ArrowRight", "PageDown", "PageDown"):
        page.keyboard.press(key)
    value = page.locator("#play-value").inner_text()
    place, _, shown = value.removeprefix("output[").partition("] = ")
    assert place == "2, 1, 1"  # the first key only enters the maps
    wanted = torch_outputs(play.load("lenet"), pictures[0])
    assert number(shown) == pytest.approx(wanted[3].view(16, 10, 10)[2, 1, 1].item(), abs=6e-4)
    page.locator("#play-gallery").focus()
    page.keyboard.press("ArrowDown")
    assert page.evaluate("[...oneByOne.state.pixels]") != pictures[0].tolist()
    page.keyboard.press("Home")
    assert page.evaluate("[...oneByOne.state.pixels]") == pictures[0].tolist()
    page.wait_for_timeout(200)
    page.locator('input[name="play-class"]:checked').focus()
    page.keyboard.press("ArrowUp")
    assert page.evaluate("oneByOne.state.chosen") == (int(wanted[-1].argmax()) - 1) % 10


def opens_with():
    first = first_page.FIRST_NETWORK
    return first if first in STORED else STORED[0]


@pytest.mark.parametrize("name", STORED)
def test_what_is_shown_is_torchs(name, opened, pictures):
    page = opened()
    page.evaluate("name => oneByOne.choose(name)", name)
    page.evaluate("pixels => oneByOne.show(pixels)", pictures[1].tolist())
    page.wait_for_timeout(200)
    logits = torch_outputs(play.load(name), pictures[1])[-1]
    shown = page.locator(".play-logit").all_inner_texts()
    assert [number(text) for text in shown] == pytest.approx(logits.tolist(), abs=6e-3)
    shares = page.locator(".play-share").all_inner_texts()
    wanted = (100 * torch.softmax(logits, 0)).tolist()
    assert [number(text.rstrip("%")) for text in shares] == pytest.approx(wanted, abs=0.06)
    assert data.FASHION_CLASSES[int(logits.argmax())] in page.locator("#play-verdict").inner_text()
    accuracy = f"{stored(name)['test_accuracy']:.1%}"
    assert accuracy in page.locator("#play-about").inner_text()
    caption = page.locator("#play-map-caption").inner_text()
    if name == "lenet":
        assert caption == STRINGS["en"]["map_none"]
        return
    values = [number(text) for text in re.findall(r"−?\d+\.?\d*", caption)]
    assert values[-1] == pytest.approx(logits.max().item(), abs=6e-3)
    assert len(values) == (1 if name == "nin_small" else 3)  # NiN has no bias after its maps
    assert sum(values[:-1]) == pytest.approx(0 if name == "nin_small" else values[-1], abs=0.02)
    page.locator('input[name="play-class"]').nth(2).check()  # the map of another class
    assert "Pullover" in page.locator("#play-map-caption").inner_text()


@pytest.mark.parametrize("name", STORED)
def test_the_sentence_under_a_number_is_true(name, opened, pictures):
    """For a number of every layer that is made of others: they are in the sentence."""
    page = opened()
    page.evaluate("pixels => oneByOne.show(pixels)", pictures[0].tolist())
    page.evaluate("name => oneByOne.choose(name)", name)
    page.wait_for_timeout(200)
    steps, wanted = stored(name)["steps"], torch_outputs(play.load(name), pictures[0])
    tiles, maps = page.locator("#play-layers [role=option]"), page.locator("#play-maps")
    for n, step in enumerate(steps):
        tiles.nth(n).click()
        maps.press("ArrowRight")
        maps.press("PageDown")  # channel 1, row 0, column 0
        value = number(page.locator("#play-value").inner_text().partition(" = ")[2])
        sentence = page.locator("#play-sum").inner_text()
        index = math.prod(step["shape"][1:])
        assert value == pytest.approx(wanted[n][index].item(), abs=6e-4), step["name"]
        numbers = [number(t) for t in re.findall(r"−?\d[\d.]*(?<!\.)", sentence)]
        inputs = [wanted[m] for m in step["inputs"] if m >= 0]
        channels = [1 if m < 0 else steps[m]["shape"][0] for m in step["inputs"]]
        if step["op"] == "add":
            first, second = numbers[:2]
            assert first == pytest.approx(inputs[0][index].item(), abs=6e-4)
            assert first + second == pytest.approx(value, abs=2e-3)
        elif step["op"] == "relu":
            assert max(numbers[:2]) == pytest.approx(value, abs=6e-4)
        elif step["op"] == "norm":
            x, mean, variance, eps, weight, bias = numbers[:6]
            normed = (x - mean) / math.sqrt(variance + eps) * weight + bias
            assert normed == pytest.approx(value, abs=0.02 + 0.02 * abs(value))
        elif step["op"] == "conv":
            assert numbers[0] == channels[0] / step["groups"] * step["kernel_size"] ** 2
        elif step["op"] == "max_pool":  # a corner: what is padding does not count
            assert numbers[0] == (step["kernel_size"] - step["padding"]) ** 2
        elif step["op"] == "average":
            assert numbers[0] == inputs[0].numel() / channels[0]
        elif step["op"] == "linear":
            assert numbers[0] == inputs[0].numel()


def test_drawing_by_mouse_and_by_keyboard(opened):
    page = opened()
    page.locator("input[value=draw]").check()
    page.locator("#play-clear").click()
    assert page.evaluate("Math.max(...oneByOne.state.pixels)") == 0
    box = page.locator("#play-pad").bounding_box()
    page.mouse.move(box["x"] + 60, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + 190, box["y"] + 60)
    page.mouse.up()
    drawn = np.array(page.evaluate("[...oneByOne.state.pixels]")).reshape(28, 28)
    rows, columns = np.nonzero(drawn > 127)
    assert set(rows) <= {5, 6, 7, 8} and columns.min() <= 7 and columns.max() >= 20
    page.locator("#play-pad").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press(" ")
    assert page.evaluate("oneByOne.state.pixels[15 * 28 + 14]") == 255
    page.locator("#play-eraser").click()
    page.locator("#play-pad").focus()
    page.keyboard.press(" ")
    assert page.evaluate("oneByOne.state.pixels[15 * 28 + 14]") == 0
    page.wait_for_timeout(200)
    logits = torch_outputs(play.load(opens_with()), page.evaluate("[...oneByOne.state.pixels]"))[-1]
    shown = [number(text) for text in page.locator(".play-logit").all_inner_texts()]
    assert shown == pytest.approx(logits.tolist(), abs=6e-3)


def test_a_photo_becomes_28_grey_pixels_light_on_dark(opened):
    page = opened()
    page.locator("input[value=photo]").check()
    photo = Image.new("RGB", (640, 480), (240, 240, 235))
    photo.paste((40, 60, 90), (240, 120, 400, 360))  # in the middle of the middle square
    file = io.BytesIO()
    photo.save(file, "PNG")
    page.set_input_files(
        "#play-file", {"name": "a.png", "mimeType": "image/png", "buffer": file.getvalue()}
    )
    page.wait_for_function("oneByOne.state.pixels[0] === 0 && oneByOne.state.label === null")
    pixels = np.array(page.evaluate("[...oneByOne.state.pixels]")).reshape(28, 28)
    left, right, top, bottom = ((240 - 80) / 480, (400 - 80) / 480, 120 / 480, 360 / 480)
    inside = np.zeros((28, 28), bool)
    inside[math.ceil(28 * top) : int(28 * bottom), math.ceil(28 * left) : int(28 * right)] = True
    assert pixels[inside].min() >= 250
    assert pixels[:6].max() == pixels[:, :8].max() == 0
    assert page.locator("#play-invert").is_checked()
    page.locator("#play-invert").click()
    page.wait_for_function("oneByOne.state.pixels[14 * 28 + 14] === 0")
    page.set_input_files(
        "#play-file", {"name": "a.txt", "mimeType": "image/png", "buffer": b"no image"}
    )
    page.wait_for_function(
        "document.getElementById('play-file-message').textContent.includes('a.txt')"
    )
    assert "JPEG or PNG" in page.locator("#play-file-message").inner_text()


def test_the_arithmetic_by_buttons_and_by_keyboard(opened):
    page = opened()
    counts, sentence = page.locator("#play-counts"), page.locator("#play-sentence")
    assert "Output 2 × 5 × 5. Weights: 2 · 2 · 3 · 3 = 36. MACs: 5 · 5 · 36 = 900." in (
        counts.inner_text()
    )
    page.get_by_role("button", name="1×1").click()  # one click away
    assert "Weights: 2 · 3 · 1 · 1 = 6. MACs: 5 · 5 · 6 = 150." in counts.inner_text()
    page.locator("#play-grids").focus()
    page.keyboard.press("ArrowRight")
    assert sentence.inner_text().startswith("output[0, 0, 0], product 2 of 3:")
    page.keyboard.press("ArrowDown")
    assert sentence.inner_text().startswith("output[0, 0, 1], product 2 of 3:")
    page.locator("#play-forward").click()
    assert "The sum is the output:" in sentence.inner_text()
    page.get_by_role("button", name="Depthwise").click()
    assert "Weights: 3 · (3 / 3) · 3 · 3 = 27." in counts.inner_text()
    page.locator('input[name="play-outputs"]').focus()
    page.keyboard.press("ArrowRight")  # four outputs of three inputs: one group
    assert page.evaluate("oneByOne.arithmetic.settings.groups") == 1
    page.locator('input[name="play-padding"]').fill("0")
    page.locator('input[name="play-size"]').fill("3")
    page.locator('input[name="play-dilation"]').fill("2")
    assert "The kernel covers 5 pixels, but the padded input has 3." in counts.inner_text()
    assert page.locator("#play-forward").is_disabled()


def test_it_runs_only_on_demand_and_stops(opened):
    page = opened(reduced_motion="reduce")
    sentence = page.locator("#play-sentence")
    before = sentence.inner_text()
    page.wait_for_timeout(1200)
    assert sentence.inner_text() == before
    assert page.evaluate(
        "document.getAnimations().length === 0 && "
        "getComputedStyle(document.querySelector('.play-bar span')).transitionDuration === '0s'"
    )
    page.locator("#play-run").click()
    page.wait_for_function("oneByOne.arithmetic.product >= 1")
    page.locator("#play-run").click()
    stopped = page.evaluate("oneByOne.arithmetic.product")
    page.wait_for_timeout(1200)
    assert page.evaluate("oneByOne.arithmetic.product") == stopped


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("width", [1280, 390, 320])
def test_it_fits_a_screen_in_both_languages(width, language, opened, address):
    at = f"{address}/{'zh/' if language == 'zh' else ''}index.html"
    page = opened(width, at, has_touch=width < 500)
    assert page.locator(".play-title").inner_text() == STRINGS[language]["title"]
    for name in [*STORED, "squeezenet"]:
        page.evaluate("name => oneByOne.choose(name)", name)
        if name == "squeezenet":
            ready(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    for preset in ("dilated", "depthwise"):
        page.locator(f'[data-preset="{preset}"]').click()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    text = page.locator("#play").inner_text()
    assert "undefined" not in text and "NaN" not in text and "{" not in text


def test_every_control_has_a_name(opened):
    page = opened()
    unnamed = page.evaluate(
        """[...document.querySelectorAll("#play button, #play input, #play [tabindex='0']")]
        .filter((e) => !(e.ariaLabel || e.getAttribute("aria-labelledby") || e.textContent.trim()
          || e.labels?.[0]?.textContent.trim())).map((e) => e.outerHTML)"""
    )
    assert unnamed == []


def test_it_works_from_the_disk(opened, folder):
    page = opened(at=(folder / "index.html").as_uri())
    page.evaluate("oneByOne.choose('lenet')")
    page.wait_for_function("oneByOne.state.network.network === 'lenet'")
    assert "LeNet has no class activation map" in page.locator("#play-map-caption").inner_text()
    page.locator("input[value=squeezenet]").check()
    ready(page)
    assert "Egyptian cat" in page.locator("#play-verdict").inner_text()


def test_a_network_that_cannot_be_loaded_gets_a_sentence(chromium, address):
    page = chromium.new_page()
    (other, *_) = [name for name in STORED if name != opens_with()] or [None]
    if other is None:
        pytest.skip("one network only is stored")
    page.route(f"**/{other}.js", lambda route: route.abort())
    page.goto(f"{address}/index.html")
    page.wait_for_selector("#play[data-ready]")
    page.evaluate("name => oneByOne.choose(name)", other)
    assert page.locator("#play-about").inner_text() == STRINGS["en"]["not_loaded"]
    page.unroute(f"**/{other}.js")
    page.evaluate("name => oneByOne.choose(name)", other)
    page.wait_for_function("name => oneByOne.state.network.network === name", arg=other)
    page.close()


def test_it_is_small(chromium, address):
    """A line of 1.6 Mbit/s ("slow 4G") carries 200 kB in a second; the pictures below can wait."""
    context = chromium.new_context()
    page = context.new_page()
    session = context.new_cdp_session(page)
    session.send("Network.enable")
    line = {"latency": 150, "downloadThroughput": 200_000, "uploadThroughput": 94_000}
    session.send("Network.emulateNetworkConditions", {"offline": False, **line})
    sizes, asked, events = [], [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("request", lambda request: events.append(("asked", request.url.split("/")[-1])))
    page.on("requestfinished", lambda request: events.append(("came", request.url.split("/")[-1])))
    session.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))
    page.goto(f"{address}/index.html")
    page.wait_for_selector("#play[data-ready]", timeout=PATIENCE)
    page.wait_for_timeout(500)  # then the page is shorter, and the picture below it is near
    context.close()
    place = {event: number for number, event in enumerate(events)}
    assert place["came", f"{opens_with()}.js"] < place["asked", "below.svg"]
    assert 50_000 < sum(sizes) < 250_000
    assert not [url for url in asked if "squeezenet" in url or "/photographs/" in url]
