"""Devices by name, and what they are called."""

import pytest
import torch
from conftest import one_line

from lsegrepro import LsegreproError
from lsegrepro.network import devices


def test_auto_is_a_gpu_where_there_is_one(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert devices.parse_device("auto") == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(devices.os, "getpid", lambda: 4001)
    assert devices.parse_device("auto") == torch.device("cuda:1")
    assert devices.parse_device("cuda") == torch.device("cuda") and devices.parse_device("cuda:3").index == 3


@pytest.mark.parametrize("name", ["gpu", "mps", ""])
def test_an_unknown_device_is_refused(name):
    with pytest.raises(LsegreproError) as error:
        devices.parse_device(name)
    one_line(error, f"unknown device {name!r}", "auto, cpu, cuda or cuda:N")


@pytest.mark.parametrize("name, gpus", [("cuda", 0), ("cuda:2", 2)])
def test_a_gpu_that_is_absent_is_refused(monkeypatch, name, gpus):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    with pytest.raises(LsegreproError) as error:
        devices.parse_device(name)
    one_line(error, repr(name), f"{gpus} found", "--device cpu")


def test_a_device_that_lacks_the_precision_says_so(monkeypatch):
    cpu = torch.device("cpu")
    name = devices.device_name(cpu)
    assert "CPU thread" in name
    for has, expected in ((True, name), (False, f"{name}, in float32")):
        monkeypatch.setattr(devices, "has_bfloat16", lambda device, has=has: has)
        assert devices.device_name(cpu, "bfloat16") == expected
