// Go calls these; see eigen.go. Functions on matrices return 0 or an error code.

#ifdef __cplusplus
extern "C" {
#endif

enum { PRUNELLM_NOT_DEFINITE = 1, PRUNELLM_NO_MEMORY = 2 };

// Returns 1 if compiled for at least AVX2, otherwise 0.
int prunellm_fast(void);

// Overwrites b, float64[n, columns], with the solution of a x = b. a, float64[n, n], is symmetric and is overwritten.
int prunellm_solve(double *a, double *b, long n, long columns, int threads);

// Computes c = a b, float64[n, columns], with a float64[n, n] symmetric and b float64[n, columns].
int prunellm_multiply(const double *a, const double *b, double *c, long n, long columns, int threads);

// Overwrites a, float64[n, n], row-major and symmetric, with the upper triangular V: a = V V^T. The values below the diagonal are
// then undefined.
int prunellm_factor(double *a, long n);

// Sets `count` rows R of e, float64[n, columns], starting at `first`: e_R = -V_RR^-T (sum over the rows P before them of
// V_PR^T e_P).
int prunellm_shift(const double *v, double *e, long n, long columns, long first, long count, int threads);

#ifdef __cplusplus
}
#endif
