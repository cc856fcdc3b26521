from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from skattrec.datasets import get_data_home, load_triples

GRAPH = [
    ("m.a", "film.film.genre", "drama"),
    ("m.a", "film.film.genre", "crime"),
    ("m.a", "film.film.genre", "drama"),
    ("m.b", "film.film.genre", "comedy"),
    ("m.b", "film.film.star", "ann"),
    ("m.c", "film.film.actor", "bob"),
    ("m.x", "people.person.nationality", "nowhere"),
    ("ann", "film.actor.film", "m.b"),
]


@pytest.fixture
def write(tmp_path):
    def write_rows(name: str, rows: Any, end: str = "\n") -> Path:
        path = tmp_path / name
        path.write_bytes("".join("\t".join(row) + end for row in rows).encode())
        return path

    return write_rows


@pytest.fixture
def graph(write):
    return write("graph.txt", GRAPH)


def wide(table: Any) -> dict[str, dict[Any, tuple[Any, ...]]]:
    return table.to_frame().to_dict()


def test_heads_become_the_items_that_are_linked_to_them(graph, write):
    # 30 and 31 share an entity, 10 has two, m.d has no triples, m.x and ann are no items
    links = write(
        "links.txt", [("10", "m.a"), ("10", "m.c"), ("30", "m.b"), ("31", "m.b"), ("4", "m.d")]
    )
    table = load_triples(graph, links)
    assert table.ids.dtype == np.int64
    assert wide(table) == {
        "genre": {4: (), 10: ("crime", "drama"), 30: ("comedy",), 31: ("comedy",)},
        "star": {4: (), 10: (), 30: ("ann",), 31: ("ann",)},
        "actor": {4: (), 10: ("bob",), 30: (), 31: ()},
    }


def test_without_links_every_head_is_an_id(graph):
    table = load_triples(graph)
    assert table.ids.tolist() == ["ann", "m.a", "m.b", "m.c", "m.x"]
    assert set(table.fields) == {"genre", "star", "actor", "nationality", "film"}
    assert wide(table)["film"]["ann"] == ("m.b",)


def test_typed_headers_find_columns_in_any_order(write):
    graph = write(
        "movies.kg",
        [("tail_id:token", "head_id:token", "relation_id:token"), ("drama", "m.a", "genre")],
    )
    links = write("movies.link", [("entity_id:token", "item_id:token"), ("m.a", "5")])
    assert wide(load_triples(graph, links)) == {"genre": {5: ("drama",)}}


def test_triples_with_prefixes_are_not_taken_for_a_header(write):
    graph = write("graph.txt", [("wd:Q1", "wdt:P136", "wd:Q2")])
    assert wide(load_triples(graph)) == {"wdt:P136": {"wd:Q1": ("wd:Q2",)}}


def test_windows_line_ends_and_quotes(write):
    graph = write("graph.txt", [("1", "film.title", '"Heat'), ("2", "film.title", "Big")], "\r\n")
    assert wide(load_triples(graph)) == {"title": {1: ('"Heat',), 2: ("Big",)}}


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (["12", "-3", "0"], [-3, 0, 12]),
        (["0002005018", "12"], ["0002005018", "12"]),
        (["12", "B000X"], ["12", "B000X"]),
        (["1" * 30, "2"], ["1" * 30, "2"]),
    ],
)
def test_ids_become_integers_only_where_that_loses_nothing(write, written, read):
    links = write("links.txt", [(item, "m.a") for item in written])
    graph = write("graph.txt", [("m.a", "genre", "drama")])
    assert load_triples(graph, links).ids.tolist() == read


def test_relations_that_end_alike_keep_their_full_names(write):
    graph = write("graph.txt", [("1", "film.film.name", "x"), ("1", "book.book.name", "y")])
    assert set(load_triples(graph).fields) == {"film.film.name", "book.book.name"}
    assert load_triples(graph, fields=["film.film.name"]).fields == ("name",)


def test_fields_name_order_and_merge_relations(graph):
    fields = {"film.film.actor": "cast", "film.film.genre": "genre", "film.film.star": "cast"}
    table = load_triples(graph, fields=fields)
    assert table.fields == ("cast", "genre")
    assert wide(table)["cast"] == {
        "ann": (),
        "m.a": (),
        "m.b": ("ann",),
        "m.c": ("bob",),
        "m.x": (),
    }
    chosen = load_triples(graph, fields=["film.film.star", "film.film.genre"])
    assert chosen.fields == ("star", "genre")


def test_relation_that_does_not_occur(graph, write):
    with pytest.raises(
        ValueError, match=r"\['film.film.director'\]; there are \['film.actor.film'"
    ):
        load_triples(graph, fields=["film.film.genre", "film.film.director"])
    links = write("links.txt", [("1", "m.a")])
    with pytest.raises(ValueError, match=r"there are \['film.film.genre'\]"):
        load_triples(graph, links, fields={"film.film.star": "star"})


def test_fields_of_no_use(graph):
    with pytest.raises(TypeError, match="fields must be a mapping or a list"):
        load_triples(graph, fields="film.film.genre")
    with pytest.raises(ValueError, match="fields is empty"):
        load_triples(graph, fields=[])


def test_min_coverage_counts_all_linked_items(graph, write):
    links = write("links.txt", [("1", "m.a"), ("2", "m.b"), ("3", "m.c"), ("4", "m.d")])
    assert load_triples(graph, links, min_coverage=0.5).fields == ("genre",)
    assert len(load_triples(graph, links, min_coverage=0.25).fields) == 3
    with pytest.raises(ValueError, match=r"reaches min_coverage=0.6; .* 0.5, of 'genre'"):
        load_triples(graph, links, min_coverage=0.6)
    with pytest.raises(ValueError, match="min_coverage == 2"):
        load_triples(graph, min_coverage=2)


def test_links_to_another_graph(graph, write):
    links = write("links.txt", [("1", "Q42")])
    with pytest.raises(ValueError, match=r"no head of triples .*graph\.txt is an entity .* 'Q42'"):
        load_triples(graph, links)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a b c\n", r"1 tab-separated column\(s\), expected 3: head_id, relation_id, tail_id"),
        ("a\tr\tb\na\tr\n", r"empty cell in line 2: \['a', 'r', ''\]"),
        ("a\tr\tb\na\t\tb\n", r"empty cell in line 2"),
        ("a\tr\tb\na\tr\tb\tc\n", r"not a table with 3 tab-separated columns: .*line 2, saw 4"),
        ("head_id:token\trelation_id:token\tend:token\n", r"header without \['tail_id'\]"),
        ("", "not a table"),
    ],
)
def test_files_of_another_layout(tmp_path, text, message):
    path = tmp_path / "bad.txt"
    path.write_text(text)
    with pytest.raises(ValueError, match=rf"triples .*bad\.txt .*{message}"):
        load_triples(path)


def test_links_of_another_layout(graph, write):
    with pytest.raises(ValueError, match=r"links .*has 3 tab-separated"):
        load_triples(graph, graph)


def needs(name: str) -> pytest.MarkDecorator:
    there = (get_data_home() / name).is_dir()
    return pytest.mark.skipif(not there, reason=f"no {name} in {get_data_home()}")


@pytest.mark.real_data
@needs("ml-100k-freebase")
def test_freebase_graph_of_movielens_100k():
    folder = get_data_home() / "ml-100k-freebase"
    everything = load_triples(folder / "ml-100k.kg")
    assert len(everything.fields) == 24
    table = load_triples(folder / "ml-100k.kg", folder / "ml-100k.link", min_coverage=0.5)
    assert len(table.ids) == 1598
    assert {"genre", "actor", "directed_by", "country"} <= set(table.fields)
    assert table.coverage.min() >= 0.5
    assert len(table.encode([1]).cell(table.fields.index("genre"), 0)) > 0


@pytest.mark.real_data
@needs("ml-1m-satori")
def test_satori_graph_of_movielens_1m():
    folder = get_data_home() / "ml-1m-satori"
    table = load_triples(folder / "kg.txt", folder / "item_index2entity_id.txt")
    assert len(table.ids) == 2347 and table.ids.dtype == np.int64
    expected = {"genre", "writer", "language", "director", "country", "star", "rating"}
    assert set(table.fields) == expected
