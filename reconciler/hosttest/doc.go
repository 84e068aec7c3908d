// Package hosttest is a simulated machine for the engine's tests, and the
// conformance suite that it and the real host both pass.
package hosttest
