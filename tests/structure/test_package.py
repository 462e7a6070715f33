"""What is shipped: the list of packages, the wheel, the sdist, and the commands that the pages promise."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

# what the wheel ships besides modules; a pattern for each folder of data
DATA = {"optplan/py.typed", "optplan/grammar/README.md", "optplan/targets/mindspore/README.md"}


def settings(root: Path) -> dict[str, Any]:
    """The content of pyproject.toml."""
    return tomllib.loads((root / "pyproject.toml").read_text())


def shipped_name(file: Path) -> str | None:
    """Where a file of the project lies in the wheel, or None where it is not shipped."""
    top = file.parts[0]
    if top == "compiler" and file.suffix == ".py":
        return file.relative_to("compiler").as_posix()
    if top in {"grammar", "schema"} and file.suffix in {".py", ".lark", ".json"}:
        return f"optplan/{file.as_posix()}"
    return None


def test_the_list_of_packages_is_what_is_on_disk(root: Path, kept: list[Path]) -> None:
    shipped = [name for file in kept if (name := shipped_name(file))]
    assert settings(root)["tool"]["setuptools"]["packages"] == sorted(
        {name.rpartition("/")[0].replace("/", ".") for name in shipped}
    )


def test_every_package_has_its_module(kept: list[Path]) -> None:
    # without it Lark reads an empty grammar in silence, and setuptools takes the folder for a namespace
    folders = {file.parent for file in kept if shipped_name(file)}
    assert sorted(folder for folder in folders if folder / "__init__.py" not in kept) == []


def test_every_pin_is_exact_and_there_once(root: Path) -> None:
    lines = [line for line in (root / "tests" / "pins.txt").read_text().splitlines() if line and line[0] != "#"]
    assert [line for line in lines if not re.fullmatch(r"[\w.-]+==[\w.+]+", line)] == []
    names = [line.partition("==")[0].lower().replace("_", "-") for line in lines]
    assert len(names) == len(set(names))
    needed = {re.split(r"[>=<]", each)[0] for each in settings(root)["project"]["dependencies"]}
    assert needed <= set(names)


def test_every_promised_command_is_there(root: Path, kept: list[Path]) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (root / "Makefile").read_text(), re.MULTILINE))
    promised = {
        (str(page), target)
        for page in kept
        if page.suffix == ".md" or page == Path(".ci/run")
        for target in re.findall(r"(?:^|`| {4})make ([a-z-]+)", (root / page).read_text(), re.MULTILINE)
    }
    assert {("README.md", "demo"), ("README.md", "test")} <= promised
    assert {each for each in promised if each[1] not in targets} == set()


@pytest.mark.long
@pytest.mark.parametrize("way", ["direct", "through"])
def test_the_wheel_has_all_and_nothing_else(built: Path, kept: list[Path], root: Path, way: str) -> None:
    (wheel,) = (built / way).glob("*.whl")
    with ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if not re.match(r"optplan-[^/]*\.dist-info/", name)}
        assert names == {*DATA, *(name for file in kept if (name := shipped_name(file)))}
        (licence,) = (name for name in archive.namelist() if name.endswith(".dist-info/licenses/LICENSE"))
        assert archive.read(licence) == (root / "LICENSE").read_bytes()
        (metadata,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        assert "\nLicense-Expression: Apache-2.0\n" in archive.read(metadata).decode()
        (scripts,) = (name for name in archive.namelist() if name.endswith("entry_points.txt"))
        assert "optplan = optplan.cli:main" in archive.read(scripts).decode()
