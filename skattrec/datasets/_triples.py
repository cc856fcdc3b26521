"""Knowledge graphs in files of triples, read as attributes of the items linked to them."""

from __future__ import annotations

import csv
import io
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd

from skattrec.checks import check_finite, local_path
from skattrec.data.attributes import AttributeTable
from skattrec.datasets._tables import Lines, check_n_rows, check_text, read_bytes, with_newlines

_TYPED = r"\w+:(?:token|float)(?:_seq)?"  # a cell of a header in RecBole's atomic files


def load_triples(
    triples: str | os.PathLike[str],
    links: str | os.PathLike[str] | None = None,
    *,
    fields: Mapping[str, str] | Iterable[str] | None = None,
    min_coverage: float = 0.0,
) -> AttributeTable:
    """Read a knowledge graph as a table of attributes.

    A triple (head, relation, tail) becomes: entity ``head`` has the value ``tail`` in the field
    named after ``relation``. With `links`, which says what entity an item is in the graph, the
    rows of the table are items, and triples whose head is no item's entity are left out.

    The files are text in UTF-8 with columns separated by tabs, packed where their names end in
    ``.gz``, ``.bz2`` or ``.xz``. A first line whose cells all end
    in a type, as in ``head_id:token``, is the header of RecBole's atomic files, and its names
    find the columns in whatever order; without one, the order is head, relation, tail and item,
    entity.

    Parameters
    ----------
    triples : str or path-like
        File of triples on this machine; the columns of a header are ``head_id``,
        ``relation_id``, ``tail_id``.
    links : str or path-like, default=None
        File of items and their entities; the columns of a header are ``item_id``,
        ``entity_id``. Several items may be linked to one entity, and an item to several
        entities; each item gets all the values. None keeps every head as an id.
    fields : mapping or iterable of str, default=None
        The relations to keep: a mapping from relation to field name (relations of the same
        field are merged), or relations to keep under names of our choice. None keeps every
        relation that occurs. Our choice is the last part of the relation, ``actor`` for
        ``film.film.actor``, and the whole relation where two of them would be named alike.
    min_coverage : float, default=0.0
        Leave out fields that fewer than this share of the ids have a value in, 0 to 1.

    Returns
    -------
    attributes : AttributeTable
        Its ids are all linked items or, without `links`, all heads; integers where every id
        is written as one (``07`` is not: it would lose its zero), else strings. Values are the
        tails, as strings.

    Raises
    ------
    ValueError
        An address instead of a file, a file of another layout, a relation in `fields` that does
        not occur, no triple whose head is linked, or no field that reaches `min_coverage`.
    TypeError
        A path that is neither a str nor path-like, or `fields` of a wrong type.
    OSError
        A file that is absent or cannot be opened.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from skattrec.datasets import load_triples
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     graph, links = Path(folder, "movies.kg"), Path(folder, "movies.link")
    ...     _ = graph.write_text(
    ...         "m.matrix\\tfilm.film.genre\\tsci-fi\\n"
    ...         "m.matrix\\tfilm.film.genre\\taction\\n"
    ...         "m.big\\tfilm.film.genre\\tcomedy\\n"
    ...     )
    ...     _ = links.write_text("2571\\tm.matrix\\n2797\\tm.big\\n")
    ...     table = load_triples(graph, links)
    >>> table.fields
    ('genre',)
    >>> table.to_frame().loc[2571, "genre"]
    ('action', 'sci-fi')
    """
    check_finite(min_coverage, "min_coverage", min_val=0, max_val=1)
    triples = local_path(triples, "triples")
    links = None if links is None else local_path(links, "links")
    graph = read_columns(triples, ["head_id", "relation_id", "tail_id"], "triples")
    graph.columns = pd.Index(["entity", "relation", "value"])
    ids = graph["entity"].drop_duplicates()
    if links is not None:
        pairs = read_columns(links, ["item_id", "entity_id"], "links").drop_duplicates()
        graph, ids = _heads_to_items(graph, pairs), pairs["item_id"].drop_duplicates()
        if graph.empty:
            raise ValueError(
                f"no head of triples {triples} is an entity of links "
                f"{links}, where entities look like {pairs['entity_id'].iloc[0]!r}"
            )
    return attribute_table(graph, ids, fields=fields, min_coverage=min_coverage)


def attribute_table(
    graph: pd.DataFrame,
    ids: pd.Series,
    *,
    fields: Mapping[str, str] | Iterable[str] | None = None,
    min_coverage: float = 0.0,
) -> AttributeTable:
    """Return a table of these ids from triples whose heads are among them.

    `graph` has the columns entity, relation, value; all three and the ids are strings.
    """
    names = _field_names(sorted(graph["relation"].unique()), fields)
    long = graph[graph["relation"].isin(names)].copy()
    long["field"] = long.pop("relation").map(names)
    shares = long.groupby("field")["entity"].nunique() / len(ids)
    kept = [field for field in dict.fromkeys(names.values()) if shares[field] >= min_coverage]
    if not kept:
        raise ValueError(
            f"no field reaches min_coverage={min_coverage}; the largest share is "
            f"{shares.max():.3g}, of {shares.idxmax()!r}"
        )
    # an id without values in these fields stays an id of the table, by a missing value
    bare = pd.DataFrame({"entity": ids, "field": kept[0], "value": None}, dtype=object)
    long = pd.concat([long[long["field"].isin(kept)].astype(object), bare])
    long["entity"] = _integers_where_written(long["entity"])
    order = long["field"].map({field: i for i, field in enumerate(kept)}).argsort(kind="stable")
    return AttributeTable(long.iloc[order])


def read_columns(path: Path, names: list[str], role: str) -> pd.DataFrame:
    """Return the named columns as strings, found by header or else by position.

    The index is the number of the line in the file, from 1.
    """
    content = read_bytes(path)
    check_text(content, path)
    content = with_newlines(content)
    try:
        table = pd.read_csv(
            io.BytesIO(content),
            sep="\t",
            header=None,
            dtype=str,
            na_filter=False,
            quoting=csv.QUOTE_NONE,
            encoding="utf-8",
        )
    except (pd.errors.EmptyDataError, pd.errors.ParserError) as error:
        raise ValueError(
            f"{role} {path} is not a table with {len(names)} tab-separated columns: {error}"
        ) from error
    table.index = pd.Index(Lines.of(content).numbers)
    first = table.iloc[0]
    if first.str.fullmatch(_TYPED).all():
        table.columns = pd.Index(first.str.partition(":")[0])
        absent = [name for name in names if name not in table.columns]
        if absent:
            raise ValueError(
                f"{role} {path} has a header without {absent}, only {table.columns.tolist()}"
            )
        table = table[names].iloc[1:]
        if table.empty:
            raise ValueError(f"{role} {path} has a header and no rows below it")
    elif table.shape[1] != len(names):
        raise ValueError(
            f"{role} {path} has {table.shape[1]} tab-separated column(s), expected "
            f"{len(names)}: {', '.join(names)}"
        )
    else:
        table.columns = pd.Index(names)
    blank = table[(table == "").any(axis=1)]
    if len(blank):
        raise ValueError(
            f"{role} {path} has an empty cell in line {blank.index[0]}: "
            f"{blank.iloc[0].tolist()}; every line needs {', '.join(names)}"
        )
    check_n_rows(path, len(table), int(table.index[-1]))
    return table


def _heads_to_items(graph: pd.DataFrame, pairs: pd.DataFrame) -> pd.DataFrame:
    """Return the triples of linked heads, once for each item that is linked to the head."""
    linked = pairs.merge(graph, left_on="entity_id", right_on="entity")
    linked["entity"] = linked["item_id"]
    return linked[["entity", "relation", "value"]]


def _field_names(
    relations: list[str], fields: Mapping[str, str] | Iterable[str] | None
) -> dict[str, str]:
    """Return the field of each relation to keep."""
    if fields is not None and (isinstance(fields, str) or not isinstance(fields, Iterable)):
        raise TypeError(f"fields must be a mapping or a list of relations, got {fields!r}")
    kept = relations if fields is None else list(fields)
    if not kept:
        raise ValueError("fields is empty; name relations to keep, or leave it out to keep all")
    unknown = [relation for relation in kept if relation not in relations]
    if unknown:
        raise ValueError(
            f"fields has relations that no triple read has: {unknown}; there are {relations}"
        )
    if isinstance(fields, Mapping):
        return dict(fields)
    last = {relation: relation.rpartition(".")[2] or relation for relation in kept}
    uses = Counter(last.values())
    return {relation: name if uses[name] == 1 else relation for relation, name in last.items()}


def _integers_where_written(ids: pd.Series) -> pd.Series:
    """Return ids as integers if that loses nothing: no leading zeros, and all fit."""
    written = ids.str.fullmatch(r"0|-?[1-9]\d{0,17}").astype(bool)
    return ids.astype("int64") if written.all() else ids
