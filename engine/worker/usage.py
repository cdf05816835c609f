"""What this process has used so far, as the operating system counts it."""

from __future__ import annotations

import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import torch

__all__ = ["measure_usage", "process_age_s"]


def process_age_s() -> float:
    """Return the seconds since this process was started."""
    if sys.platform == "linux":  # psutil adds the boot time, which the kernel gives in whole seconds
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        started_s = int(fields[19]) / os.sysconf("SC_CLK_TCK")
        return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - started_s)
    return max(0.0, time.time() - float(psutil.Process().create_time()))


def measure_usage(device: torch.device) -> dict[str, Any]:
    """Return the fields of ``run_stop`` that account for the process: its times and its peak memory."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss
    is_cuda = device.type == "cuda"
    return {
        "real_s": process_age_s(),
        "user_s": used.ru_utime,
        "system_s": used.ru_stime,
        "peak_memory_bytes": used.ru_maxrss * unit,
        "peak_device_memory_bytes": torch.cuda.max_memory_allocated(device) if is_cuda else None,
    }
