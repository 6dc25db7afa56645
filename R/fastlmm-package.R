#' @section Fit a model:
#' * [fastlmm_fit()]: a linear mixed model by a formula of 'lme4' and a kernel `K`, one response or many; [gp()] terms for Gaussian processes.
#' * [slamglmm_fit()]: covariances of many responses, including counts and curves, by a sparse-factor model.
#' * [fastlmm_scan()]: each of many candidates, such as genetic markers, against one null model.
#'
#' @section Specify the covariance:
#' A matrix with names; [kernel_markers()], [kernel_pedigree()], [kernel_tree()], [kernel_lowrank()], [kernel_precision()], [kernel_product()], [kernel_mix()];
#' [fastlmm_decompose()] for many formulas with one decomposition.
#'
#' @section Work with a fit:
#' * Estimates: [summary()][summary.fastlmm], [VarCorr()][VarCorr.fastlmm], [confint()][confint.fastlmm], [profile()][profile.fastlmm], [tidy()][tidy.fastlmm], [getME()].
#' * Predictions: [ranef()][ranef.fastlmm], [predict()][predict.fastlmm], [simulate()][simulate.fastlmm].
#' * Tests: [anova()][anova.fastlmm], [contest()], [test_variance()], [test_heterogeneity()], [bootstrap()], [power()].
#' * Checks: [plot()][plot.fastlmm], [residuals()][residuals.fastlmm], [influence()][influence.fastlmm], [isSingular()].
#' * A sparse-factor model: [h2()] ([heritability()]), [G()] ([genetic_covariance()]), [rg()] ([genetic_correlation()]), [factor_loadings()], [variance_parts()],
#'   [plot()][plot.slamglmm], and its priors, [slam_prior()].
#' * A scan: [plot()][plot.fastlmm_scan], [fastlmm_permute()], [genotype_means()], [write_scan()].
#' * Other packages, such as `emmeans`, `performance` or `posterior`: [fastlmm-neighbours].
#'
#' @section Vignettes:
#' Open them by `vignette("name", package = "fastlmm")`; `browseVignettes("fastlmm")` lists them.
#' * `get-started`: one data set from kernel to prediction. `from-lme4`, `from-kinship-packages`: what changes for users of other programs.
#' * `kernels`, `pedigrees-and-trees`: ways to specify a covariance. `method`: the derivation. `performance`: time and memory.
#' * `scans`: population structure, thresholds, many responses. `gaussian-processes`: time series and maps.
#' * `many-traits`, `repeated-records`, `counts-and-communities`, `growth-curves`, `rnaseq`: sparse-factor models.
#'
#' A package installed by `R CMD INSTALL .` from a folder has no vignettes; one installed from a tarball has them (`make tarball`).
#'
#' @keywords internal
"_PACKAGE"

#' @useDynLib fastlmm, .registration = TRUE
#' @import stats
#' @importFrom utils head
#' @importFrom nlme fixef ranef VarCorr
#' @importFrom generics refit tidy glance augment
NULL

#' @export
nlme::fixef

#' @export
nlme::ranef

#' @export
nlme::VarCorr

#' @export
generics::refit

#' @export
generics::tidy

#' @export
generics::glance

#' @export
generics::augment
