package spec

import (
	"maps"
	"slices"
)

// SameProcess tells whether a process that was started from a is what b wants:
// whether all fields of the edit class "restart" are equal. It compares the
// decoded fields and never a stored hash of them: a new version of the program
// with a new field must not restart the world. It does not allocate.
func SameProcess(a, b *Spec) bool {
	return a == b ||
		slices.Equal(a.Command, b.Command) &&
			slices.Equal(a.Args, b.Args) &&
			a.WorkingDir == b.WorkingDir &&
			slices.Equal(a.Env, b.Env) &&
			slices.Equal(a.EnvFrom, b.EnvFrom) &&
			sameSecurityContext(&a.SecurityContext, &b.SecurityContext) &&
			maps.Equal(a.Rlimits, b.Rlimits) &&
			a.Notify == b.Notify &&
			a.WatchdogSeconds == b.WatchdogSeconds &&
			slices.Equal(a.RuntimeDirectories, b.RuntimeDirectories) &&
			a.Lifetime == b.Lifetime
}

func sameSecurityContext(a, b *SecurityContext) bool {
	return a.RunAsUser == b.RunAsUser &&
		a.RunAsGroup == b.RunAsGroup &&
		// No groups at all is not the same as those of the user.
		(a.SupplementalGroups == nil) == (b.SupplementalGroups == nil) &&
		slices.Equal(a.SupplementalGroups, b.SupplementalGroups) &&
		a.Umask == b.Umask
}
