"""Settings of the test run, before anything loads torch."""

import os

# the tests' tensors are tiny: a second thread costs more than it brings
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")
