"""Length scale and variances by GPBoost (PyPI) with Vecchia's approximation: seconds, length scale, variance, residual variance, slope of x."""
import os
import sys
import time

os.environ["OMP_NUM_THREADS"] = "2"
import gpboost
import numpy as np
import pandas as pd

data = pd.read_csv(sys.argv[1])
X = np.column_stack([np.ones(len(data)), data.x])
start = time.perf_counter()
model = gpboost.GPModel(gp_coords=data[["lon", "lat"]].to_numpy(), cov_function="matern", cov_fct_shape=2.5, gp_approx="vecchia",
                        num_neighbors=20, likelihood="gaussian", num_parallel_threads=2)
model.fit(y=data.y.to_numpy(), X=X)
seconds = time.perf_counter() - start
pars = np.asarray(model.get_cov_pars(format_pandas=False)).ravel()
coef = np.asarray(model.get_coef(format_pandas=False)).ravel()
print(seconds, pars[2], pars[1], pars[0], coef[1])
