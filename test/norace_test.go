//go:build !race

package test

// raced says that the tests run under the race detector, and so should the
// daemon.
const raced = false
