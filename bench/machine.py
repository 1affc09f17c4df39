"""Where and with which code we measure: the machine card and the state of the checkout.

Imports no torch: what torch knows is on the card if torch is already loaded, as it is whenever something is measured.
"""

import os
import platform
import subprocess
import sys
from pathlib import Path

from bench.record import Code, Machine

_PROC = Path("/proc")
_CPU_CLOCK = Path("/sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq")


def card() -> Machine:
    """Describe this machine. What cannot be read is None, never guessed."""
    torch = sys.modules.get("torch")
    has_gpu = torch is not None and torch.cuda.is_available()
    gpu_clock_mhz, gpu_power_limit_w = _gpu_limits() if has_gpu else (None, None)
    return Machine(
        cpu=_proc_value("cpuinfo", "model name") or platform.processor() or platform.machine(),
        cores=_cores(),
        threads=None if torch is None else torch.get_num_threads(),
        clock_mhz=_clock_mhz(),
        memory_bytes=_memory_bytes(),
        os=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        torch=None if torch is None else str(torch.__version__),  # torch's own type is no plain text
        gpu=torch.cuda.get_device_name() if torch is not None and has_gpu else None,
        gpu_memory_bytes=torch.cuda.get_device_properties(0).total_memory if torch is not None and has_gpu else None,
        gpu_clock_mhz=gpu_clock_mhz,
        gpu_power_limit_w=gpu_power_limit_w,
    )


def code() -> Code:
    """Commit of the checkout this file lies in, and whether tracked files differ from it."""
    commit = _git("rev-parse", "HEAD")
    status = _git("status", "--porcelain", "--untracked-files=no")
    return Code(commit=commit, dirty=None if commit is None or status is None else bool(status))


def _cores() -> int:
    """Cores this process may use, which a container may have limited."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _clock_mhz() -> float | None:
    """Highest clock the processor states. The current clock is left out: it changes from one moment to the next."""
    try:
        return int(_CPU_CLOCK.read_text()) / 1000
    except (OSError, ValueError):
        return None


def _memory_bytes() -> int | None:
    total = _proc_value("meminfo", "MemTotal")
    return None if total is None else int(total.removesuffix("kB")) * 1024


def _proc_value(file: str, name: str) -> str | None:
    """Value of the first `name : value` line of a file in /proc, which only Linux has."""
    try:
        lines = (_PROC / file).read_text().splitlines()
    except OSError:
        return None
    return next((line.partition(":")[2].strip() for line in lines if line.partition(":")[0].strip() == name), None)


def _gpu_limits() -> tuple[int | None, float | None]:
    """Highest graphics clock in MHz and power limit in W, if the optional nvidia-ml-py is installed."""
    try:
        import pynvml
    except ImportError:
        return None, None
    try:
        pynvml.nvmlInit()
        device = pynvml.nvmlDeviceGetHandleByIndex(0)
        clock_mhz = pynvml.nvmlDeviceGetMaxClockInfo(device, pynvml.NVML_CLOCK_GRAPHICS)
        return clock_mhz, pynvml.nvmlDeviceGetPowerManagementLimit(device) / 1000
    except pynvml.NVMLError:
        return None, None


def _git(*arguments: str) -> str | None:
    """Output of a git command run beside this file; None without git, or where this is no checkout of the project."""
    root = Path(__file__).parents[1]
    if not (root / ".git").exists():
        return None  # an installed package may lie inside the checkout of something else
    command = ["git", "-C", str(root), *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
