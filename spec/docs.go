package spec

// fieldDoc says what the field at path is for, in one line. Items of a list
// have "[]" in the path.
type fieldDoc struct{ path, text string }

// serviceDocs describes every field of a Service. A test compares it with the
// types.
var serviceDocs = []fieldDoc{
	{"apiVersion", "The version of the manifest: svc.d/v1."},
	{"kind", "What the document declares: Service."},
	{"metadata", "The name of the service and the operator's own marks."},
	{"metadata.name", "The name: a DNS label, unique in the directory. Replicas are shown as NAME-0, NAME-1."},
	{"metadata.labels", "Marks to select by, as in Kubernetes."},
	{"metadata.annotations", "Notes of any kind, as in Kubernetes."},
	{"spec", "What is to run, and how."},
	{"spec.replicas", "How many processes run; 0 is declared, not run."},
	{"spec.command", "The program and its first arguments. A program without a slash is looked up in the PATH of env. $(VAR) is expanded, $$(VAR) is not."},
	{"spec.args", "Further arguments. $(VAR) is expanded, $$(VAR) is not."},
	{"spec.workingDir", "The folder in which the program starts. A relative one starts at the manifest's folder."},
	{"spec.env", "Variables of the environment. A later one of the same name replaces an earlier one."},
	{"spec.env[].name", "The name of the variable."},
	{"spec.env[].value", "Its value; $(VAR) refers to the variables before it. Numbers need quotes."},
	{"spec.envFrom", "Files of NAME=VALUE lines, read at each start. env goes before them, later files before earlier ones."},
	{"spec.envFrom[].file", "The file. A relative path starts at the manifest's folder."},
	{"spec.envFrom[].optional", "Whether the file may be missing."},
	{"spec.envFrom[].prefix", "What is put before each name."},
	{"spec.securityContext", "The identity of the process."},
	{"spec.securityContext.runAsUser", "The user, by name or number. Without it, the daemon's user."},
	{"spec.securityContext.runAsGroup", "The group, by name or number. Without it, the user's own group."},
	{"spec.securityContext.supplementalGroups", "Further groups, by name or number; [] is none. Without it, those of the user in the group database."},
	{"spec.securityContext.umask", "The file mode creation mask, always read as octal digits: \"0022\", 022 and 22 are the same."},
	{"spec.rlimits", "Resource limits by the names of setrlimit(2) in lower case: N, unlimited, or {soft, hard}."},
	{"spec.restartPolicy", "Which ends are followed by a new start: Always, OnFailure or Never."},
	{"spec.backoff", "How restarts of a process that keeps ending are spaced."},
	{"spec.backoff.initialDelay", "The wait before the second restart (the first is immediate); it doubles up to maxDelay."},
	{"spec.backoff.maxDelay", "The longest wait."},
	{"spec.backoff.stableAfter", "A run of this length makes earlier ends forgotten."},
	{"spec.backoff.limit", "When to give up. Without it, never."},
	{"spec.backoff.limit.restarts", "So many restarts are made."},
	{"spec.backoff.limit.within", "The time in which they count."},
	{"spec.successExitCodes", "The exit codes that mean success. A death by signal n counts as 128+n."},
	{"spec.lifecycle", "What happens around a process's life."},
	{"spec.lifecycle.stopSignal", "The signal that asks the main process to end: a name or a number."},
	{"spec.terminationGracePeriodSeconds", "The time between the stop signal and the kill; 0 kills at once."},
	{"spec.minReadySeconds", "How long a successor must have run before the next replica is replaced."},
}

// configurationDocs describes every field of a Configuration, as serviceDocs
// does.
var configurationDocs = []fieldDoc{
	{"apiVersion", "The version of the document: svc.d/v1."},
	{"kind", "What the document is: ReconcilerConfiguration, of which there is at most one in a directory."},
	{"log", "The daemon's own log."},
	{"log.format", "Its form: console is for people, json for programs. Without it, console in a terminal and json elsewhere."},
	{"log.level", "What is logged: debug, info or error. Without it, info."},
	{"defaults", "What services mean that do not say it themselves."},
	{"defaults.backoff", "How restarts of a process that keeps ending are spaced; see the same fields of a Service."},
	{"defaults.backoff.initialDelay", "The wait before the second restart. Without it, 1s."},
	{"defaults.backoff.maxDelay", "The longest wait. Without it, 1m."},
	{"defaults.backoff.stableAfter", "A run of this length makes earlier ends forgotten. Without it, 1m."},
	{"defaults.backoff.limit", "When to give up. Without it, never."},
	{"defaults.backoff.limit.restarts", "So many restarts are made."},
	{"defaults.backoff.limit.within", "The time in which they count."},
	{"defaults.terminationGracePeriodSeconds", "The time between the stop signal and the kill. Without it, 30."},
	{"prune", "What becomes of an edit that removes more than half of at least five services: Hold (the default) keeps them until somebody confirms, Obey removes them."},
	{"resyncPeriod", "The time between full lists of the directory when nothing happens, from 1s to 24h. Without it, 5m."},
	{"cgroupRoot", "The cgroup in which the services get theirs: an absolute path. Without it, the daemon finds one."},
}
