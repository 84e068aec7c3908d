// Package test holds the checks of the program as a whole: the rules of the
// architecture, the budgets, the leak test, and the end-to-end scripts with the
// real binary.
package test
