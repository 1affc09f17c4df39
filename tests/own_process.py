"""Running a program in a process of its own, without the run-time types that the tests' process has."""

import subprocess
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).parents[1]


def run_alone(program: str) -> subprocess.CompletedProcess[str]:
    """Run an indented program; its output and errors are in the result."""
    command = [sys.executable, "-c", textwrap.dedent(program)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=300)
