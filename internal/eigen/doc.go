// Package eigen is the linear algebra of a refit on the host: Eigen's Cholesky factorization and products, in float64, on all cores. It is
// the prune.LinearAlgebra that is several times as fast as gonum's, and needs cgo and Eigen's headers.
//
// It knows nothing of models.
//
// # Concurrency
//
// All methods may be called from several goroutines.
package eigen
