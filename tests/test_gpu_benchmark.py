"""The benchmark for GPUs, as far as a machine without one can try it."""

from types import SimpleNamespace

import pytest
import torch

from benchmarks import common, gpu
from utils import data, networks, results, training
from utils.training import History


def test_trial_trains_and_writes_nothing(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(results, "FOLDER", tmp_path)
    monkeypatch.setattr("sys.argv", ["gpu.py", "resnet18_d2l", "--trial"])
    gpu.main()
    out = capsys.readouterr().out
    assert "'test_accuracy': " in out and "nothing is written" in out
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", list(gpu.NETWORKS))
def test_networks_and_their_options_exist(name):
    with torch.device("meta"):
        network = networks.build(name, **gpu.NETWORKS[name])
    assert network.image_size in (96, 224)


def test_the_best_settings_are_those_of_a_finished_run():
    runs = [
        {"settings": "a", "status": "finished", "validation_accuracy": 0.90},
        {"settings": "b", "status": "finished", "validation_accuracy": 0.92},
        {"settings": "c", "status": "diverged", "validation_accuracy": 0.95},
    ]
    assert gpu.best(runs) == "b"
    with pytest.raises(SystemExit, match="add lower learning rates"):
        gpu.best(runs[2:])


def test_without_a_gpu_one_sentence(monkeypatch):
    monkeypatch.setattr(gpu.device, "pick", lambda: torch.device("cpu"))
    monkeypatch.setattr("sys.argv", ["gpu.py"])
    with pytest.raises(SystemExit, match="takes a CUDA GPU, but torch finds only cpu"):
        gpu.main()


def test_interrupted_measurement_goes_on(monkeypatch, tmp_path):
    """Finished trials and seeds are not repeated; another GPU's are not taken over."""
    ran, card = [], ["a card"]
    monkeypatch.setattr(results, "FOLDER", tmp_path)
    monkeypatch.setattr(gpu.device, "pick", lambda: torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda *where: card[0])
    monkeypatch.setattr("sys.argv", ["gpu.py", "nin_d2l"])

    def fit(model, train, validation, *, learning_rate, seed, **other):
        ran.append(seed)
        if len(ran) == 15:
            return History(status="interrupted")  # as `fit` returns after Ctrl-C
        return History(status="finished", validation_accuracy=[learning_rate])

    def stored():
        return common.read(gpu.FILE)["networks"]["nin_d2l"]

    nothing = SimpleNamespace(image_size=224, train=None, validation=None, test=None, accuracy=0.9)
    monkeypatch.setattr(training, "fit", fit)
    monkeypatch.setattr(training, "evaluate", lambda *given: nothing)
    monkeypatch.setattr(gpu.networks, "build", lambda name, **options: nothing)
    monkeypatch.setattr(data, "load", lambda **given: nothing)
    with pytest.raises(KeyboardInterrupt):
        gpu.main()
    assert len(stored()["runs"]) == 2
    gpu.main()
    assert len(stored()["trials"]) == len(gpu.settings()) == 12
    assert [run["seed"] for run in stored()["runs"]] == list(range(gpu.SEEDS))
    assert stored()["settings"]["learning_rate"] == max(gpu.TRIED["learning_rate"])
    assert len(ran) == 12 + gpu.SEEDS + 1  # the interrupted one twice
    card[0] = "another card"
    gpu.main()
    assert len(ran) == 2 * (12 + gpu.SEEDS) + 1
