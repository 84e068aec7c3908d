// Package reconciler is the engine: it compares what is wanted (spec.Set) with
// the facts about processes, decides, and acts through a Host until both match.
//
// Observe and Decide are pure functions; time is an argument. One goroutine,
// the Loop, owns every record, and it alone reads the clock.
package reconciler
