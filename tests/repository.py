"""Real git repositories for tests, out of reach of the person's settings."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

IDENTITY = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "commit.gpgsign=false")


def isolate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the person's settings of git and pre-commit, and a hook that the tests may run in, from both."""
    for name in [name for name in os.environ if name.startswith(("GIT_", "PRE_COMMIT")) or name == "SKIP"]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)


@dataclass(frozen=True)
class Repository:
    top: Path

    @classmethod
    def create(cls, top: Path, *options: str) -> Repository:
        top.mkdir(parents=True)
        repository = cls(top)
        repository.git("init", "--quiet", "--initial-branch=main", *options)
        return repository

    def git(self, *arguments: str) -> str:
        """What git writes to standard output; names that are not UTF-8 come with lone surrogates."""
        done = self.try_git(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def try_git(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = ["git", *IDENTITY, "-c", "protocol.file.allow=always", *arguments]
        return subprocess.run(
            command, cwd=self.top, capture_output=True, encoding="utf-8", errors="surrogateescape", check=False
        )

    def write(self, name: str, text: str | bytes) -> Path:
        path = self.top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    def commit(self, **texts: str) -> None:
        """Commit all that is there, with `a="…"` written to a.py before."""
        for stem, text in texts.items():
            self.write(f"{stem}.py", text)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "-m", "a commit")

    def hook(self, script: str) -> None:
        """Install a pre-commit hook of git's own."""
        path = self.top / ".git" / "hooks" / "pre-commit"
        path.write_text(script)
        path.chmod(0o755)
