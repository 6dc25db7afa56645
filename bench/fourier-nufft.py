"""Nonuniform Fourier transforms beside FINUFFT (PyPI), in turn, with the same number of threads; medians and ratios.

    cargo build --release --manifest-path bench/rust/Cargo.toml --target-dir /tmp/bench
    python bench/fourier-nufft.py /tmp/bench/release/fourier-nufft [repeats] [threads]

Planning is left out on both sides, sorting is not. Our data are real; FINUFFT's are complex, which it has no way around.
"""
import statistics
import subprocess
import sys
import time

import finufft
import numpy as np

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


def ours(binary, points, modes, tolerance, threads):
    command = [binary, str(points), ",".join(map(str, modes)), str(tolerance), str(threads)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(word):
        process.stdin.write(word + "\n")
        process.stdin.flush()
        return float(process.stdout.readline())

    return process, run


def theirs(points, modes, tolerance, threads):
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


def main(binary, repeats=9, threads=2):
    print(f"{'points':>9} {'modes':>15} {'tolerance':>9} {'':>8} {'ours ms':>8} {'FINUFFT ms':>10} {'ratio of pairs':>14}")
    for points, modes, tolerance in CASES:
        process, one = ours(binary, points, modes, tolerance, threads)
        other = theirs(points, modes, tolerance, threads)
        for word in ("type1", "type1x4", "type2"):
            one(word), other(word)
            pairs = [(one(word), other(word)) for _ in range(repeats)]
            a, b = (1e3 * statistics.median(side) for side in zip(*pairs))
            ratio = statistics.median(a / b for a, b in pairs)
            size = "x".join(map(str, modes))
            print(f"{points:>9} {size:>15} {tolerance:>9.0e} {word:>8} {a:>8.1f} {b:>10.1f} {ratio:>14.2f}", flush=True)
        process.stdin.close()
        process.wait()


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
