"""Files that appear whole or not at all."""

import os
import tempfile
from pathlib import Path

_TEMPORARY = ".unfinished-"


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that appears whole or not at all, also after a power failure."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=_TEMPORARY)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)  # mkstemp's files are private; results are there to be shared
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
