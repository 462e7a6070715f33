"""One of several processes: the last fails, the others wait. `python -m tests.devices.failing RANK WORLD FOLDER`."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

if __name__ == "__main__":
    rank, world, folder = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    (folder / f"{rank}.pid").write_text(str(os.getpid()))
    while len(list(folder.glob("*.pid"))) < world:
        time.sleep(0.01)
    if rank == world - 1 and "late" not in sys.argv:
        raise SystemExit(f"process {rank} fails")
    time.sleep(600)
