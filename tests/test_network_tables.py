"""The tables of chapter 10 against the papers and torchvision."""

import pytest
import torchvision

from utils import networks, results, summary
from utils.topics import network_tables


def test_phones_are_counted_as_the_paper_prints_them():
    """Millions of MACs and of parameters in arXiv 1704.04861."""
    rows = network_tables.phone_networks()
    printed = {
        (1.0, 224): (569, 4.2),
        (0.75, 224): (325, 2.6),
        (0.5, 224): (149, 1.3),
        (0.25, 224): (41, 0.5),
        (1.0, 192): (418, 4.2),
        (1.0, 160): (290, 4.2),
        (1.0, 128): (186, 4.2),
        (0.5, 160): (76, 1.3),
    }
    assert rows.keys() == printed.keys()
    for key, (macs, parameters) in printed.items():
        assert abs(rows[key]["macs"] / 1e6 - macs) < 1
        assert abs(rows[key]["parameters"] / 1e6 - parameters) < 0.06


def test_large_networks_are_those_of_torchvisions_weights():
    rows = network_tables.large_networks()
    assert list(rows) == list(network_tables.LARGE)
    for name, (_, weights, _) in network_tables.LARGE.items():
        if weights is None:
            assert rows[name]["top1"] is None
            continue
        meta = torchvision.models.get_weight(f"{weights}.IMAGENET1K_V1").meta
        idle = 6_379_984 if name == "googlenet" else 0  # the auxiliary classifiers it leaves out
        assert rows[name]["parameters"] in (meta["num_params"], meta["num_params"] - idle)
        assert rows[name]["macs"] / 1e9 == pytest.approx(meta["_ops"], abs=6e-4)


def test_small_networks_have_a_row_for_each_measured_accuracy():
    rows = network_tables.small_networks()
    assert {"lenet", "alexnet_small", "vgg_small", "nin_small"} <= rows.keys()
    for name, row in rows.items():
        assert row["low"] <= row["accuracy"] <= row["high"]
        assert row["parameters"] == summary.count_parameters(networks.build(name))
        assert row["weights_mb"] * 1e6 >= 4 * row["parameters"]
        assert len(row["runs"]) == len(row["test_runs"])
        assert min(row["test_runs"]) <= row["test"] <= max(row["test_runs"])
    assert rows["lenet"]["one_ratio"] == 1


def test_choices_are_made_on_the_validation_images():
    row, stored = network_tables.small_networks()["lenet"], results.load("accuracy/lenet.json")
    assert row["runs"] == stored["validation_accuracy"]["runs"]
    assert row["test_runs"] == stored["test_accuracy"]["runs"]


def test_the_card_has_a_line_for_each_network_and_fits_a_page():
    rows = network_tables.small_networks()
    lines = network_tables.card(rows).splitlines()
    assert max(map(len, lines)) < 90
    assert len(lines) == 2 * len(rows) + 4
    resnet = [line for line in lines if line.startswith("resnet_small")]
    assert "mirrored" in resnet[0] and "77.8" in resnet[1]


def test_photographs_are_torchvisions_own_numbers():
    rows = network_tables.photographs()
    assert rows["resnet50"]["first"] == pytest.approx(76.13)
    assert rows["resnet50"]["top1"] > rows["resnet50"]["first"] + 4
    assert rows["resnet50"]["pixels"] == 224 and rows["efficientnet_b4"]["pixels"] == 380
    assert "vit_h_14" not in rows  # its weights saw other images, too
    assert all(row["top1"] >= row["first"] for row in rows.values())
