"""Two processes of one run, on this machine."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).parents[2]


def run_two(module: str, folder: Path, *arguments: str) -> list[dict[str, Any]]:
    """What two processes of `python -m module FOLDER ARGUMENTS...` leave in `folder`, each under its number."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    shared = {**os.environ, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": "1"}
    program = [sys.executable, "-m", module, str(folder), *arguments]
    running = [
        subprocess.Popen(
            program, cwd=ROOT, env={**shared, "RANK": number, "LOCAL_RANK": number}, stderr=subprocess.PIPE
        )
        for number in "01"
    ]
    try:
        said = [process.communicate(timeout=100)[1].decode() for process in running]
    finally:
        for process in running:
            process.kill()
    assert [process.returncode for process in running] == [0, 0], "\n".join(said)
    return [torch.load(folder / f"{number}.pt", weights_only=True) for number in "01"]
