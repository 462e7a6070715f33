"""The project as files: where it lies, what is kept of it, and the package that is built from that."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def root() -> Path:
    """The folder that holds the project."""
    return ROOT


@pytest.fixture(scope="session")
def kept() -> list[Path]:
    """The files that belong to the project, relative to its folder: all but those that .gitignore names.

    Read off the folder itself, so that a copy without a history gives the same answer.
    """
    patterns = [".git", *(line.rstrip("/") for line in (ROOT / ".gitignore").read_text().split())]

    def walk(folder: Path) -> list[Path]:
        found: list[Path] = []
        for path in sorted(folder.iterdir()):
            if any(fnmatchcase(path.name, pattern) for pattern in patterns):
                continue
            found += walk(path) if path.is_dir() else [path.relative_to(ROOT)]
        return found

    return walk(ROOT)


@pytest.fixture(scope="session")
def built(kept: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two wheels: `direct/` has the one built from the files, `through/` the one built from the sdist.

    Built from a copy, since setuptools puts everything that an earlier build left behind into the wheel.
    """
    folder = tmp_path_factory.mktemp("built")
    for file in kept:
        (folder / "tree" / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / file, folder / "tree" / file)
    build = [sys.executable, "-m", "build"]
    for arguments in (["--wheel", "--outdir", "direct"], ["--outdir", "through"]):
        done = subprocess.run([*build, *arguments, "tree"], cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
        warned = re.findall(r".*Warning.*", done.stdout + done.stderr)
        assert warned == []
    return folder
