import os
import time

import pytest
import torch

from engine.worker.usage import measure_usage, process_age_s


def test_the_age_of_a_process_goes_with_the_clock():
    first_s, begun_s = process_age_s(), time.monotonic()
    time.sleep(0.05)
    assert process_age_s() - first_s == pytest.approx(time.monotonic() - begun_s, abs=0.02)
    assert first_s > 0


def test_usage_counts_this_process():
    before = measure_usage(torch.device("cpu"))
    block = bytearray(os.urandom(1)) * (64 * 2**20)
    after = measure_usage(torch.device("cpu"))
    assert len(block) == 64 * 2**20
    assert after["real_s"] >= before["real_s"]
    assert after["user_s"] + after["system_s"] >= before["user_s"] + before["system_s"] > 0
    assert after["peak_memory_bytes"] >= 64 * 2**20
    assert after["peak_device_memory_bytes"] is None
