"""What the files of known data sets hold, counted on the originals or told by their readmes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

Range = tuple[float, float]


class Known(NamedTuple):
    """Number of rows, without the header, and the range of some columns."""

    n_rows: int
    ranges: Mapping[str, Range] = {}
    n_items: int | None = None  # in all rows together, of files with a list of items in each row


_ML_100K: dict[str, Range] = {
    "user": (1, 943),
    "item": (1, 1682),
    "timestamp": (874_724_710, 893_286_638),
}
_ML_1M: dict[str, Range] = {
    "user": (1, 6040),
    "item": (1, 3952),
    # whole days: copies with other timestamps within the same days are in use
    "timestamp": (956_620_800, 1_046_476_800),
}
_BOOKS: dict[str, Range] = {"user": (1, 17_860), "item": (1, 14_967)}
_SONGS: dict[str, Range] = {"user": (0, 1871), "item": (0, 3845)}

# by the name of the folder and of the file
KNOWN: dict[str, Known] = {
    "ml-100k/u.data": Known(100_000, _ML_100K),
    "ml-100k/u.item": Known(1682, {"item": (1, 1682)}),
    "ml-100k/u.user": Known(943, {"user": (1, 943)}),
    **{
        f"ml-100k/{name}.{part}": Known(n_rows, _ML_100K)
        for names, sizes in (
            (("u1", "u2", "u3", "u4", "u5"), {"base": 80_000, "test": 20_000}),
            (("ua", "ub"), {"base": 90_570, "test": 9430}),
        )
        for name in names
        for part, n_rows in sizes.items()
    },
    "ml-1m/ratings.dat": Known(1_000_209, _ML_1M),
    "ml-1m/movies.dat": Known(3883, {"item": (1, 3952)}),
    "ml-1m/users.dat": Known(6040, {"user": (1, 6040)}),
    "ml-1m-ncf/ml-1m.test.rating": Known(6040, {"user": (0, 6039), "item": (0, 3705)}),
    "ml-1m-ncf/ml-1m.test.negative": Known(6040, {"user": (0, 6039), "item": (0, 3705)}),
    "ml-1m-satori/kg.txt": Known(20_782),
    "ml-1m-satori/item_index2entity_id.txt": Known(2347),
    "lastfm-2k/artists.dat": Known(17_632, {"id": (1, 18_745)}),
    "lastfm-2k/tags.dat": Known(11_946, {"tagID": (1, 12_648)}),
    "lastfm-2k/user_artists.dat": Known(92_834, {"userID": (2, 2100), "artistID": (1, 18_745)}),
    "lastfm-2k/user_friends.dat": Known(25_434, {"userID": (2, 2100), "friendID": (2, 2100)}),
    "lastfm-2k/user_taggedartists.dat": Known(186_479, {"userID": (2, 2100)}),
    "lastfm-2k-satori/ratings_final.txt": Known(42_346, _SONGS),
    "lastfm-2k-satori/kg.txt": Known(15_518),
    "lastfm-2k-satori/item_index2entity_id.txt": Known(3846),
    "book-crossing-satori/ratings_final.txt": Known(139_746, _BOOKS),
    "book-crossing-satori/kg_final.txt": Known(151_500),
    "book-crossing-satori/item_index2entity_id_rehashed.txt": Known(14_967),
    # by the readme of the archive, which says nothing of bookmark_tags.dat
    "delicious-2k/bookmarks.dat": Known(69_226),
    "delicious-2k/tags.dat": Known(53_388),
    "delicious-2k/user_contacts-timestamps.dat": Known(15_328),
    "delicious-2k/user_taggedbookmarks-timestamps.dat": Known(437_593),
    "kaggle-movies/ratings_small.csv": Known(
        100_004, {"userId": (1, 671), "timestamp": (789_652_009, 1_476_640_644)}
    ),
    "kaggle-movies/links_small.csv": Known(9125),
    "kaggle-movies/keywords.csv": Known(46_419),
    "kaggle-movies/movies_metadata.csv": Known(45_466),
    "kaggle-movies/credits.csv": Known(45_476),
    "kaggle-movies/directors.csv": Known(48_999),
    "kaggle-movies/genres.csv": Known(20),
    "kaggle-movies/movies_genres.csv": Known(93_302),
    "kaggle-movies/movies_production_companies.csv": Known(70_411),
    "kaggle-movies/movies_production_countries.csv": Known(55_541),
    "kaggle-movies/original_language.csv": Known(45_333),
    "kaggle-movies/production_countries.csv": Known(161),
    "Delicious/trainset.txt": Known(1776, n_items=102_822),
    "Delicious/testset.txt": Known(715, n_items=41_988),
    "AMusic/trainset.txt": Known(19_847, n_items=181_114),
    "AMusic/testset.txt": Known(10_066, n_items=95_705),
    "GPoetry/trainset.txt": Known(45_096, n_items=540_544),
    "GPoetry/testset.txt": Known(44_258, n_items=525_190),
}


def known(path: Path) -> Known | None:
    """Return what is known of a file by the names of its folder and its own, if anything."""
    return KNOWN.get(f"{path.parent.name}/{path.name}")
