"""Programs in Python (PyPI) on the same input as this package, for peers.R; what cannot be imported is told and left out.

    python peers.py dense FOLDER REPEATS THREADS              FaST-LMM, glimix-core
    python peers.py groups FOLDER REPEATS THREADS             GPBoost
    python peers.py points FOLDER REPEATS THREADS KERNEL      GPBoost; KERNEL: matern52 or exp_quad
    python peers.py transforms PROGRAM REPEATS THREADS        FINUFFT

FOLDER holds matrices as doubles, NAME.ROWS.COLUMNS. A line a program: its name, seconds (median), and estimates as name=value. PROGRAM is built by

    cargo build --release --manifest-path bench/rust/Cargo.toml --target-dir /tmp/bench
"""
import os
import sys

if __name__ == "__main__":
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = sys.argv[4]

import glob
import importlib
import statistics
import subprocess
import time

import numpy as np


def read(folder, name):
    (path,) = glob.glob(os.path.join(folder, name + ".*.*"))
    rows, columns = map(int, path.split(".")[-2:])
    return np.fromfile(path).reshape((rows, columns), order="F")


def timed(run, repeats):
    """Median seconds, after one run that is not counted, and what the last run gave."""
    found, seconds = run(), []
    for _ in range(repeats):
        begin = time.perf_counter()
        found = run()
        seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds), found


def tell(name, module, run, repeats):
    try:
        modules = [importlib.import_module(one) for one in module.split()]
        seconds, found = timed(lambda: run(*modules), repeats)
    except Exception as failure:  # not there, or not for this Python
        print(f"skipped {name}: {failure!r}".replace("\n", " "), flush=True)
        return
    print(name, f"{seconds:.6f}", *(f"{key}={float(value):.10g}" for key, value in found.items()), flush=True)


# ---- a dense kernel -------------------------------------------------------------------------------------------------


def fast_lmm(module, K, X, y):
    lmm = module.LMM()
    lmm.setK(K)
    lmm.setX(X)
    lmm.sety(y[:, 0])
    found = lmm.findH2(REML=True)
    h2 = float(np.squeeze(found["h2"]))
    return {"h2": h2, "x1": np.ravel(found["beta"])[1]}


def glimix(module, sugar, K, X, y):
    lmm = module.LMM(y[:, 0], X, sugar.economic_qs(K), restricted=True)
    lmm.fit(verbose=False)
    return {"h2": lmm.v0 / (lmm.v0 + lmm.v1), "sigma2": lmm.v0, "sigma2_e": lmm.v1, "x1": lmm.beta[1]}


def dense(folder, repeats):
    K, X, y = (read(folder, name) for name in ("K", "X", "y"))
    tell("FaST-LMM", "fastlmm.inference.lmm", lambda module: fast_lmm(module, K, X, y), repeats)
    tell("glimix-core", "glimix_core.lmm numpy_sugar.linalg", lambda module, sugar: glimix(module, sugar, K, X, y), repeats)


# ---- groups, and points in the plane: maximum likelihood --------------------------------------------------------------


def gpboost_groups(gpboost, folder, threads):
    g, X, y = (read(folder, name) for name in ("g", "X", "y"))
    model = gpboost.GPModel(group_data=g[:, 0].astype(int), likelihood="gaussian", num_parallel_threads=threads)
    model.fit(y=np.ascontiguousarray(y[:, 0]), X=X)
    noise, sigma2 = np.ravel(np.asarray(model.get_cov_pars()))[:2]
    return {"sigma2": sigma2, "sigma2_e": noise, "x1": np.asarray(model.get_coef())[0, 1]}


def gpboost_points(gpboost, folder, threads, kernel):
    places, X, y = (read(folder, name) for name in ("places", "X", "y"))
    gaussian = kernel == "exp_quad"
    form = {"cov_function": "gaussian"} if gaussian else {"cov_function": "matern", "cov_fct_shape": 2.5}
    model = gpboost.GPModel(
        gp_coords=places, gp_approx="vecchia", num_neighbors=20, likelihood="gaussian", num_parallel_threads=threads, **form
    )
    model.fit(y=np.ascontiguousarray(y[:, 0]), X=X)
    noise, sigma2, length = np.ravel(np.asarray(model.get_cov_pars()))[:3]
    if gaussian:
        length /= np.sqrt(2)  # its kernel is exp(-(r / length)^2)
    return {"lengthscale": length, "sigma2": sigma2, "sigma2_e": noise, "x1": np.asarray(model.get_coef())[0, 1]}


# ---- transforms: in turn; planning is left out on both sides, sorting is not. Our data are real; FINUFFT's are complex, which it has no way around. ----

CASES = [  # points, modes, tolerance
    (1_000_000, (100, 100), 1e-6),
    (1_000_000, (300, 300), 1e-6),
    (1_000_000, (1000, 1000), 1e-6),
    (1_000_000, (200, 200), 1e-3),
    (1_000_000, (200, 200), 1e-10),
    (1_000_000, (1000,), 1e-6),
    (1_000_000, (100_000,), 1e-6),
    (1_000_000, (40, 40, 40), 1e-6),
    (1_000_000, (100, 100, 100), 1e-6),
]


def our_transforms(binary, points, modes, tolerance, threads):
    command = [binary, str(points), ",".join(map(str, modes)), str(tolerance), str(threads)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(word):
        process.stdin.write(word + "\n")
        process.stdin.flush()
        return float(process.stdout.readline())

    return process, run


def finufft_transforms(finufft, points, modes, tolerance, threads):
    rng = np.random.default_rng(1)
    x = [rng.uniform(-np.pi, np.pi, points) for _ in modes]
    strengths = rng.normal(size=(4, points)) + 0j
    coefficients = rng.normal(size=modes) + 1j * rng.normal(size=modes)
    plan = lambda kind, many: finufft.Plan(kind, modes, many, tolerance, -1 if kind == 1 else 1, nthreads=threads)
    plans = {"type1": plan(1, 1), "type1x4": plan(1, 4), "type2": plan(2, 1)}
    data = {"type1": strengths[0], "type1x4": strengths, "type2": coefficients}

    def run(word):
        begin = time.perf_counter()
        plans[word].setpts(*x)
        plans[word].execute(data[word])
        return time.perf_counter() - begin

    return run


def transforms(binary, repeats, threads):
    try:
        finufft = importlib.import_module("finufft")
    except ImportError as missing:
        print(f"skipped FINUFFT: {missing}")
        return
    print(f"{'points':>9} {'modes':>15} {'tolerance':>9} {'':>8} {'ours ms':>8} {'FINUFFT ms':>10} {'ratio of pairs':>14}")
    for points, modes, tolerance in CASES:
        process, one = our_transforms(binary, points, modes, tolerance, threads)
        other = finufft_transforms(finufft, points, modes, tolerance, threads)
        for word in ("type1", "type1x4", "type2"):
            one(word), other(word)
            pairs = [(one(word), other(word)) for _ in range(repeats)]
            a, b = (1e3 * statistics.median(side) for side in zip(*pairs))
            ratio = statistics.median(a / b for a, b in pairs)
            size = "x".join(map(str, modes))
            print(f"{points:>9} {size:>15} {tolerance:>9.0e} {word:>8} {a:>8.1f} {b:>10.1f} {ratio:>14.2f}", flush=True)
        process.stdin.close()
        process.wait()


def main(what, where, repeats, threads, kernel=None):
    repeats, threads = int(repeats), int(threads)
    if what == "dense":
        dense(where, repeats)
    elif what == "groups":
        tell("GPBoost", "gpboost", lambda module: gpboost_groups(module, where, threads), repeats)
    elif what == "points":
        tell("GPBoost", "gpboost", lambda module: gpboost_points(module, where, threads, kernel), repeats)
    else:
        transforms(where, repeats, threads)


if __name__ == "__main__":
    main(*sys.argv[1:])
