"""Delimited files, read as text and without loss: CSV, TSV, ``::``."""

from __future__ import annotations

import bz2
import codecs
import csv
import gzip
import io
import lzma
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

import pandas as pd

from skattrec.data.names import ROLES, role_of

_CHUNK = 1_000_000  # lines that are held as text at a time
_DELIMITERS = (",", "\t", ";", "|", "::")
_OPENERS: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
INTEGER = "(?:0|-?[1-9][0-9]{0,17})"  # in its plain form, and within int64
_SEPARATOR = "\x1f"


class DelimitedFile:
    """A delimited file, read as text; it knows which line a row stands in."""

    def __init__(
        self,
        path: Path,
        asked: list[str],
        delimiter: str | None,
        names: Sequence[str] | None,
        encoding: str,
        quotechar: str | None,
        roles: Mapping[str, str] | None = None,
    ):
        self.path = path
        self.asked = asked
        self.names = None if names is None else list(names)
        self.encoding, self.given_encoding = _encoding(encoding), encoding
        if quotechar is not None and not (
            isinstance(quotechar, str) and (quotechar == "auto" or len(quotechar) == 1)
        ):
            raise ValueError(f"quotechar={quotechar!r}; it must be one character, None or 'auto'")
        if delimiter is not None and not (isinstance(delimiter, str) and delimiter):
            raise ValueError(
                f"delimiter={delimiter!r}; it must be at least one character, or None"
            )
        self.quotechar = '"' if quotechar == "auto" else quotechar
        lines = self._first_lines()
        first = lines[0]
        self.delimiter = self._find_delimiter(lines) if delimiter is None else delimiter
        if quotechar == "auto" and self.delimiter not in (",", ";") and first[0] != '"':
            self.quotechar = None
        if len(self.delimiter) > 1:
            if quotechar not in ("auto", None):
                raise ValueError(
                    f"quotechar={quotechar!r}, but cells between delimiters of several "
                    f"characters, {self.delimiter!r}, are read as they are; leave quotechar out"
                )
            self.quotechar = None
        cells = self._split(first, self.delimiter)
        self.labels = cells if self.names is None else self.names
        if len(cells) != len(self.labels):
            raise ValueError(
                f"{path} has {len(cells)} cell(s) in its first line, but names has "
                f"{len(self.labels)}: {self.labels}"
            )
        check_present(asked, self.labels, str(path), header=self.names is None, roles=roles)

    def _find_delimiter(self, lines: list[str]) -> str:
        """Return what finds the columns asked for, or as many cells in each line as names."""
        if self.names is None:
            heads = {choice: self._split(lines[0], choice) for choice in _DELIMITERS}
            return max(heads, key=lambda d: (len(set(self.asked) & set(heads[d])), len(heads[d])))
        fits = {
            choice: sum(len(self._split(line, choice)) == len(self.names) for line in lines)
            for choice in _DELIMITERS
        }
        best = [choice for choice in _DELIMITERS if fits[choice] == max(fits.values())]
        if len(best) > 1:
            found = (
                "both " + " and ".join(map(repr, best)) if max(fits.values()) else "no delimiter"
            )
            raise ValueError(
                f"{self.path}: {found} would give {len(self.names)} cells a line, as many as "
                "names has; give delimiter"
            )
        return best[0]

    def _split(self, line: str, delimiter: str) -> list[str]:
        return next(self._cells([line], delimiter), [""])

    def _cells(self, lines: Iterable[str], delimiter: str, **options: Any) -> Any:
        """Return an iterator over the cells of each record."""
        if len(delimiter) > 1:
            return (line.rstrip("\r\n").split(delimiter) for line in lines)
        quoting: Any = csv.QUOTE_NONE if self.quotechar is None else csv.QUOTE_MINIMAL
        return csv.reader(
            lines, delimiter=delimiter, quotechar=self.quotechar, quoting=quoting, **options
        )

    def _open(self) -> TextIO:
        opener = _OPENERS.get(self.path.suffix.lower(), open)
        handle: TextIO = opener(self.path, "rt", encoding=self.encoding, newline="")
        return handle

    def _first_lines(self) -> list[str]:
        with self._open() as handle:
            filled = (line.rstrip("\r\n") for line in self._told(handle) if line.strip())
            lines = list(islice(filled, 100))
        if not lines:
            raise ValueError(f"{self.path} is empty")
        return lines

    def _told(self, parts: Iterable[Any]) -> Iterator[Any]:
        """Iterate over parts of the file; errors name it."""
        try:
            yield from parts
        except UnicodeError as error:
            raise ValueError(
                f"{self.path} is not encoded in {self.given_encoding} ({error}); "
                "older files are often encoding='latin-1'"
            ) from error
        except (EOFError, gzip.BadGzipFile, lzma.LZMAError) as error:
            raise ValueError(f"{self.path} is cut or damaged: {error}") from error
        except pd.errors.ParserError as error:
            self._refuse_long_line()
            raise ValueError(
                f"{self.path} cannot be read with delimiter={self.delimiter!r} and quotechar="
                f"{self.quotechar!r}: {error}"
            ) from error

    def read(self, labels: Sequence[str] | None = None) -> dict[str, pd.Series]:
        """Return columns (default: all), each as integers, if that loses nothing, or as text."""
        if labels is None:
            labels = self.labels
            check_present(labels, self.labels, str(self.path))
        parts: dict[str, list[pd.Series]] = {label: [] for label in labels}
        with self._open() as handle:
            for chunk in self._told(self._chunks(handle)):
                for label in labels:
                    parts[label].append(_compact(chunk.iloc[:, self.labels.index(label)]))
        if not any(map(len, parts[labels[0]])):
            raise ValueError(f"{self.path} has no rows below its header {self.labels}")
        return {label: _joined(chunks) for label, chunks in parts.items()}

    def _chunks(self, handle: TextIO) -> Iterator[pd.DataFrame]:
        if self.names is None:
            next(line for line in handle if line.strip())  # the header, which is read already
        if len(self.delimiter) == 1:
            yield from self._parse(handle, self.delimiter)
            return
        # pandas' fast parser takes one character
        while lines := list(islice(handle, _CHUNK)):
            text = "".join(lines)
            if _SEPARATOR in text:
                raise ValueError(f"{self.path} holds the control character {_SEPARATOR!r}")
            lines_of_cells = io.StringIO(text.replace(self.delimiter, _SEPARATOR))
            yield from self._parse(lines_of_cells, _SEPARATOR)

    def _parse(self, handle: TextIO, delimiter: str) -> Iterator[pd.DataFrame]:
        width = len(self.labels)
        try:
            reader = pd.read_csv(
                handle,
                sep=delimiter,
                header=None,
                names=range(width + 1),  # one more shows what is too long
                index_col=False,
                dtype=str,
                na_filter=False,
                quoting=csv.QUOTE_NONE if self.quotechar is None else csv.QUOTE_MINIMAL,
                quotechar=self.quotechar or '"',
                chunksize=_CHUNK,
            )
        except pd.errors.EmptyDataError:
            return
        for chunk in reader:
            if (chunk[width] != "").any():
                self._refuse_long_line()
            if self.quotechar is not None and _has_line_break(chunk):
                self._check_quotes()
            yield chunk.iloc[:, :width]

    def _refuse_long_line(self) -> None:
        for line, cells in self._records():
            if len(cells) > len(self.labels) and any(cells[len(self.labels) :]):
                raise ValueError(
                    f"{self.path}, line {line}: {len(cells)} cells, but there are "
                    f"{len(self.labels)} columns, {self.labels}"
                )

    def _check_quotes(self) -> None:
        """Raise if a quote that no cell closes may have swallowed lines."""
        try:
            for _ in self._records(strict=True):
                pass
        except csv.Error as error:
            raise ValueError(
                f"{self.path}: a quote is opened and not closed where a cell ends ({error}), so "
                "that lines would be lost; set quotechar=None if quotes are part of the text"
            ) from error

    def _records(self, **options: Any) -> Iterator[tuple[int, list[str]]]:
        """Iterate over the rows below the header, each with the line it ends in."""
        with self._open() as handle:
            ahead = 0
            if self.names is None:
                ahead = 1 + next(n for n, line in enumerate(handle) if line.strip())
            records = self._cells(handle, self.delimiter, **options)
            for n, cells in enumerate(records, start=1):
                if len(cells) > 1 or (cells and cells[0].strip()):
                    yield ahead + getattr(records, "line_num", n), cells

    def where(self, row: int, label: str) -> str:
        """Return what messages call a cell: file, line and column."""
        line, _ = next(islice(self._records(), row, None))
        return f"{self.path}, line {line}, column {label!r}"


def _encoding(encoding: str) -> str:
    try:
        name = codecs.lookup(encoding).name
    except (LookupError, TypeError) as error:
        raise ValueError(f"encoding={encoding!r} is none that Python knows") from error
    return "utf-8-sig" if name == "utf-8" else name  # a byte order mark is no part of a name


def _has_line_break(chunk: pd.DataFrame) -> bool:
    return any(chunk[label].str.contains("\n", regex=False).any() for label in chunk)


def _compact(cells: pd.Series) -> pd.Series:
    """Return text as integers if each cell is one in its plain form, without leading zeros."""
    codes, distinct = pd.factorize(cells)
    texts = pd.Series(distinct)
    if not len(texts) or not texts.str.fullmatch(INTEGER).all():
        return cells
    return pd.Series(texts.astype("int64").to_numpy()[codes], index=cells.index)


def _joined(chunks: list[pd.Series]) -> pd.Series:
    """Return the chunks of a column, as text if one of them is."""
    if not all(is_integer(chunk) for chunk in chunks):
        chunks = [chunk.astype(str) for chunk in chunks]
    return pd.concat(chunks, ignore_index=True)


def is_integer(cells: pd.Series) -> bool:
    """Whether a column was read as integers."""
    return pd.api.types.is_integer_dtype(cells.dtype)


def check_present(
    asked: Any,
    labels: list[Any],
    where: str,
    *,
    header: bool = False,
    roles: Mapping[str, str] | None = None,
) -> None:
    """Raise ValueError unless each column that is asked for is there, and once.

    `roles` are the arguments that asked for them.
    """
    absent = [label for label in asked if label not in labels]
    if absent:
        hint = ""
        if header:
            told = {role_of(label): label for label in reversed(labels)}
            alike = [f"{r}={told[r]!r}" for r in (*ROLES[:2], "rating", ROLES[2]) if r in told]
            hint = (
                f"; its names look like {', '.join(alike)}"
                if alike
                else "; if its first line is data, name all columns by names=[...]"
            )
        argument = next((r for r, label in (roles or {}).items() if label == absent[0]), None)
        named = "" if argument is None else f" for {argument}"
        raise ValueError(f"{where} has no column {absent[0]!r}{named}, only {labels}{hint}")
    twice = [label for label in asked if labels.count(label) > 1]
    if twice:
        raise ValueError(f"{where} has {labels.count(twice[0])} columns named {twice[0]!r}")
