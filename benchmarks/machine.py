"""The machine in words: what a reader needs to judge a time, and nothing that tells where it stands."""

import os
import platform
from importlib.metadata import version
from pathlib import Path


def machine(*packages: str, device: str = "cpu") -> dict[str, object]:
    """CPU, cores, memory, Python, and versions of packages; with torch its vector instructions, or the GPU."""
    cpu = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").is_file() else ""
    model = next((line.split(":", 1)[1].strip() for line in cpu.splitlines() if line.startswith("model name")), "")
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "cpu": model or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(pages / 1e9),
        "python": platform.python_version(),
        **{name: version(name) for name in ("numpy", "pyarrow", *packages)},
        **(_torch(device) if "torch" in packages else {}),
    }


def _torch(device: str) -> dict[str, object]:
    import torch

    found: dict[str, object] = {"capability": torch.backends.cpu.get_cpu_capability()}
    return found | ({"gpu": torch.cuda.get_device_name()} if device == "cuda" else {})


def peak_mb() -> int:
    """Peak resident memory of this process, from its start, in megabytes (Linux)."""
    status = Path("/proc/self/status").read_text().splitlines()
    kilobytes = next(line.split()[1] for line in status if line.startswith("VmHWM"))
    return round(int(kilobytes) * 1024 / 1e6)
