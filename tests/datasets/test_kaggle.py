from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from skattrec.datasets import fetch_kaggle_movies, get_data_home

# movieId 1 is film 862, 2 is 8844, 4 has no TMDB id, 862 is film 1: a join without the links
# would give movie 862 the attributes of film 862
LINKS = "movieId,imdbId,tmdbId\n1,0114709,862\n2,0113497,8844\n4,0114885,\n862,0081846,1\n"
RATINGS = "userId,movieId,rating,timestamp\n7,2,2.5,1260759144\n7,1,4,1260759179\n9,862,5,12\n"
KEYWORDS = (
    "id,keywords\n"
    "862,\"[{'id': 931, 'name': 'jealousy'}, {'id': 4290, 'name': 'toy'}]\"\n"
    "8844,[]\n862,\"[{'id': 931, 'name': 'jealousy'}]\"\n"
    '1,"[{\'id\': 15101, \'name\': ""children\'s book""}]"\n'
)


def write_ratings(home: Path) -> Path:
    folder = home / "kaggle-movies"
    folder.mkdir(parents=True)
    (folder / "links_small.csv").write_bytes(LINKS.replace("\n", "\r\n").encode())
    (folder / "ratings_small.csv").write_text(RATINGS)
    (folder / "keywords.csv").write_text(KEYWORDS)
    return folder


def write_split(home: Path) -> Path:
    folder = write_ratings(home)
    tables = {
        "original_language.csv": "id_movie,title,original_language\n862,Toy Story,en\n"
        "8844,NA,\n1,Ariel,fi\n862,Toy Story,en\n5,Other,de\n",
        "directors.csv": "id_director,name,id_movie\n7,Ann Lee,862\n8,Ann Lee,8844\n9,Bo,862\n",
        "movies_genres.csv": "id_movie,id_genre\n862,16\n862,35\n8844,0\n1,35\n",
        "genres.csv": "id,name\n16,Animation\n35,Comedy\n",
        "movies_production_companies.csv": "id_movie,id_production_companies,"
        "name_production_companies,revenue\n862,3,Pixar,1\n862,3,Pixar,1\n",
        "movies_production_countries.csv": "id_movie,id_production_countries\n862,US\n8844,NA\n"
        "1,none\n",
        "production_countries.csv": "iso_3166_1,name\nUS,United States\nNA,Namibia\n",
    }
    for name, text in tables.items():
        (folder / name).write_text(text)
    return folder


def write_original(home: Path) -> Path:
    folder = write_ratings(home)
    metadata = pd.DataFrame(
        {
            "adult": ["False", "False", "False", " - Written by Orn"],
            "genres": [
                "[{'id': 16, 'name': 'Animation'}, {'id': 35, 'name': 'Comedy'}]",
                "[]",
                "[{'id': 35, 'name': 'Comedy'}]",
                "0.065736",
            ],
            "id": ["862", "8844", "1", "1997-08-20"],
            "original_language": ["en", "", "fi", "104.0"],
            "production_companies": ["[{'name': 'Pixar', 'id': 3}]", "[]", "[]", "False"],
            "production_countries": [
                "[{'iso_3166_1': 'US', 'name': 'United States'}]",
                "[{'iso_3166_1': 'NA', 'name': 'Namibia'}]",
                "[]",
                "6.0",
            ],
            "title": ["Toy Story", "NA", "Ariel", ""],
        }
    )
    metadata.to_csv(folder / "movies_metadata.csv", index=False)
    cast = [{"id": i, "name": f"Actor {i}", "order": i} for i in range(7)]
    crew = [
        {"id": 7, "job": "Director", "name": "Ann Lee"},
        {"id": 5, "job": "Writer", "name": "Cy"},
        {"id": 9, "job": "Director", "name": "Bo"},
    ]
    other = [{"id": 8, "job": "Director", "name": "Ann Lee"}]
    credits = pd.DataFrame(
        {
            "cast": [str(cast), "[]", str(cast)],
            "crew": [str(crew), str(other), str(crew)],
            "id": ["862", "8844", "862"],
        }
    )
    credits.to_csv(folder / "credits.csv", index=False)
    return folder


@pytest.fixture(params=[write_split, write_original])
def home(request, tmp_path):
    request.param(tmp_path)
    return tmp_path


def test_ratings_keep_movielens_ids_and_the_order_of_the_file(home):
    movies = fetch_kaggle_movies(home)
    expected = pd.DataFrame(
        {"user": [7, 7, 9], "item": [2, 1, 862], "timestamp": [1260759144, 1260759179, 12]}
    )
    pd.testing.assert_frame_equal(movies.data, expected)
    assert movies.target.tolist() == [2.5, 4.0, 5.0] and movies.target.name == "rating"
    assert movies.frame.columns.tolist() == [*movies.feature_names, movies.target_name]


def test_attributes_are_joined_through_the_links(home, wide):
    table = wide(fetch_kaggle_movies(home).item_attributes)
    assert table["genre"] == {1: ("Animation", "Comedy"), 2: (), 4: (), 862: ("Comedy",)}
    assert table["keyword"] == {
        1: ("jealousy", "toy"),
        2: (),
        4: (),
        862: ("children's book",),
    }
    assert table["company"] == {1: ("Pixar",), 2: (), 4: (), 862: ()}
    assert table["language"] == {1: ("en",), 2: (), 4: (), 862: ("fi",)}


def test_namibia_is_no_missing_country_and_none_is_no_country(home, wide):
    country = wide(fetch_kaggle_movies(home).item_attributes)["country"]
    assert country == {1: ("United States",), 2: ("Namibia",), 4: (), 862: ()}


def test_two_people_of_one_name_stay_two(home, wide):
    director = wide(fetch_kaggle_movies(home).item_attributes)["director"]
    assert director == {1: ("Ann Lee (7)", "Bo"), 2: ("Ann Lee (8)",), 4: (), 862: ()}


def test_titles_are_of_the_linked_films(home):
    names = fetch_kaggle_movies(home).item_names
    assert names.to_dict() == {1: "Toy Story", 2: "NA", 862: "Ariel"}


def test_first_five_actors_where_there_are_credits(tmp_path, wide):
    write_original(tmp_path)
    movies = fetch_kaggle_movies(tmp_path)
    assert wide(movies.item_attributes)["actor"][1] == tuple(f"Actor {i}" for i in range(5))
    assert "actor" in movies.DESCR


def test_split_tables_have_no_actors(tmp_path):
    write_split(tmp_path)
    movies = fetch_kaggle_movies(tmp_path)
    assert "actor" not in movies.item_attributes.fields
    assert "genre, director, keyword, company, country, language; by movieId" in movies.DESCR


@pytest.mark.parametrize(
    ("write", "removed"),
    [
        (write_split, "directors.csv"),
        (write_original, "credits.csv"),
        (write_split, "links_small.csv"),
    ],
)
def test_absent_file_says_how_to_get_it(tmp_path, write, removed):
    (write(tmp_path) / removed).unlink()
    with pytest.raises(
        OSError, match=rf"kaggle-movies has no {removed}; .*not downloaded"
    ) as caught:
        fetch_kaggle_movies(tmp_path)
    assert "https://www.kaggle.com/datasets/rounakbanik/the-movies-dataset" in str(caught.value)


def test_absent_folder(tmp_path):
    with pytest.raises(OSError, match=r"no folder .*kaggle-movies.*data_home or SKATTREC_DATA"):
        fetch_kaggle_movies(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


@pytest.fixture(scope="module")
def movies():
    if not (get_data_home() / "kaggle-movies").is_dir():
        pytest.skip(f"no kaggle-movies in {get_data_home()}")
    return fetch_kaggle_movies()


@pytest.mark.real_data
def test_published_counts(movies):
    assert movies.data[["user", "item"]].nunique().tolist() == [671, 9066]
    assert len(movies.data) == 100_004
    assert np.array_equal(np.unique(movies.target), np.arange(0.5, 5.1, 0.5))
    assert movies.data["item"].isin(movies.item_attributes.ids).all()
    assert len(movies.item_attributes.values["genre"]) == 20
    coverage = movies.item_attributes.coverage
    assert coverage[["genre", "director", "country", "language"]].min() > 0.95
    assert coverage[["keyword", "company"]].min() > 0.9


@pytest.mark.real_data
def test_titles_and_genres_are_those_that_movielens_1m_has(movies, real):
    lines = (real("ml-1m") / "movies.dat").read_text(encoding="latin-1").strip().split("\n")
    known = pd.DataFrame([line.split("::") for line in lines], columns=["item", "title", "genre"])
    known = known.astype({"item": int}).set_index("item")
    both = known.index.intersection(movies.item_names.index)
    known, names = known.loc[both], movies.item_names[both]

    def first_word(titles: pd.Series) -> pd.Series:
        return titles.str.lower().str.extract(r"^(?:(?:the|an?) )?([a-z]+)")[0]

    assert len(both) > 2500
    assert (first_word(known["title"]) == first_word(names)).mean() > 0.9
    comedy = movies.item_attributes.to_frame()["genre"].map(lambda cell: "Comedy" in cell)
    assert (comedy[both] == known["genre"].str.contains("Comedy")).mean() > 0.85
