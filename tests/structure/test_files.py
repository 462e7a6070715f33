"""What holds for every file of the project."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

# Written in pieces, so that this file does not find itself
MACHINE = [f"/{folder}/" for folder in ("work", "root", "home")] + [f"{'/'}opt/pypi"]
INDEX = ["pypi" + ".org", "python" + "hosted.org", "index" + "-url", "find" + "-links"]


def texts(root: Path, kept: list[Path]) -> dict[Path, str]:
    """The text of every kept file that is text."""
    found = {}
    for file in kept:
        content = (root / file).read_bytes()
        if b"\0" not in content:
            found[file] = content.decode()
    return found


def test_the_kept_files_are_the_project(kept: list[Path]) -> None:
    assert {Path("pyproject.toml"), Path("Makefile"), Path("compiler/optplan/api.py")} <= set(kept)
    assert [file for file in kept if {".venv", ".git", "__pycache__"} & set(file.parts)] == []


def test_a_file_over_400_lines_is_two_things(root: Path, kept: list[Path]) -> None:
    lengths = {
        str(file): len((root / file).read_text().splitlines())
        for file in kept
        if file.parts[0] == "compiler" and file.suffix == ".py"
    }
    assert {file: length for file, length in lengths.items() if length > 400} == {}


@pytest.mark.parametrize("word", [*MACHINE, *INDEX])
def test_no_file_names_a_machine_or_a_package_index(root: Path, kept: list[Path], word: str) -> None:
    assert [str(file) for file, text in texts(root, kept).items() if word in text] == []


def test_every_text_ends_with_one_line_end_and_has_no_blanks_before_it(root: Path, kept: list[Path]) -> None:
    faulty = {
        str(file)
        for file, text in texts(root, kept).items()
        if text and (not text.endswith("\n") or text.endswith("\n\n") or re.search(r"[ \t]$|\r", text, re.MULTILINE))
    }
    assert faulty == set()


def test_every_sample_opens_with_its_schema(root: Path, kept: list[Path]) -> None:
    # but Hydra's own configuration, of which such a file is a part
    samples = [file for file in kept if file.parts[0] == "samples" and file.suffix == ".yaml"]
    samples.remove(Path("samples/hosts/conf/config.yaml"))
    assert samples
    for sample in samples:
        first = (root / sample).read_text().partition("\n")[0]
        named = re.fullmatch(r"# yaml-language-server: \$schema=(\S+)", first)
        assert named, sample
        assert (root / sample.parent / named[1]).is_file(), sample


def test_every_link_between_pages_leads_somewhere(root: Path, kept: list[Path]) -> None:
    pages = [file for file in kept if file.suffix == ".md"]
    broken = [
        f"{page}: {target}"
        for page in pages
        for target in re.findall(r"\]\(([^)#\s]+)", (root / page).read_text())
        if "://" not in target and not (root / page.parent / target).exists()
    ]
    assert broken == []
