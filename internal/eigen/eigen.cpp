#include "eigen.h"

#define EIGEN_NO_DEBUG          // an assertion would end the process
#define EIGEN_DONT_PARALLELIZE  // each_panel distributes columns
#include <eigen3/Eigen/Cholesky>

#include <algorithm>
#include <atomic>
#include <new>

namespace {

using Rows = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using Eigen::MatrixXd;

// Columns that a thread processes at a time. Results do not depend on the number of threads.
constexpr long panel = 96;

// Calls work(first column, columns) for each panel. No exception leaves a parallel region.
template <typename Work> int each_panel(long columns, int threads, Work work) {
  std::atomic<int> result{0};
#pragma omp parallel for schedule(dynamic) num_threads(threads)
  for (long first = 0; first < columns; first += panel) {
    try {
      work(first, std::min(panel, columns - first));
    } catch (const std::bad_alloc &) {
      result = PRUNELLM_NO_MEMORY;
    }
  }
  return result;
}

} // namespace

int prunellm_fast(void) {
#ifdef __AVX2__
  return 1;
#else
  return 0;
#endif
}

int prunellm_solve(double *a, double *b, long n, long columns, int threads) {
  Eigen::Map<MatrixXd> system(a, n, n); // symmetric, so the order of axes does not matter
  Eigen::Map<Rows> right(b, n, columns);
  try {
    const Eigen::LLT<Eigen::Ref<MatrixXd>> factor(system);
    if (factor.info() != Eigen::Success) return PRUNELLM_NOT_DEFINITE;
    return each_panel(columns, threads, [&](long first, long count) {
      MatrixXd x = right.middleCols(first, count);
      factor.solveInPlace(x);
      right.middleCols(first, count) = x;
    });
  } catch (const std::bad_alloc &) {
    return PRUNELLM_NO_MEMORY;
  }
}

int prunellm_multiply(const double *a, const double *b, double *c, long n, long columns, int threads) {
  const Eigen::Map<const MatrixXd> left(a, n, n);
  const Eigen::Map<const Rows> right(b, n, columns);
  Eigen::Map<Rows> product(c, n, columns);
  return each_panel(columns, threads, [&](long first, long count) {
    MatrixXd x = left * right.middleCols(first, count);
    product.middleCols(first, count) = x;
  });
}

// With rows and columns reversed, a = V V^T becomes the usual factorization a' = L L^T with L lower triangular.
int prunellm_factor(double *a, long n) {
  Eigen::Map<Rows> system(a, n, n);
  try {
    MatrixXd turned = system.reverse();
    const Eigen::LLT<Eigen::Ref<MatrixXd>> factor(turned);
    if (factor.info() != Eigen::Success) return PRUNELLM_NOT_DEFINITE;
    system = turned.reverse();
    return 0;
  } catch (const std::bad_alloc &) {
    return PRUNELLM_NO_MEMORY;
  }
}

int prunellm_shift(const double *v, double *e, long n, long columns, long first, long count, int threads) {
  const Eigen::Map<const Rows> factor(v, n, n);
  Eigen::Map<Rows> rows(e, n, columns);
  return each_panel(columns, threads, [&](long from, long width) {
    MatrixXd x = factor.block(0, first, first, count).transpose() * rows.block(0, from, first, width);
    factor.block(first, first, count, count).triangularView<Eigen::Upper>().transpose().solveInPlace(x);
    rows.block(first, from, count, width) = -x;
  });
}
