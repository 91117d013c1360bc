// Package eigen computes the linear algebra of a refit on the host with Eigen: Cholesky factorization and matmuls in float64 on
// all cores. It implements prune.LinearAlgebra and is several times as fast as gonum. It needs cgo and Eigen's headers.
//
// It does not depend on models.
//
// # Concurrency
//
// All methods may be called from several goroutines.
package eigen
