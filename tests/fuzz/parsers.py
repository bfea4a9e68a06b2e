"""Coverage-guided fuzzing of the parsers with atheris, for as long as one likes.

``uv run --with atheris python -m tests.fuzz.parsers NAME [SECONDS]``: NAME is one of those of the mutations' tests, or
``all``. What raises something else than the readers' own errors, takes ten seconds or two gigabytes ends it, and the
input is written to the working directory. Linux on x86_64 alone has atheris.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path


def fuzz(name: str, seconds: int) -> None:
    """Fuzz one reader; does not come back."""
    import atheris  # type: ignore[import-untyped]  # no dependency of the project

    # What was imported before would not be watched.
    with atheris.instrument_imports(include=["pipeline.core", "PIL", "yaml", "pickletools", "zipfile"]):
        from tests.fuzz.test_mutations import LOOKS
    if name not in LOOKS:
        sys.exit(f"no reader {name!r}; there are: all, {', '.join(LOOKS)}")
    look, wholes = LOOKS[name]
    with tempfile.TemporaryDirectory(prefix="fuzz-") as corpus:
        for number, whole in enumerate(wholes):
            (Path(corpus) / str(number)).write_bytes(whole)
        limits = [f"-max_total_time={seconds}", "-timeout=10", "-rss_limit_mb=2048", "-max_len=65536"]
        atheris.Setup([sys.argv[0], corpus, *limits], look)
        atheris.Fuzz()


def main() -> int:
    """Fuzz one reader, or each in a process of its own."""
    chosen = sys.argv[1] if len(sys.argv) > 1 else "all"
    seconds = int(sys.argv[2]) if len(sys.argv) > 2 else 60
    if chosen != "all":
        fuzz(chosen, seconds)
    from tests.fuzz.test_mutations import LOOKS

    command = [sys.executable, "-m", "tests.fuzz.parsers"]
    failed = [name for name in LOOKS if subprocess.run([*command, name, str(seconds)], check=False).returncode]
    print(f"{len(LOOKS)} readers, {seconds} s each; failed: {', '.join(failed) or 'none'}")  # noqa: T201
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
