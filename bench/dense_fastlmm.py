"""FaST-LMM (PyPI) on the files that dense.R wrote: FOLDER THREADS REPEATS."""
import os
import sys

folder, threads, repeats = sys.argv[1], sys.argv[2], int(sys.argv[3])
os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = threads
import statistics
import time

import numpy as np
from fastlmm.inference.lmm import LMM

K = np.loadtxt(os.path.join(folder, "K.txt"))
X = np.loadtxt(os.path.join(folder, "X.txt"))
y = np.loadtxt(os.path.join(folder, "y.txt"))

seconds = []
for _ in range(repeats):
    start = time.time()
    lmm = LMM()
    lmm.setK(K)
    lmm.setX(X)
    lmm.sety(y)
    found = lmm.findH2(REML=True)
    seconds.append(time.time() - start)
h2 = float(np.squeeze(found["h2"]))
print(f"{'fastlmm (PyPI)':24s} delta {(1 - h2) / h2:.8f}  {statistics.median(seconds):.2f} s setK, setX, sety, findH2 (median of {repeats})")
