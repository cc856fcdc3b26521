#!/usr/bin/env bash
# scikit-posthocs 0.11.4 with statsmodels 0.15.0: pip resolves the two, the import fails.
#
# scikit_posthocs takes multipletests from statsmodels.sandbox.stats.multicomp, where 0.15 no longer
# has it, and declares no upper bound. Nemenyi tests, critical-difference diagrams and all else in
# the package are gone until one of the two is changed.
# Seen: ImportError on `import scikit_posthocs`; with 0.17.0 the import works.
# For users: scikit-posthocs 0.17 or later, or statsmodels below 0.15.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/env"
"$dir/env/bin/python" -m pip install -q --disable-pip-version-check \
    scikit-posthocs==0.11.4 statsmodels==0.15.0
"$dir/env/bin/python" -m pip check
if "$dir/env/bin/python" -c "import scikit_posthocs" 2> "$dir/error"; then
    echo "it has changed: the import works"; exit 1
fi
tail -n 1 "$dir/error"
grep -q "multipletests" "$dir/error"
"$dir/env/bin/python" -m pip install -q --disable-pip-version-check scikit-posthocs==0.17.0
"$dir/env/bin/python" -c "import scikit_posthocs; print('as stated; 0.17.0 works')"
