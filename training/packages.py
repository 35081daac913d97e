"""Packages to train on besides the standard library: pinned in packages.txt, fetched by pip, read from their wheels."""

from __future__ import annotations

import email
import hashlib
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from .corpus import Document, module

PINS = Path(__file__).with_name("packages.txt")
MOST = 900_000  # bytes of one package, so that the model speaks no package's dialect
SKIPPED_PARTS = {
    "_distutils", "_vendor", "_vendored_packages", "locale", "migrations", "packages", "test", "testing", "tests",
    "vendor",
}  # fmt: skip


@dataclass(frozen=True)
class Package:
    """A package by its own metadata, and the modules of it that are trained on."""

    name: str
    version: str
    licence: str
    documents: tuple[Document, ...]


def fetch(directory: Path) -> list[Path]:
    """The wheels that packages.txt names, downloaded where they are not there yet."""
    directory.mkdir(parents=True, exist_ok=True)
    wanted = ("--no-deps", "--only-binary", ":all:", "--dest", str(directory), "--requirement", str(PINS))
    subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", *wanted], check=True)
    return sorted(directory.glob("*.whl"))


def read(wheels: list[Path]) -> list[Package]:
    return [_package(wheel) for wheel in wheels]


def _package(wheel: Path) -> Package:
    with zipfile.ZipFile(wheel) as archive:
        described = next(name for name in archive.namelist() if PurePosixPath(name).match("*.dist-info/METADATA"))
        metadata = email.message_from_bytes(archive.read(described))
        # A package is cut where it is too big: in the order of the digests of its modules' paths.
        paths = sorted(filter(_wanted, archive.namelist()), key=lambda path: hashlib.sha256(path.encode()).digest())
        documents, size = [], 0
        for path in paths:
            document = module(path, archive.read(path))
            if document is not None and size + len(document.text) <= MOST:
                documents.append(document)
                size += len(document.text)
    classifiers = [each for each in metadata.get_all("Classifier", []) if each.startswith("License ::")]
    stated = metadata["License-Expression"] or ", ".join(each.rsplit(" :: ", 1)[-1] for each in classifiers)
    return Package(metadata["Name"], metadata["Version"], stated, tuple(documents))


def _wanted(path: str) -> bool:
    parts = PurePosixPath(path).parts
    return path.endswith(".py") and len(parts[0].split(".")) < 3 and not SKIPPED_PARTS & set(parts)
