// Forward the routine registration that extendr generates, and keep Rust's panic text off the console.
#include <Rinternals.h>

void R_init_fastlmm_extendr(void *dll);
void register_extendr_panic_hook(void);
void know_r_thread(void);

void R_init_fastlmm(void *dll) {
  register_extendr_panic_hook();
  know_r_thread();
  R_init_fastlmm_extendr(dll);
}
