"""pyproject.toml, requirements.lock and environment.yml say the same, and course.py suits them."""

import ast
import importlib.metadata
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
import stored
import yaml
from packaging.requirements import Requirement
from packaging.version import Version

from tools import environment, licences
from utils.leftovers import matching

ROOT = Path(__file__).resolve().parent.parent
CONDA_NAMES = {"pytorch": "torch", "matplotlib-base": "matplotlib"}
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def wanted() -> dict[str, str]:
    """Name and lower bound of everything in pyproject.toml."""
    project = PYPROJECT["project"]
    lines = project["dependencies"] + project["optional-dependencies"]["lab"]
    return dict(line.split(">=") for line in lines)


def locked() -> dict[str, Requirement]:
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    lines = [line.rstrip("\\ ") for line in text.splitlines() if re.match(r"[a-z]", line)]
    found = [Requirement(line) for line in lines]
    names = [requirement.name for requirement in found]
    assert len(names) == len(set(names)), "one version for every Python and system"
    return {requirement.name: requirement for requirement in found}


def alone() -> set[str]:
    """What is installed without its dependencies."""
    return {Requirement(line).name for line in PYPROJECT["dependency-groups"]["no-deps"]}


def version(requirement: Requirement) -> Version:
    (specifier,) = requirement.specifier
    assert specifier.operator == "==", f"{requirement} is not an exact version"
    return Version(specifier.version)


def conda() -> dict[str, str]:
    """The lines of environment.yml, those for pip included; it is a plain list."""
    text = (ROOT / "environment.yml").read_text(encoding="utf-8")
    lines = re.findall(
        r"^ +- ([^\s:]+)(?: +#.*)?$", text.split("\ndependencies:\n")[1], re.MULTILINE
    )
    return dict(re.fullmatch(r"([\w.-]+?)(?:(?:>=|=)([\d.]+))?", line).groups() for line in lines)


def test_lock_meets_every_lower_bound():
    lock = locked()
    for name, bound in wanted().items():
        assert name in lock, f"{name} is not locked"
        assert version(lock[name]) >= Version(bound), name


def test_lock_holds_a_published_pair():
    # From the compatibility table in torchvision's README. Change it together with the lock.
    torch, torchvision = version(locked()["torch"]), version(locked()["torchvision"])
    assert (torch.release[:2], torchvision.release[:2]) == ((2, 15), (0, 29))


def test_lock_has_hashes_of_every_package():
    """pip then refuses every other file; and no package is named without."""
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    entry = (
        r"[a-z].*==.* \\\n(?:    --hash=sha256:[0-9a-f]{64} \\\n)*    --hash=sha256:[0-9a-f]{64}\n"
    )
    comments = r"(?: +#.*\n)*"
    assert re.fullmatch(rf"(?:#.*\n)+(?:{entry}{comments})+", text)


def test_lock_is_closed_under_dependencies():
    """Everything that a locked package requires here is locked as well."""
    lock, checked = locked(), 0
    for name, requirement in lock.items():
        if name in alone():
            continue  # installed without its dependencies
        try:
            distribution = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        if Version(distribution.version) != version(requirement):
            continue  # another release may require something else
        checked += 1
        for line in distribution.requires or []:
            needs = Requirement(line)
            if needs.marker is None or needs.marker.evaluate({"extra": ""}):
                needed = canonical(needs.name)
                assert needed in lock, f"{name} requires {needs}"
                assert needs.specifier.contains(version(lock[needed])), f"{name} requires {needs}"
    if not checked:
        pytest.skip("nothing here is installed in its locked version")


def test_lock_is_for_every_system():
    def applies(name: str, **system: str) -> bool:
        marker = locked()[name].marker
        return marker is None or marker.evaluate({"python_full_version": "3.12.1", **system})

    linux = {"sys_platform": "linux", "os_name": "posix", "platform_machine": "x86_64"}
    mac = {"sys_platform": "darwin", "os_name": "posix", "platform_machine": "arm64"}
    windows = {"sys_platform": "win32", "os_name": "nt", "platform_machine": "AMD64"}
    for name in wanted():
        assert all(applies(name, **system) for system in (linux, mac, windows)), name
    for name, here in {
        "triton": (linux,),
        "nvidia-cudnn-cu13": (linux,),
        "appnope": (mac,),
        "colorama": (windows,),
        "pywinpty": (windows,),
    }.items():
        for system in (linux, mac, windows):
            assert applies(name, **system) == (system in here), (name, system)


def test_conda_has_the_same_packages_and_bounds():
    lines = conda()
    assert Version(lines.pop("python")) >= Version("3.11")
    assert lines.pop("pip", "missing") is None, "course.py needs pip to add d2l"
    assert {CONDA_NAMES.get(name, name): bound for name, bound in lines.items()} == wanted()


# --- declared and imported ------------------------------------------------------------------------

# Declared, but imported nowhere, and what they are for.
NOT_IMPORTED = {
    "ipykernel": "the kernels of the notebooks",
    "jupyterlab": "`course.py lab` starts it",
    "jupyterlab-language-pack-zh-cn": "its menus in Chinese",
    **dict.fromkeys(("pandas", "requests"), "d2l imports them"),
    "sphinx-book-theme": "tools/site/conf.py names it",
    "sphinx-mathjax-offline": "tools/site/conf.py names it",
}
# Imported, but not declared, because a package that is declared requires them.
BROUGHT_BY = {
    "cycler": "matplotlib",
    "fonttools": "matplotlib",
    "jupyter-client": "nbclient",
    "jupyter-core": "nbclient",
    "jupyterlab-server": "jupyterlab",
    "myst-parser": "myst-nb",
    "packaging": "pytest",
    "pyyaml": "myst-nb",
    "tornado": "jupyterlab",
    "traitlets": "ipython",
}
# Of the long tests in a browser, and of a benchmark in another environment.
OPTIONAL = {"playwright", "fastai"}


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def texts() -> Iterator[str]:
    """All code of the course: its files, and the code cells of the chapters."""
    for top in ("utils", "exercises", "tools", "benchmarks", "tests", "."):
        for path in matching(ROOT, "*.py" if top == "." else f"{top}/**/*.py"):
            yield path.read_text(encoding="utf-8")
    for path in matching(ROOT, "chapters/*.ipynb"):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            if cell["cell_type"] == "code":
                yield "".join(cell["source"])


def imported(texts: Iterable[str]) -> set[str]:
    """The packages that these texts import, under the names by which they are installed."""
    modules = set()
    for text in texts:
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Import):
                modules |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                modules.add(node.module)
            elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "importorskip":
                modules.add(node.args[0].value)
    own = {path.stem for path in [*ROOT.glob("*"), *ROOT.glob("tests/**/*")]}
    roots = {module.split(".")[0] for module in modules} - sys.stdlib_module_names - own
    owners = importlib.metadata.packages_distributions()
    return {canonical(owner) for root in roots for owner in owners.get(root, [root])}


def test_what_is_imported_is_declared_and_the_reverse():
    names = imported(texts())
    groups = PYPROJECT["dependency-groups"]
    declared = wanted().keys() | {Requirement(line).name for line in groups["authors"]} | alone()
    undeclared = names - declared - BROUGHT_BY.keys() - OPTIONAL
    unused = wanted().keys() - names - NOT_IMPORTED.keys()
    outdated = (NOT_IMPORTED.keys() | BROUGHT_BY.keys()) - (wanted().keys() ^ names)
    assert (undeclared, unused, outdated) == (set(), set(), set())
    for name, by in BROUGHT_BY.items():
        needed = importlib.metadata.requires(by) or []
        assert by in declared and name in {canonical(Requirement(line).name) for line in needed}


def test_imports_of_every_kind_are_seen():
    cell = "if 1:\n    import onnx.helper as o\ndef f():\n    from sklearn import svm\nimport json"
    test = "pytest.importorskip('captum.attr')\nfrom . import x\nfrom utils import data"
    assert imported([cell, test]) == {"onnx", "scikit-learn", "captum"}


# --- the same everywhere --------------------------------------------------------------------------


def test_python_floor_is_the_same_everywhere():
    import course

    floor = ".".join(map(str, course.NEEDED_PYTHON))
    assert PYPROJECT["project"]["requires-python"] == f">={floor}"
    assert PYPROJECT["tool"]["ruff"]["target-version"] == f"py{floor.replace('.', '')}"
    assert f"--python-version {floor} " in (ROOT / "requirements.lock").read_text(encoding="utf-8")


def test_d2l_is_alone_and_its_imports_are_covered():
    """d2l comes without its dependencies, so what it imports must be in the list."""
    assert PYPROJECT["dependency-groups"]["no-deps"] == ["d2l==1.0.3"]
    assert str(locked()["d2l"]) == "d2l==1.0.3"
    assert "d2l" not in conda()
    spec = importlib.util.find_spec("d2l.torch")
    tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    # Those inside functions (gym, for a chapter on other things) are not needed to import it.
    modules = {alias.name for n in tree.body if isinstance(n, ast.Import) for alias in n.names}
    modules |= {n.module for n in tree.body if isinstance(n, ast.ImportFrom)}
    roots = {module.split(".")[0] for module in modules} - sys.stdlib_module_names - {"d2l"}
    assert roots >= {"torch", "pandas", "requests", "scipy"}, "the imports were not found"
    owners = importlib.metadata.packages_distributions()
    for root in roots:
        assert {name.lower() for name in owners[root]} & wanted().keys(), f"d2l imports {root}"


@pytest.mark.parametrize(
    "name",
    [
        "pyproject.toml",
        "requirements.lock",
        "environment.yml",
        "postBuild",
        "course.py",
        ".devcontainer/devcontainer.json",
        ".vscode/settings.json",
        ".ci/run",
        ".ci/colab",
        *(path.relative_to(ROOT).as_posix() for path in ROOT.glob(".github/workflows/*.yml")),
    ],
)
def test_no_address_of_an_index(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    if name == ".ci/colab":  # these two are git's: the clone, and what it stands for
        text = text.replace("file://$clone", "").replace("https://github.com/$repository", "")
    assert not re.search(r"https?://|file://", text)
    assert not re.search(r"--(extra-)?index-url|--find-links|--trusted-host| -i ", text)


def test_course_parses_on_old_python():
    source = (ROOT / "course.py").read_text(encoding="utf-8")
    tree = ast.parse(source, feature_version=(3, 7))
    # Parsing with feature_version lets some newer syntax through.
    newer = (ast.Match, ast.TryStar, ast.NamedExpr)
    assert not [node for node in ast.walk(tree) if isinstance(node, newer)]
    check = source.index("\nrefuse_old_python()\n")
    modules = re.findall(r"^(?:import|from) (\w+)", source, re.MULTILINE)
    assert set(modules) - {"tools", "exercises", "utils"} <= sys.stdlib_module_names
    assert re.findall(r"^(?:import|from) (\w+)", source[:check], re.MULTILINE) == ["sys"]


def test_real_old_python_is_refused():
    for minor in range(6, 11):
        python = shutil.which(f"python3.{minor}")
        command = [python, str(ROOT / "course.py"), "lab"]
        works = python and subprocess.run([python, "-V"], capture_output=True).returncode == 0
        if works:
            break
    else:
        pytest.skip("no Python older than 3.11 here")
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.returncode == 1
    assert done.stderr.startswith("problem: the course needs Python 3.11 or newer, and ")
    assert f"is 3.{minor}: " in done.stderr
    assert "Traceback" not in done.stderr


def test_ci_runs_what_the_readme_says():
    command = "python3 course.py test"
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    block = readme.split("```")[1].splitlines()
    assert command in [line.split("#")[0].strip() for line in block]
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert script[-1] == command
    workflow = (ROOT / ".github" / "workflows" / "test.yml").read_text(encoding="utf-8")
    assert workflow.count("- run: bash .ci/run") == 2
    assert f"- run: {command} --all" in workflow


# --- licences -------------------------------------------------------------------------------------


def test_every_locked_package_has_a_licence():
    rows = licences.rows()
    assert list(rows) == list(locked())
    for name, (release, _, licence) in rows.items():
        assert release == str(version(locked()[name])), name
        # Another kind of licence is for a human to look at before it is added here.
        kinds = r"\b(Apache|BSD|ISC|MIT|MPL|NVIDIA|PSF|PSFL|Python Software Foundation)\b|^0BSD"
        assert re.search(kinds, licence), f"{name}: {licence}"
    text = licences.PAGE.read_text(encoding="utf-8")
    assert f"about itself, {len(rows)} in all" in text


def test_licences_are_what_the_packages_say():
    checked = 0
    for name, (release, _, licence) in licences.rows().items():
        metadata = licences.installed(name, release)
        if metadata is None:
            continue
        checked += 1
        stated = licences.stated(metadata)
        assert stated or name in licences.REMARKS, f"{name} says nothing, and nobody explains it"
        assert licence == licences.described(name, metadata), name
    if not checked:
        pytest.skip("nothing here is installed in its locked version")


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({"license_expression": "MIT", "license": "x"}, "MIT"),
        ({"license": "BSD-3-Clause", "classifier": ["License :: OSI Approved :: BSD License"]},
         "BSD-3-Clause"),
        ({"license": "Copyright\nand so on", "classifier": ["License :: OSI Approved :: X"]}, "X"),
        ({"license": "UNKNOWN", "classifier": ["License :: OSI Approved :: ISC"]}, "ISC"),
        ({"license": "GPL", "classifier": ["License :: A", "License :: B"]}, "A or B"),
        ({"license": "NVIDIA Proprietary Software"}, licences.NVIDIA),
        ({"classifier": ["Topic :: Software"]}, ""),
    ],
)  # fmt: skip
def test_licence_from_metadata(metadata, expected):
    assert licences.stated(metadata) == expected


# --- workflows ------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted(ROOT.glob(".github/workflows/*.yml")), ids=lambda p: p.stem)
def test_workflows_take_few_rights_and_pinned_actions(path):
    workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert workflow["permissions"]["contents"] == "read"
    for name, job in workflow["jobs"].items():
        uses = [step["uses"] for step in job["steps"] if "uses" in step]
        assert all(re.fullmatch(r"actions/[\w-]+@[0-9a-f]{40}", use) for use in uses), name
        for step in job["steps"]:
            if "checkout" in step.get("uses", ""):
                assert step["with"]["persist-credentials"] is False, name
    given = [workflow, *workflow["jobs"].values()]
    given = [item for each in given for item in each.get("permissions", {}).items()]
    rights = {right for right, value in given if value != "read"}
    assert rights == {"colab": {"issues"}, "site": {"pages", "id-token"}}.get(path.stem, set())


def test_the_chapters_run_weekly_in_colabs_image():
    workflow = yaml.safe_load((ROOT / ".github/workflows/colab.yml").read_text(encoding="utf-8"))
    assert workflow[True]["schedule"], "YAML 1.1 reads `on` as true"
    assert workflow["env"]["IMAGE"].startswith("us-docker.pkg.dev/colab-images/public/runtime:")
    run = workflow["jobs"]["chapters"]["steps"][-1]["run"]
    assert run.endswith('"$IMAGE" /repo/.ci/colab') and (ROOT / ".ci" / "colab").is_file()
    report = workflow["jobs"]["report"]
    assert (report["needs"], report["if"]) == ("chapters", "failure()")
    assert "gh issue create" in report["steps"][0]["run"]


def test_the_lock_is_audited():
    workflow = yaml.safe_load((ROOT / ".github/workflows/audit.yml").read_text(encoding="utf-8"))
    assert workflow[True]["schedule"]
    (command,) = [s["run"] for s in workflow["jobs"]["vulnerabilities"]["steps"] if "run" in s]
    assert "pip-audit" in command and "--requirement requirements.lock" in command


# --- VS Code, its containers, Codespaces ----------------------------------------------------------


def settings(name: str) -> dict:
    """A file of settings. VS Code allows comments in it, and other programs do not."""
    return json.loads((ROOT / name).read_text(encoding="utf-8"))


def test_vs_code_finds_the_environment_and_the_folder_of_a_notebook():
    wanted = settings(".vscode/settings.json")
    # A folder is right on every system; python is in bin/ on one, in Scripts/ on another.
    assert wanted["python.defaultInterpreterPath"] == "${workspaceFolder}/.venv"
    assert wanted["jupyter.notebookFileRoot"] == "${fileDirname}"  # chapters/, as in JupyterLab
    extensions = settings(".vscode/extensions.json")["recommendations"]
    assert extensions == ["ms-python.python", "ms-toolsai.jupyter"]
    assert "VS Code" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_container_is_prepared_by_the_command_of_the_readme():
    container = settings(".devcontainer/devcontainer.json")
    image, needs = container["image"], container["hostRequirements"]
    assert re.fullmatch(r"mcr\.microsoft\.com/devcontainers/python:3\.\d+-\w+", image)
    command = container["postCreateCommand"]
    assert command == "python3 course.py setup"
    assert f"`{command}`" in (ROOT / "README.md").read_text(encoding="utf-8")
    sizes = {name: re.fullmatch(r"(\d+)gb", needs[name])[1] for name in ("memory", "storage")}
    assert needs["cpus"] >= 2 and int(sizes["memory"]) >= 4
    assert int(sizes["storage"]) > environment.DOWNLOAD_GB + environment.INSTALLED_GB
    code = container["customizations"]["vscode"]
    assert code["extensions"] == settings(".vscode/extensions.json")["recommendations"]
    (opened,) = container["customizations"]["codespaces"]["openFiles"]
    assert (ROOT / opened).is_file()
    # What the specification of containers.dev has; a misspelt key would do nothing.
    known = {"name", "image", "hostRequirements", "postCreateCommand", "customizations"}
    assert container.keys() == known and needs.keys() == {"cpus", "memory", "storage"}


@pytest.mark.skipif(shutil.which("git") is None or not (ROOT / ".git").exists(), reason="no clone")
def test_the_command_of_the_container_runs_in_a_clean_clone(tmp_path):
    """As the container does it: through a shell, in the clone. This Python has all packages."""
    clone = tmp_path / "one-by-one"
    stored.publish(tmp_path / "bare.git")
    subprocess.run(["git", "clone", "-q", str(tmp_path / "bare.git"), str(clone)], check=True)
    command = settings(".devcontainer/devcontainer.json")["postCreateCommand"]
    command = command.replace("python3", f'"{sys.executable}"')
    other = ("COURSE_", "PYTHONPATH", "GIT_")
    variables = {k: v for k, v in os.environ.items() if not k.startswith(other)}
    done = subprocess.run(
        command, shell=True, cwd=clone, env=variables, capture_output=True, encoding="utf-8"
    )
    assert done.returncode == 0, done.stderr
    assert f"Ready: {sys.executable}\n" in done.stdout


def rendered(text: str) -> str:
    """Markdown as VS Code's notebooks show it: by markdown-it, with HTML."""
    MarkdownIt = pytest.importorskip("markdown_it").MarkdownIt
    return MarkdownIt("commonmark", {"html": True}).enable("table").render(text)


def unread(text: str) -> list[str]:
    """Marks of Markdown or HTML that a reader would see as they stand."""
    html = rendered(text)
    shown = re.sub(r"<(pre|code)\b.*?</\1>", "", html, flags=re.DOTALL)
    shown = re.sub(r"\$\$.*?\$\$|\$[^$\n]+\$", "", shown, flags=re.DOTALL)  # VS Code has KaTeX
    found = [mark for mark in ("**", "`", "](", "&lt;details", "&lt;summary") if mark in shown]
    return found + [
        f"<{tag}>"
        for tag in ("details", "summary")
        if html.count(f"<{tag}>") != html.count(f"</{tag}>")
    ]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("<details>\n<summary>Hint</summary>\n\nUse **both** `x**2`.\n\n</details>", []),
        ("<details>\n<summary>Hint</summary>\nUse **both**.\n</details>", ["**"]),
        ("a** b**", ["**"]),
        ("<details>\n\nopen", ["<details>"]),
        ("\\<details>", ["&lt;details"]),
        ("[a] (b) and [a](b c)", ["]("]),
    ],
)
def test_what_vs_code_would_not_render_is_found(text, found):
    assert unread(text) == found


@pytest.mark.parametrize("path", matching(ROOT, "chapters/*.ipynb"), ids=lambda p: p.stem)
def test_vs_code_renders_every_text_of_a_chapter(path):
    stored.chapter(path.stem)  # skips a learner's
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    texts = {c["id"]: "".join(c["source"]) for c in cells if c["cell_type"] == "markdown"}
    assert len(texts) > 5
    assert {id: found for id, text in texts.items() if (found := unread(text))} == {}


# --- Binder ---------------------------------------------------------------------------------------


def test_binder_takes_environment_yml():
    """repo2docker ignores the root's files where one of these folders exists."""
    assert not (ROOT / "binder").exists() and not (ROOT / ".binder").exists()
    assert (ROOT / "postBuild").read_text(encoding="utf-8").startswith("#!/usr/bin/env bash\n")
    for name in ("postBuild", ".ci/run", ".ci/colab"):
        if os.name == "nt" or not (ROOT / ".git").exists():
            pytest.skip("the executable bit is git's here")
        assert os.access(ROOT / name, os.X_OK), name
    last = (ROOT / "postBuild").read_text(encoding="utf-8").splitlines()[-1]
    assert last == "python course.py setup --here"
