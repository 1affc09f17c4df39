"""docs/notebook.md runs from top to bottom, and says what its text promises."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
CELLS = re.findall(r"^```python\n(.*?)^```", (ROOT / "docs" / "notebook.md").read_text(), re.DOTALL | re.MULTILINE)

CHECKS = """
assert len(measured) == 4
assert all(record.error is None for record in measured), measured
assert figure.svg.startswith("<svg")
assert 0 < scored.get("apb").value < scored.get("ap").value <= 100
"""


def test_every_cell_runs(tmp_path: Path) -> None:
    """In a process of its own: checking annotations at run time would take most of the time here."""
    done = subprocess.run(
        [sys.executable, "-c", "\n".join([*CELLS, CHECKS])],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "| Mask R-CNN++" in done.stdout
    assert "'name': 'apb_star'" in done.stdout
    assert "one training, seed 0" in done.stdout
    assert "Accuracy against cost" in done.stdout
