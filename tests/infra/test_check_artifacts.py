"""infra/check-artifacts, as people call it, with made-up executables and a real one."""

import platform
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from template import ROOT

SCRIPT = ROOT / "infra" / "check-artifacts"
FUNCTIONS = ("intake", "rules", "poster", "sweeper")
X86_64, ARM64, RISCV = 0x3E, 0xB7, 0xF3


def elf(machine: int = ARM64, *, kind: int = 3, word: int = 2, payload: bytes = b"\0GLIBC_2.17\0GLIBC_2.34\0") -> bytes:
    """A header, one segment, and its content."""
    start = 64 + 56
    header = struct.pack(
        "<16sHHIQQQIHHHHHH",
        b"\x7fELF" + bytes([word, 1, 1]), kind, machine, 1, 0, 64, 0, 0, 64, 56, 1, 64, 0, 0,
    )  # fmt: skip
    segment = struct.pack("<IIQQQQQQ", 1, 5, start, 0, 0, len(payload), len(payload), 4096)
    return header + segment + payload


@pytest.fixture
def artifacts(tmp_path):
    """A directory with four good builds for arm64."""
    for name in FUNCTIONS:
        put(tmp_path, name, elf())
    return tmp_path


def put(directory: Path, name: str, content: bytes, mode: int = 0o755) -> None:
    path = directory / name / "bootstrap"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    path.chmod(mode)


def check(directory: Path, *arguments: str, script: Path = SCRIPT) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", str(script), "--directory", str(directory), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_good_builds_are_listed(artifacts):
    done = check(artifacts)
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split(":")[0] for line in done.stdout.splitlines()] == [
        str(artifacts / name / "bootstrap") for name in FUNCTIONS
    ]
    assert done.stdout.count("arm64") == 4


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (elf(X86_64), "is built for x86_64"),
        (elf(RISCV), "is built for a machine of ELF number 243"),
        (b"#!/bin/sh\nexit 0\n", "is not an ELF executable"),
        (b"", "is empty"),
        (elf()[:40], "is cut off in its header"),
        (elf()[:100], "is cut off: it has 100 bytes of at least 120"),
        (elf()[:-5], f"is cut off: it has {len(elf()) - 5} bytes of at least {len(elf())}"),
        (elf(kind=1), "is an object file"),
        (elf(word=1), "is not a 64-bit"),
        (elf(payload=b"\0GLIBC_2.4\0GLIBC_2.38\0"), "needs glibc 2.38, and Amazon Linux 2023 has 2.34"),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else "",
)
def test_what_is_wrong_with_one_is_said_and_what_to_run(artifacts, content, problem):
    put(artifacts, "poster", content)
    done = check(artifacts)
    assert done.returncode == 1
    first, *rest = done.stderr.splitlines()
    assert first.startswith(f"{artifacts / 'poster' / 'bootstrap'} {problem}")
    assert "    cargo lambda build --release --arm64 -p intake -p rules -p poster -p sweeper" in rest
    assert done.stdout.count("arm64") == 3, "the others are fine"


def test_one_that_is_missing_or_may_not_be_executed(artifacts):
    (artifacts / "rules" / "bootstrap").unlink()
    put(artifacts, "sweeper", elf(), mode=0o644)
    done = check(artifacts)
    assert done.returncode == 1
    assert f"{artifacts / 'rules' / 'bootstrap'} is missing" in done.stderr
    assert f"{artifacts / 'sweeper' / 'bootstrap'} is not executable" in done.stderr


def test_the_architecture_can_be_said(artifacts):
    done = check(artifacts, "--architecture", "x86_64")
    assert done.returncode == 1
    assert done.stderr.count("is built for arm64") == 4
    assert "x86_64 is to be deployed (--architecture)" in done.stderr


def test_the_architecture_is_the_one_that_will_be_deployed(artifacts, tmp_path):
    # A checkout of its own, in which samconfig.toml can say otherwise.
    infra = tmp_path / "checkout" / "infra"
    infra.mkdir(parents=True)
    for name in ("check-artifacts", "template.yaml"):
        (infra / name).write_bytes((ROOT / "infra" / name).read_bytes())
    script = infra / "check-artifacts"
    assert check(artifacts, script=script).returncode == 0, "there is no samconfig.toml: the template's default"
    for overrides in (
        '"Stage=\\"dev\\" Architecture=\\"x86_64\\""',
        '["Stage=dev", "Architecture=x86_64"]',
        '"Architecture=x86_64"',
    ):
        (infra / "samconfig.toml").write_text(f"[default.deploy.parameters]\nparameter_overrides = {overrides}\n")
        done = check(artifacts, script=script)
        assert done.returncode == 1
        assert "x86_64 is to be deployed (infra/samconfig.toml)" in done.stderr
    for name in FUNCTIONS:
        put(artifacts, name, elf(X86_64))
    assert check(artifacts, script=script).returncode == 0
    (infra / "samconfig.toml").write_text('[default.deploy.parameters]\nparameter_overrides = "Architecture=riscv"\n')
    assert "infra/samconfig.toml says riscv" in check(artifacts, script=script).stderr


@pytest.mark.skipif(platform.machine() not in ("x86_64", "aarch64"), reason="neither of the two architectures")
def test_a_real_executable_is_taken_for_its_own_architecture_only(artifacts):
    own, other = ("x86_64", "arm64") if platform.machine() == "x86_64" else ("arm64", "x86_64")
    real = Path(sys.executable).resolve().read_bytes()
    for name in FUNCTIONS:
        put(artifacts, name, real)
    # It may need a newer glibc than Amazon Linux has; that is the last thing looked at.
    done = check(artifacts, "--architecture", own)
    assert done.returncode == 0 or done.stderr.count("needs glibc") == 4, done.stderr
    assert check(artifacts, "--architecture", other).stderr.count(f"is built for {own}") == 4
    put(artifacts, "rules", real[: len(real) // 2])
    assert "is cut off" in check(artifacts, "--architecture", own).stderr
