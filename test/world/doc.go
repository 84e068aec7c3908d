// Package world looks at processes from outside, through /proc alone, and makes
// the programs that the tests and the benchmark run. It knows nothing of how the
// daemon works, so that it can judge it.
package world
