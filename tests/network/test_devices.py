"""Devices by name, and what they are called."""

import torch
from conftest import refused

from lsegrepro.network import devices


def test_auto_is_a_gpu_where_there_is_one(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert devices.parse_device("auto") == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(devices.os, "getpid", lambda: 4001)
    assert devices.parse_device("auto") == torch.device("cuda:1")
    assert devices.parse_device("cuda") == torch.device("cuda") and devices.parse_device("cuda:3").index == 3


def test_a_device_that_is_unknown_or_absent_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    refused(lambda: devices.parse_device("gpu"), "unknown device 'gpu'", "auto, cpu, cuda or cuda:N")
    refused(lambda: devices.parse_device("cuda:2"), "'cuda:2'", "2 found", "--device cpu")
