package reconciler

import "svc.d/spec"

// Mistakes that tests plant into a loop that comes after another.

// ForgetRuns has the numbers of runs begin anew.
func (l *Loop) ForgetRuns() { l.runs = 0 }

// ActEarly has the loop believe that it knows what is wanted.
func (l *Loop) ActEarly() { l.set = &spec.Set{} }
