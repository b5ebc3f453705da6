"""The benchmark for GPUs, as far as a machine without one can try it."""

from types import SimpleNamespace

import pytest
import torch

from benchmarks import gpu
from utils import networks
from utils.training import History


def test_trial_trains_and_writes_nothing(monkeypatch, capsys):
    written = []
    monkeypatch.setattr(gpu.common, "write", lambda *given: written.append(given))
    monkeypatch.setattr("sys.argv", ["gpu.py", "resnet18_d2l", "--trial"])
    gpu.main()
    out = capsys.readouterr().out
    assert "'test_accuracy': " in out and "nothing is written" in out
    assert written == []


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


def test_interrupted_measurement_goes_on(monkeypatch):
    """Finished trials and seeds are not repeated; another GPU's are not taken over."""
    files, ran = {}, []
    monkeypatch.setattr(gpu.device, "pick", lambda: torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda where: "a card")
    monkeypatch.setattr(gpu.common, "read", files.get)
    monkeypatch.setattr(gpu.common, "write", files.__setitem__)
    monkeypatch.setattr("sys.argv", ["gpu.py", "nin_d2l"])

    def fit(model, train, validation, *, learning_rate, seed, **other):
        ran.append(seed)
        if len(ran) == 15:
            return History(status="interrupted")  # as `fit` returns after Ctrl-C
        return History(status="finished", validation_accuracy=[learning_rate])

    nothing = SimpleNamespace(image_size=224, train=None, validation=None, test=None, accuracy=0.9)
    monkeypatch.setattr(gpu.training, "fit", fit)
    monkeypatch.setattr(gpu.training, "evaluate", lambda *given: nothing)
    monkeypatch.setattr(gpu.networks, "build", lambda name, **options: nothing)
    monkeypatch.setattr(gpu.data, "load", lambda **given: nothing)
    with pytest.raises(KeyboardInterrupt):
        gpu.main()
    assert len(files[gpu.FILE]["networks"]["nin_d2l"]["runs"]) == 2
    gpu.main()
    found = files[gpu.FILE]["networks"]["nin_d2l"]
    assert len(found["trials"]) == len(gpu.settings()) == 12
    assert [one["seed"] for one in found["runs"]] == list(range(gpu.SEEDS))
    assert found["settings"]["learning_rate"] == max(gpu.TRIED["learning_rate"])
    assert len(ran) == 12 + gpu.SEEDS + 1  # the interrupted one twice
    assert gpu.stored("another card") == {}
