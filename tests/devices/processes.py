"""Several processes of one program, on this machine: started, waited for, and ended whatever happens."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from fcntl import LOCK_EX, flock
from pathlib import Path
from signal import SIGKILL
from socket import socket
from tempfile import gettempdir
from typing import TYPE_CHECKING, Any

import pytest
import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
# A process more would wait for cores that the others have.
_ENVIRONMENT = {"OMP_NUM_THREADS": "1", "TORCH_CPP_LOG_LEVEL": "ERROR", "GLOO_SOCKET_IFNAME": "lo"}


def run(module: str, world: int, folder: Path, *arguments: str, seconds: float = 240) -> list[Any]:
    """What each of `world` processes of `python -m MODULE RANK WORLD FOLDER ARGUMENTS` saved as `FOLDER/RANK.pt`.

    They meet by a file in the folder.  The test fails with what they said where one of them fails or all take longer.
    Tests that call this at the same time take turns: more processes than cores wait for each other.
    """
    with _turn():
        return _run(module, world, folder, arguments, seconds)


def run_torchrun(program: Path, world: int, folder: Path, *arguments: str, seconds: float = 240) -> str:
    """What `world` processes of `python PROGRAM ARGUMENTS` said that `torchrun` started; as `run_msrun`."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={world}"]
    return _run_together([*torchrun, str(program), *arguments], folder, seconds)


def run_msrun(program: Path, world: int, folder: Path, *arguments: str, seconds: float = 240) -> str:
    """What MindSpore's `msrun` said, which runs `python PROGRAM ARGUMENTS` in `world` processes, logs in the folder.

    The test fails with what was said where one of them fails, or all take longer.
    """
    command = [str(Path(sys.executable).parent / "msrun"), f"--worker_num={world}", f"--local_worker_num={world}"]
    command += [f"--master_port={_free_port()}", f"--log_dir={folder}", "--join=True", str(program), *arguments]
    return _run_together(command, folder, seconds)


def _run_together(command: list[str], folder: Path, seconds: float) -> str:
    """What a command said that starts processes by itself; they end with it, whatever happens."""
    # msrun starts whatever `python` is first in the path.
    here = Path(sys.executable).parent
    environment = {**os.environ, **_ENVIRONMENT, "PATH": f"{here}{os.pathsep}{os.environ['PATH']}"}
    log = folder / "said.log"
    with _turn(), log.open("wb") as stream:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=stream, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            code: int | None = process.wait(seconds)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, SIGKILL)
            process.wait()
    said = log.read_text()
    if code != 0:
        said += "".join(each.read_text() for each in sorted(folder.glob("worker_*.log")))
        pytest.fail(f"{command[0]}: {_verdict(code)}, after at most {seconds} s\n{said[-4000:]}", pytrace=False)
    return said


def _free_port() -> int:
    with socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
    return port


@contextmanager
def _turn() -> Iterator[None]:
    """Wait for other tests that start processes."""
    with (Path(gettempdir()) / f"optplan-devices-{os.getuid()}.lock").open("w") as turn:
        flock(turn, LOCK_EX)
        yield


def _run(module: str, world: int, folder: Path, arguments: tuple[str, ...], seconds: float) -> list[Any]:
    environment = {**os.environ, **_ENVIRONMENT}
    logs = [folder / f"{rank}.log" for rank in range(world)]
    processes = []
    try:
        for rank, log in enumerate(logs):
            command = [sys.executable, "-m", module, str(rank), str(world), str(folder), *arguments]
            with log.open("wb") as stream:
                processes.append(
                    subprocess.Popen(command, cwd=ROOT, env=environment, stdout=stream, stderr=subprocess.STDOUT)
                )
        until = time.monotonic() + seconds
        codes: list[int | None] = [None]
        while None in codes and not any(codes) and time.monotonic() < until:
            time.sleep(0.05)
            codes = [process.poll() for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    if codes != [0] * world:
        told = zip(codes, logs, strict=True)
        said = "\n".join(f"--- {_verdict(code)}\n{log.read_text()[-2000:]}" for code, log in told)
        pytest.fail(f"of {world} processes not all ended well within {seconds} s\n{said}", pytrace=False)
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(world)]


def _verdict(code: int | None) -> str:
    return "still running, ended by the test" if code is None else f"ended by itself with {code}"
