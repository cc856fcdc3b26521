"""Build the source distribution and the wheel, and try both away from the tree.

The source distribution must hold what git tracks, the wheel the package and nothing else. The
wheel is installed alone into a fresh environment, whose dependencies are those of the one that
runs this; from another folder it must import, fit, recommend and explain.
"""

import os
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
# git's own; written by setuptools
NOT_IN_THE_SDIST = {".gitattributes"}
MADE_BY_SETUPTOOLS = ("PKG-INFO", "skattrec.egg-info/", "setup.cfg")
TRIAL = """
import skattrec
from skattrec import ACAM, EASE
from skattrec.datasets import make_preferences
from skattrec.metrics import make_ranking_scorer

made = make_preferences(40, 30, n_interactions_per_user=8, random_state=0)
small = {"embedding_dim": 4, "max_epochs": 1, "random_state": 0}
for model in (EASE(), ACAM(item_attributes=made.item_attributes, **small)):
    model.fit(made.data)
    items, scores = model.recommend(model.user_ids_[:2], n_recommendations=3)
    assert items.shape == scores.shape == (2, 3)
    assert 0 <= make_ranking_scorer("ndcg@5")(model, made.data) <= 1
    try:
        told = model.explain([[model.user_ids_[0], items[0, 0]]])
    except NotImplementedError:
        assert type(model).__name__ == "EASE"
    else:
        assert told.sentences[0]
print(skattrec.__version__, skattrec.__file__)
"""


def run(*command: str | Path, **options) -> str:
    """Run a command and return what it prints; end with its errors if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, **options)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done.stdout


def check_sdist(path: Path) -> None:
    """Check that the source distribution holds what git tracks."""
    with tarfile.open(path) as archive:
        held = {m.name.split("/", 1)[1] for m in archive.getmembers() if m.isfile()}
    tracked = set(run("git", "-C", ROOT, "ls-files").splitlines()) - NOT_IN_THE_SDIST
    further = {name for name in held - tracked if not name.startswith(MADE_BY_SETUPTOOLS)}
    if tracked - held or further:
        sys.exit(f"the sdist lacks {sorted(tracked - held)}, and has {sorted(further)} besides")
    print(f"{path.name}: the {len(tracked)} files that git tracks, {path.stat().st_size:,} bytes")


def check_wheel(path: Path) -> None:
    """Check that the wheel holds the package, its mark of types and its license, no more."""
    names = zipfile.ZipFile(path).namelist()
    strange = [n for n in names if not n.startswith("skattrec/") and ".dist-info/" not in n]
    tracked = set(run("git", "-C", ROOT, "ls-files", "skattrec").splitlines())
    lacking = sorted(tracked - set(names))
    licenses = [n for n in names if n.endswith("LICENSE")]
    if strange or lacking or not licenses:
        sys.exit(f"the wheel has {strange}, lacks {lacking}, licenses: {licenses}")
    print(f"{path.name}: {len(names)} files, {path.stat().st_size:,} bytes")


def try_wheel(path: Path, folder: Path) -> None:
    """Install the wheel alone into a fresh environment and use it from another folder."""
    environment = folder / "venv"
    venv.create(environment, with_pip=False)
    python = environment / "bin" / "python"
    site = Path(
        run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
    )
    run(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", site, path)
    # everything else from here, the editable skattrec apart: its own copy comes first
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    clean = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    told = run(
        python, "-W", "error::DeprecationWarning:skattrec", "-c", TRIAL, cwd=elsewhere, env=clean
    )
    if str(site) not in told:
        sys.exit(f"not the installed wheel, but {told}")
    print(f"imports, fits, recommends and explains outside the tree: {told.split()[0]}")


def main() -> None:
    """Build, check, try."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        run(sys.executable, "-m", "build", "--quiet", "--outdir", folder, ROOT)
        [sdist], [wheel] = folder.glob("*.tar.gz"), folder.glob("*.whl")
        check_sdist(sdist)
        check_wheel(wheel)
        try_wheel(wheel, folder)


if __name__ == "__main__":
    main()
