// Package eigen is the linear algebra of a refit on the host: Eigen's Cholesky factorization and matmuls, in float64,
// on all cores. It implements prune.LinearAlgebra several times as fast as gonum, and needs cgo and Eigen's headers.
//
// It does not depend on models.
//
// # Concurrency
//
// All methods may be called from several goroutines.
package eigen
