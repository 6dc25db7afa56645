"""The model y ~ x + process of x1, x2 by GPBoost (PyPI), Vecchia's approximation with 20 neighbours; for fourier.R.

    python fourier_gpboost.py data.csv threads matern52|exp_quad
"""
import os
import sys
import time

os.environ["OMP_NUM_THREADS"] = sys.argv[2]

import gpboost
import numpy as np

data = np.genfromtxt(sys.argv[1], delimiter=",", names=True)
places = np.column_stack([data["x1"], data["x2"]])
fixed = np.column_stack([np.ones(len(data)), data["x"]])
response = np.ascontiguousarray(data["y"])
exp_quad = sys.argv[3] == "exp_quad"
kernel = {"cov_function": "gaussian"} if exp_quad else {"cov_function": "matern", "cov_fct_shape": 2.5}
begin = time.perf_counter()
model = gpboost.GPModel(
    gp_coords=places, gp_approx="vecchia", num_neighbors=20,
    likelihood="gaussian", num_parallel_threads=int(sys.argv[2]), **kernel,
)
model.fit(y=response, X=fixed)
seconds = time.perf_counter() - begin
noise, sigma2, length = np.asarray(model.get_cov_pars())[0]
if exp_quad:
    length /= np.sqrt(2)  # its kernel is exp(-(r / length)^2)
beta = np.asarray(model.get_coef(std_err=True))
print(
    f"{'gpboost':<10} length scale {length:.4f}  sigma2 {sigma2:.4f}  residual variance {noise:.4f}  "
    f"x {beta[0, 1]:.5f} ({beta[1, 1]:.5f})   {seconds:.2f} s"
)
