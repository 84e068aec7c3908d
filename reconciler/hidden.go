package reconciler

import (
	"slices"
	"strings"
)

// HiddenIf is the failure with its whole message hidden when one of the texts refers to
// a variable, whose value it may quote then.
func (f *Failure) HiddenIf(texts ...string) *Failure {
	if f == nil || !slices.ContainsFunc(texts, func(text string) bool { return strings.Contains(text, "$(") }) {
		return f
	}
	return &Failure{f.Reason, f.Message, f.Message}
}

// hidden is what only those may see of failures who may do everything.
func hidden(failures ...*Failure) (all []string) {
	for _, f := range failures {
		if f != nil && f.Hidden != "" {
			all = append(all, f.Hidden)
		}
	}
	return all
}

// hidden is what of messages about the replica only those may see who may do everything.
func (i *Instance) hidden() []string {
	l := i.known()
	all := hidden(i.Failure, l.HookFailure, l.ReleaseFailure, l.ReloadFailure)
	for n := range l.Probes {
		all = append(all, hidden(l.Probes[n].Failure)...)
	}
	// Why it is to end is kept as a sentence, of which the end is the failure.
	if _, failure, ok := strings.Cut(l.Why, ": "); ok {
		all = append(all, failure)
	}
	return all
}
