"""Write down which code each stage runs: a stage depends on one small file, and not on forty files of code.

DVC writes all dependencies of all stages after each stage, and reads them for every command: with files of code among
them that was most of what it did. A stage's file here changes when code does that the stage runs, and only then.
"""

from __future__ import annotations

from pathlib import Path

from pipeline.core import files, imports, paths, stage
from pipeline.core.errors import UserError
from pipeline.core.paths import code_of

_OWN = "code"  # this stage depends on the code itself


def main() -> None:
    """Write down which code each stage runs."""
    root = Path()
    modules = sorted((root / imports.PACKAGE).glob("*.py"))
    starting = [path for path in modules if path.stem != _OWN and "    stage.start" in path.read_text()]
    try:
        ran = {path.stem: sorted(imports.closure(f"{imports.PACKAGE}.{path.stem}", root)) for path in starting}
    except SyntaxError as error:
        raise UserError(
            f"{error.filename}, line {error.lineno}: {error.msg}. Mend it, then run the command again."
        ) from None
    digests = {path: files.sha256_file(path) for path in {one for found in ran.values() for one in found}}
    with files.fresh_folder(paths.CODE) as folder:
        for name, found in ran.items():
            files.write_json(folder / code_of(name).name, {str(path): digests[path] for path in found})


if __name__ == "__main__":
    stage.start_plain(main)
