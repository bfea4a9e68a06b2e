"""YAML that other people wrote, read safely: plain values only, each key once, and in bounded time and memory.

PyYAML's safe loader makes no objects, yet a hostile file can still keep it busy for hours, and what is malformed makes
it raise almost anything. Here it raises one error, whose text never quotes the file: a line may hold a password.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

MOST = 1 << 20  # bytes
_MOST_VALUES = 60_000  # keys among them; some three seconds of parsing
_MOST_MERGED = 100_000  # keys that `<<` brings in
_LONGEST_NUMBER = 100  # characters; a number in base 60, as YAML 1.1 has it, takes quadratic time


_MERGE = "tag:yaml.org,2002:merge"


class UniqueKeys(yaml.SafeLoader):
    """A safe loader that refuses a key that is there twice: YAML itself would let the last one win.

    It takes ``1e-3`` for a number, as DVC does (YAML 1.2); PyYAML alone (YAML 1.1) takes it for text.
    """

    def __init__(self, stream: Any) -> None:
        """Read from a text or a stream."""
        super().__init__(stream)
        self._values = self._merged = 0

    def compose_node(self, parent: Any, index: Any) -> yaml.Node | None:
        """Read one value, refusing too many."""
        self._values += 1
        if self._values > _MOST_VALUES:
            raise yaml.YAMLError(f"more than {_MOST_VALUES:,} values")
        return super().compose_node(parent, index)

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """Read one mapping, refusing repeated keys; done here, before ``<<`` brings in keys that may be overridden."""
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):  # even to show it may take for ever
                raise yaml.YAMLError(f"a key that is no plain text, near line {key.start_mark.line + 1}")
            if (key.tag, key.value) in seen:
                raise yaml.YAMLError(f"key {key.value[:80]!r} is there twice, near line {key.start_mark.line + 1}")
            seen.add((key.tag, key.value))
        return node

    def compose_scalar_node(self, anchor: Any) -> yaml.ScalarNode:
        """Read one scalar, refusing endless numbers."""
        node = super().compose_scalar_node(anchor)
        if len(node.value) > _LONGEST_NUMBER and node.tag.rpartition(":")[2] in {"int", "float", "timestamp"}:
            raise yaml.YAMLError(f"a number of {len(node.value)} characters, near line {node.start_mark.line + 1}")
        return node

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Bring in the keys of ``<<``, each once and not too many; PyYAML keeps repeated ones, more at each level."""
        for key, value in node.value:
            if key.tag == _MERGE:
                for one in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                    if isinstance(one, yaml.MappingNode):
                        self.flatten_mapping(one)
                        self._merged += len(one.value)
                    if self._merged > _MOST_MERGED:
                        raise yaml.YAMLError(f"more than {_MOST_MERGED:,} keys are merged in")
        super().flatten_mapping(node)
        node.value = list({(key.tag, str(key.value)): (key, value) for key, value in node.value}.values())


UniqueKeys.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]+$"), list("-+.0123456789")
)


def load(content: bytes | str) -> Any:
    """The value of a YAML text.

    Raises:
        ValueError: it is too long, malformed, or holds something else than plain values; the message is one line, and
            of the text it has keys that are there twice at most.
    """
    if len(content) > MOST:
        raise ValueError(f"{len(content):,} characters, wanted at most {MOST:,}")
    try:
        return yaml.load(content, UniqueKeys)  # noqa: S506 - a subclass of the safe loader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark is not None else ""
        raise ValueError(f"{where}{_unquoted(error.problem or error.context)}") from None
    except yaml.reader.ReaderError as error:
        raise ValueError(f"position {error.position + 1}: {error.reason}") from None
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from None
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except Exception:  # noqa: BLE001 - PyYAML makes numbers and dates of what only looks like them
        raise ValueError("a number, a date or a tag that is none") from None


def _unquoted(problem: str | None) -> str:
    """A problem in one line, as far as it is PyYAML's own words and short."""
    return " ".join((problem or "malformed").split())[:120]
