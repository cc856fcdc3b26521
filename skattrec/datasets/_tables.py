"""Read tables in files, check what they hold, and say which line of which file is wrong.

A file is read whole: the checks of its form take a fraction of the time that parsing takes.
"""

from __future__ import annotations

import bz2
import codecs
import csv
import gzip
import io
import lzma
import warnings
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from skattrec.datasets._known import Range, known

_UNIT = "\x1f"  # stands for separators of several characters: pandas' fast parser takes one
_OPENERS: dict[str, Any] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
_DAMAGED = (EOFError, gzip.BadGzipFile, zlib.error, lzma.LZMAError)
_WHOLE = r"\s*[+-]?[0-9]{1,18}\s*"
_REAL = r"\s*[+-]?[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]+)?\s*"
# how files begin that are no text in UTF-8
_BEGINNINGS = {
    b"\x1f\x8b": "it is packed with gzip; unpack it, or let its name end in .gz",
    b"BZh": "it is packed with bzip2; unpack it, or let its name end in .bz2",
    b"\xfd7zXZ": "it is packed with xz; unpack it, or let its name end in .xz",
    b"PK\x03\x04": "it is a zip file; unpack it",
    codecs.BOM_UTF16_LE: "it looks like UTF-16; save it as UTF-8",
    codecs.BOM_UTF16_BE: "it looks like UTF-16; save it as UTF-8",
}


class Number(NamedTuple):
    """A column of numbers in a range."""

    least: float = 0
    most: float = np.inf
    whole: bool = True

    def __str__(self) -> str:
        kind = "a whole number" if self.whole else "a number"
        return f"{kind} {_shown((self.least, self.most))}"


Columns = Mapping[str, Number | None]  # None: text


# --- bytes and text --------------------------------------------------------------------


def read_bytes(path: Path) -> bytes:
    """Return the content of a file, unpacked where its name ends in .gz, .bz2 or .xz.

    A byte order mark of UTF-8 is left out.
    """
    opener = _OPENERS.get(path.suffix, open)
    try:
        with opener(path, "rb") as file:
            content: bytes = file.read()
    except _DAMAGED as error:
        raise ValueError(damaged_message(path, error)) from error
    except OSError as error:
        # bz2 has no error of its own
        if error.errno is None:
            raise ValueError(damaged_message(path, error)) from error
        raise
    return content.removeprefix(codecs.BOM_UTF8)


def damaged_message(path: Path, error: Exception, last_line: int | None = None) -> str:
    """Return what to say of a packed file that cannot be unpacked, or not behind this line."""
    where = f" behind line {last_line}" if last_line else ""
    return (
        f"{path} cannot be unpacked{where} ({type(error).__name__}: {error}); the file is cut or "
        f"damaged, or is not packed at all: get it again, or take {path.suffix} off its name"
    )


def check_text(content: bytes, path: Path, line: int = 1) -> None:
    """Raise ValueError unless the content of a file, from this line on, is text in UTF-8."""
    for start, message in _BEGINNINGS.items():
        if content.startswith(start):
            raise ValueError(f"line {line} of {path} is not text in UTF-8: {message}")
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        line += content.count(b"\n", 0, error.start)
        wrong = content[error.start : error.start + 1]
        raise ValueError(
            f"line {line} of {path} is not text in UTF-8: it has the byte {wrong!r}. Save the "
            "file as UTF-8"
        ) from error


def with_newlines(content: bytes) -> bytes:
    """Return the content with the line ends of Windows and old Macs turned to newlines."""
    if b"\r" in content:
        content = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return content


class Lines(NamedTuple):
    """The lines of a file that are not empty."""

    numbers: NDArray[np.int64]  # from 1, empty lines counted too
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]

    @classmethod
    def of(cls, content: bytes) -> Lines:
        """Find the lines of a content whose lines end in newlines."""
        ends = np.flatnonzero(np.frombuffer(content, dtype=np.uint8) == ord("\n"))
        if not content.endswith(b"\n"):
            ends = np.append(ends, len(content))
        starts = np.concatenate([[0], ends[:-1] + 1])
        full = np.flatnonzero(ends > starts)
        return cls(full + 1, starts[full], ends[full])

    def count_of(self, character: str, content: bytes) -> NDArray[np.int64]:
        """Return how often each line has a character of ASCII."""
        places = np.flatnonzero(np.frombuffer(content, dtype=np.uint8) == ord(character))
        return np.searchsorted(places, self.ends) - np.searchsorted(places, self.starts)


# --- tables ----------------------------------------------------------------------------


def read_table(
    path: Path,
    columns: Columns,
    *,
    sep: str = "\t",
    header: bool = False,
    encoding: str = "utf-8",
    errors: str = "strict",
) -> pd.DataFrame:
    """Return a table of a file whose cells have neither quotes nor line breaks in them.

    Parameters
    ----------
    path : Path
        The file. What `KNOWN` says of it is checked.
    columns : mapping of str to Number or None
        All columns in their order or, with a header, those to read: what numbers they hold, or
        None for text.
    sep : str, default="\\t"
        What separates cells, of one or several characters.
    header : bool, default=False
        Whether the first line names the columns.
    encoding, errors : str
        As for `bytes.decode`.

    Returns
    -------
    table : DataFrame
        Indexed by the number of the line in the file, from 1.

    Raises
    ------
    ValueError
        Not in this layout. The message has the file, the line, and what was expected.
    """
    return parse_table(
        read_bytes(path), path, columns, sep=sep, header=header, encoding=encoding, errors=errors
    )


def parse_table(
    content: bytes,
    path: Path,
    columns: Columns,
    *,
    sep: str = "\t",
    header: bool = False,
    encoding: str = "utf-8",
    errors: str = "strict",
) -> pd.DataFrame:
    """Return the table of a content; `path` is what it was read from. See `read_table`."""
    if encoding == "utf-8" and errors == "strict":
        check_text(content, path)
    content = with_newlines(content)
    if len(sep) > 1:
        content, sep = content.replace(sep.encode(), _UNIT.encode()), _UNIT
    lines = Lines.of(content)
    if not len(lines.numbers):
        raise ValueError(f"{path} is empty; expected rows of {_listed(columns)}")
    names = list(columns)
    if header:
        names = content[lines.starts[0] : lines.ends[0]].decode(encoding, errors).split(sep)
        _check_header(names, columns, path)
    _check_cells(lines, content, sep, names, path)
    numbers = lines.numbers[1:] if header else lines.numbers
    options: dict[str, Any] = {
        "sep": sep,
        "header": 0 if header else None,
        "names": names,
        "usecols": list(columns),
        "index_col": False,
        "quoting": csv.QUOTE_NONE,
        "na_filter": False,
        "encoding": encoding,
        "encoding_errors": errors,
    }
    try:
        table = pd.read_csv(io.BytesIO(content), dtype=_dtypes(columns), **options)
    except (ValueError, OverflowError) as error:
        texts = pd.read_csv(io.BytesIO(content), dtype=str, **options)
        _check_numbers(texts.set_axis(numbers), columns, path)
        raise ValueError(f"{path} is not a table of {', '.join(columns)}: {error}") from error
    if table.empty:
        raise ValueError(f"{path} has a header and no rows below it")
    table = table[list(columns)].set_axis(pd.Index(numbers, name="line"))
    check_n_rows(path, len(table), int(numbers[-1]))
    _check_ranges(table, columns, path)
    return table


def read_csv(path: Path, columns: Columns) -> pd.DataFrame:
    """Return columns of a file of comma-separated values with a header and quoted cells.

    Rows are numbered from 1 after the header: a row may have several lines. See `read_table`.
    """
    content = read_bytes(path)
    check_text(content, path)
    # "NA" is Namibia
    options: dict[str, Any] = {"keep_default_na": False, "na_filter": False, "index_col": False}
    try:
        with warnings.catch_warnings():
            # of rows that are longer than the header
            warnings.simplefilter("error", pd.errors.ParserWarning)
            table = pd.read_csv(io.BytesIO(content), dtype=str, **options)
    except (pd.errors.EmptyDataError, pd.errors.ParserError, pd.errors.ParserWarning) as error:
        line = _longer_line(content)
        if line is not None:
            raise ValueError(f"line {line} of {path} has more cells than the header") from error
        raise ValueError(
            f"{path} is not a table of comma-separated values with a header: {error}"
        ) from error
    _check_header(table.columns.tolist(), columns, path)
    if table.empty:
        raise ValueError(f"{path} has a header and no rows below it")
    table = table[list(columns)].set_axis(pd.RangeIndex(1, len(table) + 1, name="row"))
    _check_numbers(table, columns, path, unit="row")
    check_n_rows(path, len(table))
    table = table.astype(_dtypes(columns))
    _check_ranges(table, columns, path, unit="row")
    return table


def _longer_line(content: bytes) -> int | None:
    """Return the line in which the first row ends that has more cells than the header, if any."""
    rows = csv.reader(io.StringIO(content.decode(), newline=""))
    try:
        n_cells = len(next(rows, []))
        return next((rows.line_num for row in rows if len(row) > n_cells), None)
    except csv.Error:  # a quote that is not closed, which pandas tells better
        return None


def check_n_rows(path: Path, n_rows: int, last_line: int | None = None) -> None:
    """Raise ValueError where a file of a known data set has another number of rows."""
    facts = known(path)
    if facts is not None and n_rows != facts.n_rows:
        end = "" if last_line is None else f" up to line {last_line}"
        raise ValueError(
            f"{path} has {n_rows:,} rows{end}, expected {facts.n_rows:,}: it is cut, or is not "
            "the file of this data set. Put the original in its place"
        )


def unique_index(table: pd.DataFrame, name: str, path: Path) -> pd.DataFrame:
    """Return the table indexed by a column, whose values must all differ."""
    twice = table[name].duplicated()
    if twice.any():
        line = table.index[twice][0]
        raise ValueError(
            f"{table.index.name} {line} of {path}: {name} {table[name][line]} has been described "
            "before; expected one row for each"
        )
    return table.set_index(name)


def _dtypes(columns: Columns) -> dict[str, Any]:
    return {
        name: str if kind is None else ("int64" if kind.whole else "float64")
        for name, kind in columns.items()
    }


def _check_header(names: list[str], columns: Columns, path: Path) -> None:
    wrong = [name for name in columns if names.count(name) != 1]
    if wrong:
        raise ValueError(
            f"line 1 of {path} should be a header that names each of {', '.join(columns)}; it has "
            f"{', '.join(names)!r:.200}"
        )


def _check_cells(lines: Lines, content: bytes, sep: str, names: list[str], path: Path) -> None:
    """Raise ValueError unless each line has a cell for each name."""
    n_cells = lines.count_of(sep, content) + 1
    wrong = np.flatnonzero(n_cells != len(names))
    if len(wrong):
        row = wrong[0]
        last = row == len(n_cells) - 1 and row > 0
        raise ValueError(
            f"line {lines.numbers[row]} of {path} has {n_cells[row]} cells, expected "
            f"{len(names)}: {_listed(names)}"
            + ("; it is the last line: the file may be cut" if last else "")
        )


def _check_numbers(texts: pd.DataFrame, columns: Columns, path: Path, unit: str = "line") -> None:
    """Raise ValueError unless the cells of columns of numbers are written as numbers."""
    wrong = []
    for name, kind in columns.items():
        if kind is not None:
            pattern = _WHOLE if kind.whole else _REAL
            places = np.flatnonzero(~texts[name].str.fullmatch(pattern).to_numpy(dtype=bool))
            wrong += [(places[0], name)] if len(places) else []
    if wrong:
        place, name = min(wrong, key=lambda found: found[0])
        facts = known(path)
        kind = columns[name]
        assert kind is not None
        if facts is not None and name in facts.ranges:
            least, most = facts.ranges[name]
            kind = kind._replace(least=least, most=most)
        raise ValueError(
            f"{unit} {texts.index[place]} of {path}: {name} is {texts[name].iloc[place]!r:.80}, "
            f"expected {kind}"
        )


def _check_ranges(table: pd.DataFrame, columns: Columns, path: Path, unit: str = "line") -> None:
    facts = known(path)
    for name, kind in columns.items():
        if kind is None:
            continue
        least, most = kind.least, kind.most
        if facts is not None:
            least, most = facts.ranges.get(name, (least, most))
        values = table[name].to_numpy()
        outside = np.flatnonzero(~((values >= least) & (values <= most)))
        if len(outside):
            raise ValueError(
                f"{unit} {table.index[outside[0]]} of {path}: {name} is {values[outside[0]]}, "
                f"expected {kind._replace(least=least, most=most)}"
            )


def _listed(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(names if len(names) < 10 else [*names[:6], "...", names[-1]])


def _shown(limits: Range) -> str:
    least, most = (f"{limit:g}" if abs(limit) < 1e5 else f"{limit:,.0f}" for limit in limits)
    return f"of at least {least}" if limits[1] == np.inf else f"from {least} to {most}"
