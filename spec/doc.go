// Package spec is what the operator wants: the types of a manifest, and the
// pure functions that parse, default, validate, compare and describe them.
package spec
