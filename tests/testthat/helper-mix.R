# Models with several random effects: their definition written out, the models that test files share, and lme4's on the same data.

# y ~ N(X beta + offset, V) at the variances of a fit, from its data and plain kernels: `terms` is a list of list(id, z, K) in the order of the fit's effects.
mix_dense <- function(fit, terms, weights = rep(1, fit$nobs)) {
  X <- unname(model.matrix(fit)[, fit$kept, drop = FALSE])
  n <- fit$nobs
  C <- lapply(terms, function(t) incidence(as.character(t$id), rownames(t$K), if (is.null(t$z)) rep(1, n) else t$z))
  V <- Reduce(`+`, Map(function(t, Z, s) s * Z %*% t$K %*% t(Z), terms, C, fit$sigma2), fit$sigma2_e * diag(1 / weights))
  inverse <- solve(V)
  XVX <- t(X) %*% inverse %*% X
  vcov <- solve(XVX)
  y <- fit$y - fit$offset
  beta <- drop(vcov %*% t(X) %*% inverse %*% y)
  residual <- drop(y - X %*% beta)
  log_det <- function(A) as.numeric(determinant(A)$modulus)
  value <- function(reml) {
    df <- n - if (reml) ncol(X) else 0
    -(df * log(2 * pi) + log_det(V) + (if (reml) log_det(XVX) else 0) + sum(residual * (inverse %*% residual))) / 2
  }
  list(X = X, Z = C, V = V, inverse = inverse, vcov = vcov, beta = beta, residual = residual, logLik = value(fit$method == "REML"), value = value)
}

mix_blup <- function(m, terms, fit, k) {
  structure(drop(fit$sigma2[k] * terms[[k]]$K %*% t(m$Z[[k]]) %*% m$inverse %*% m$residual), names = rownames(terms[[k]]$K))
}

# Mean and standard error of x'beta + the effects of new ids (a list in the order of the terms; NULL: not asked for) by the definition
mix_prediction <- function(m, terms, fit, x, ids, given_beta = FALSE) {
  C <- 0
  prior <- 0
  for (k in which(lengths(ids) > 0)) {
    at <- as.character(ids[[k]])
    C <- C + fit$sigma2[k] * terms[[k]]$K[at, , drop = FALSE] %*% t(m$Z[[k]])
    prior <- prior + fit$sigma2[k] * diag(terms[[k]]$K)[at]
  }
  D <- x - C %*% m$inverse %*% m$X
  left <- prior - rowSums((C %*% m$inverse) * C)
  list(fit = drop(x %*% m$beta + C %*% m$inverse %*% m$residual), se.fit = sqrt(unname(left + if (given_beta) 0 else rowSums((D %*% m$vcov) * D))))
}

# Two kernels of 25 ids, of which 20 have rows, as matrix and as factor; blocks without a kernel; weights and an offset.
mix_data <- function() {
  once("mix data", local({
    set.seed(31)
    ids <- paste0("i", 1:25)
    W <- matrix(rnorm(25 * 40), 25, dimnames = list(ids, NULL)) / sqrt(40)
    A <- 3 * tcrossprod(W)
    F <- matrix(rnorm(25 * 4), 25, dimnames = list(ids, NULL)) / 2
    id <- sample(c(ids[1:20], sample(ids[1:20], 60, TRUE)))
    data <- data.frame(id = id, x = rnorm(80), f = factor(sample(c("a", "b", "c"), 80, TRUE)), w = runif(80, 0.5, 2), o = rnorm(80), b = gl(5, 16))
    u <- 2 * drop(W %*% rnorm(40)) + drop(F %*% rnorm(4)) + rnorm(25)
    data$y <- 1 + data$x + data$o + u[match(id, ids)] + rnorm(5)[data$b] + rnorm(80) / sqrt(data$w)
    list(data = data, ids = ids, A = A, F = F, I = structure(diag(25), dimnames = list(ids, ids)), B = structure(diag(5), dimnames = list(1:5, 1:5)))
  }))
}

mix_of <- function(given = mix_data()) kernel_mix(A = given$A, F = kernel_lowrank(given$F), own = NULL)

mix_fit <- function(method = "REML") {
  given <- mix_data()
  once(paste("mix", method), fastlmm_fit(
    y ~ x + f + (1 | id) + (1 | b), given$data,
    K = list(id = mix_of(given)), method = method, weights = w, offset = o
  ))
}

mix_terms <- function(given = mix_data()) {
  id <- given$data$id
  list(list(id = id, K = given$A), list(id = id, K = tcrossprod(given$F)), list(id = id, K = given$I), list(id = given$data$b, K = given$B))
}

# ---- lme4 -----------------------------------------------------------------------------------------------------------

mix_lme4_models <- function() {
  list(
    Penicillin = list(formula = diameter ~ 1 + (1 | plate) + (1 | sample), data = lme4::Penicillin),
    Pastes = list(formula = strength ~ 1 + (1 | batch / cask), data = lme4::Pastes),
    sleepstudy = list(formula = Reaction ~ Days + (Days || Subject), data = lme4::sleepstudy),
    InstEval = list(formula = y ~ service + (1 | s) + (1 | d), data = droplevels(utils::head(lme4::InstEval, 5000)))
  )
}

mix_lme4_pair <- function(name, method) {
  model <- mix_lme4_models()[[name]]
  once(paste("mix", name, method), list(
    data = model$data,
    ours = suppressMessages(fastlmm_fit(model$formula, model$data, method = method)),
    theirs = suppressMessages(lme4::lmer(
      model$formula, model$data,
      REML = method == "REML",
      control = lme4::lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-10), calc.derivs = FALSE)
    ))
  ))
}

each_mix_pair <- function(test) {
  skip_if_not_installed("lme4")
  for (name in names(mix_lme4_models())) for (method in c("REML", "ML")) test(mix_lme4_pair(name, method), paste(name, method))
}
