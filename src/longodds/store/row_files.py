"""The rows of a file, JSON lines or Parquet, numbered and not yet checked."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from longodds.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_PARQUET_BATCH = 4096


class FieldError(Exception):
    """A field that can't be used: which, and why."""

    def __init__(self, field: str, text: str) -> None:
        super().__init__(f"field '{field}': {text}")


def numbered_rows(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Rows with their numbers (of the line, or in Parquet of the row): Parquet where the file begins as Parquet does,
    JSON lines otherwise. Raises UserError, `FILE:LINE: ...`, for what is no row."""
    return _parquet_rows(path) if _is_parquet(path) else _json_rows(path)


def _is_parquet(path: Path) -> bool:
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            raise UserError(f"{path}: must be a regular file; it is read more than once")
        with path.open("rb") as file:
            return file.read(4) == b"PAR1"
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise UserError(f"{path}: is a directory; FILE is JSON lines or Parquet") from None
    except OSError as e:
        raise UserError(f"{path}: cannot be read: {e.strerror}") from None


def _json_rows(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            text = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
            if text.strip():
                yield number, _json_row(text, path, number)


def _json_row(line: bytes, path: Path, number: int) -> Mapping[str, Any]:
    try:
        row = json.loads(line.decode("utf-8"))
        odd = isinstance(row, dict) and line.count(b'":') != len(row) and _may_repeat(line, row)
    except (ValueError, RecursionError):
        row, odd = None, True
    if odd:  # json itself is silent about a key given twice, and does not say what is wrong with the bytes
        row = _lenient(line, path, number)
    if not isinstance(row, dict):
        hint = "; write one object a line" if isinstance(row, list) else ""
        raise UserError(f"{path}:{number}: must be a JSON object, one a sample, not {kind_of(row)}{hint}")
    return row


def _may_repeat(line: bytes, row: Mapping[str, Any]) -> bool:
    return any(line.count(b'"%b"' % key.encode()) != 1 for key in row)


def _lenient(line: bytes, path: Path, number: int) -> Any:
    try:
        return json.loads(line.decode("utf-8"), object_pairs_hook=_without_repeats)
    except UnicodeDecodeError as e:
        raise UserError(f"{path}:{number}: not UTF-8 (byte {e.start + 1} of the line)") from None
    except FieldError as e:
        raise UserError(f"{path}:{number}: {e}") from None
    except RecursionError:
        raise UserError(f"{path}:{number}: nested too deeply") from None
    except ValueError as e:
        raise UserError(f"{path}:{number}: not JSON: {short(str(e), 80)}; one object a line is expected") from None


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) < len(pairs):
        names = [name for name, _ in pairs]
        raise FieldError(short(next(n for n in names if names.count(n) > 1)), "is given twice")
    return row


def _parquet_rows(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise UserError(f"{path}: Parquet needs pyarrow: pip install 'longodds[parquet]', or give JSON lines") from None
    number = 0
    try:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            if len(set(names)) < len(names):
                twice = next(n for n in names if names.count(n) > 1)
                raise UserError(f"{path}: field '{short(twice)}': is given twice")
            for batch in file.iter_batches(batch_size=_PARQUET_BATCH):
                columns = [_column(batch.column(i)) for i in range(batch.num_columns)]
                for values in zip(*columns, strict=True):
                    number += 1
                    yield number, dict(zip(names, values, strict=True))
    except (pa.ArrowException, OSError) as e:
        raise UserError(f"{path}: not a readable Parquet file: {short(str(e), 120)}") from None


def _column(array: Any) -> list[Any]:
    """The values of an Arrow array as Python's; lists of numbers by way of NumPy, tens of times faster."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = array.type
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind)):
        return array.to_pylist()
    inner = kind.value_type
    flat = array.flatten()
    if flat.null_count or not (pa.types.is_floating(inner) or pa.types.is_integer(inner)):
        return array.to_pylist()
    values, out, at = flat.to_numpy(zero_copy_only=False).tolist(), [], 0
    for length in pc.call_function("list_value_length", [array]).to_pylist():
        out.append(None if length is None else values[at : at + length])
        at += length or 0
    return out


def kind_of(value: Any) -> str:
    return {list: "a list", str: "a string", type(None): "null", bool: "a boolean"}.get(type(value), "a number")


def short(text: str, limit: int = 40) -> str:
    return text if len(text) <= limit else text[: limit - 3] + "..."
