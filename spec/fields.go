package spec

import "go.yaml.in/yaml/v3"

// documentFields are the fields of a document of kind Service.
var documentFields = object[Service]{
	fields: []field[Service]{
		// Already read by the decoder, which comes here for no other values.
		{"apiVersion", true, func(*decoder, *yaml.Node, *Service) {}},
		{"kind", true, func(*decoder, *yaml.Node, *Service) {}},
		{"metadata", true, func(d *decoder, n *yaml.Node, s *Service) { readObject(d, n, &metadataFields, &s.Metadata) }},
		{"spec", true, func(d *decoder, n *yaml.Node, s *Service) {
			readObject(d, n, &specFields, &s.Spec)
			d.whatHangsTogether(n, &s.Spec)
		}},
	},
	foreign: []hint{
		{"status", "the daemon reports it; remove it"},
		{"command", "it belongs under spec"},
		{"name", "it belongs under metadata"},
	},
}

var metadataFields = object[Metadata]{
	fields: []field[Metadata]{
		{"name", true, func(d *decoder, n *yaml.Node, m *Metadata) { m.Name = d.name(n) }},
		{"labels", false, func(d *decoder, n *yaml.Node, m *Metadata) { m.Labels = d.marks(n, true) }},
		{"annotations", false, func(d *decoder, n *yaml.Node, m *Metadata) { m.Annotations = d.marks(n, false) }},
	},
	foreign: []hint{
		{"namespace", "there are no namespaces here; remove it"},
		{"generateName", "names are not generated; write name"},
		{"uid", byDaemon}, {"generation", byDaemon}, {"resourceVersion", byDaemon}, {"creationTimestamp", byDaemon},
		{"deletionTimestamp", byDaemon}, {"deletionGracePeriodSeconds", byDaemon}, {"selfLink", byDaemon}, {"managedFields", byDaemon},
		{"ownerReferences", "nothing owns a manifest; remove it"},
		{"finalizers", "there are no finalizers here; remove it"},
	},
}

const byDaemon = "it is not for a manifest to say; remove it"

var specFields = object[Spec]{
	fields: []field[Spec]{
		{"replicas", false, func(d *decoder, n *yaml.Node, s *Spec) { readWhole(d, n, replicasBounds, &s.Replicas) }},
		{"command", true, func(d *decoder, n *yaml.Node, s *Spec) { s.Command = d.command(n) }},
		{"args", false, func(d *decoder, n *yaml.Node, s *Spec) { s.Args = d.texts(n, argsExample) }},
		{"workingDir", false, func(d *decoder, n *yaml.Node, s *Spec) { s.WorkingDir = d.filePath(n) }},
		{"env", false, func(d *decoder, n *yaml.Node, s *Spec) { s.Env = d.env(n) }},
		{"envFrom", false, func(d *decoder, n *yaml.Node, s *Spec) { s.EnvFrom = d.envFrom(n) }},
		{"securityContext", false, func(d *decoder, n *yaml.Node, s *Spec) { readObject(d, n, &securityFields, &s.SecurityContext) }},
		{"rlimits", false, func(d *decoder, n *yaml.Node, s *Spec) { s.Rlimits = d.rlimits(n) }},
		{"restartPolicy", false, func(d *decoder, n *yaml.Node, s *Spec) { s.RestartPolicy = RestartPolicy(d.word(n, restartPolicies)) }},
		{"backoff", false, func(d *decoder, n *yaml.Node, s *Spec) { d.backoff(n, &s.Backoff) }},
		{"successExitCodes", false, func(d *decoder, n *yaml.Node, s *Spec) { s.SuccessExitCodes = d.exitCodes(n) }},
		{"lifecycle", false, func(d *decoder, n *yaml.Node, s *Spec) { readObject(d, n, &lifecycleFields, &s.Lifecycle) }},
		{"terminationGracePeriodSeconds", false, func(d *decoder, n *yaml.Node, s *Spec) {
			readWhole(d, n, secondsBounds, &s.TerminationGracePeriodSeconds)
		}},
		{"minReadySeconds", false, func(d *decoder, n *yaml.Node, s *Spec) { readWhole(d, n, secondsBounds, &s.MinReadySeconds) }},
		{"log", false, func(d *decoder, n *yaml.Node, s *Spec) { readObject(d, n, &serviceLogFields, &s.Log) }},
		{"dependsOn", false, func(d *decoder, n *yaml.Node, s *Spec) { s.DependsOn = d.dependsOn(n) }},
		{"startupProbe", false, func(d *decoder, n *yaml.Node, s *Spec) { s.StartupProbe = d.probe(n, false) }},
		{"readinessProbe", false, func(d *decoder, n *yaml.Node, s *Spec) { s.ReadinessProbe = d.probe(n, true) }},
		{"livenessProbe", false, func(d *decoder, n *yaml.Node, s *Spec) { s.LivenessProbe = d.probe(n, false) }},
		{"readyLogLine", false, func(d *decoder, n *yaml.Node, s *Spec) { s.ReadyLogLine = d.readyLine(n) }},
		{"notify", false, func(d *decoder, n *yaml.Node, s *Spec) { s.Notify = Notify(d.word(n, notifies)) }},
		{"watchdogSeconds", false, func(d *decoder, n *yaml.Node, s *Spec) { readWhole(d, n, secondsBounds, &s.WatchdogSeconds) }},
		{"init", false, func(d *decoder, n *yaml.Node, s *Spec) { s.Init = d.init(n) }},
		{"runtimeDirectories", false, func(d *decoder, n *yaml.Node, s *Spec) {
			s.RuntimeDirectories = items(d, n, directoriesExample, &runtimeDirectoryFields, RuntimeDirectory{Mode: 0o755})
		}},
		{"lifetime", false, func(d *decoder, n *yaml.Node, s *Spec) { s.Lifetime = Lifetime(d.word(n, lifetimes)) }},
		{"stopScope", false, func(d *decoder, n *yaml.Node, s *Spec) { s.StopScope = StopScope(d.word(n, stopScopes)) }},
		{"reload", false, func(d *decoder, n *yaml.Node, s *Spec) { s.Reload = d.reload(n) }},
		{"progressDeadlineSeconds", false, func(d *decoder, n *yaml.Node, s *Spec) {
			readWhole(d, n, probeBounds, &s.ProgressDeadlineSeconds)
		}},
	},
	later: []string{
		"nice", "oomScoreAdj", "cpuAffinity", "ioPriority", "resources", "strategy", "sockets",
	},
	foreign: []hint{
		{"containers", "a Service is one program; write its command, args and env directly under spec"},
		{"template", "write command, args and env directly under spec"},
		{"initContainers", "did you mean \"init\"? It is a list of name and command"},
		{"depends_on", "did you mean \"dependsOn\"? It is a list of name and condition"},
		{"after", "did you mean \"dependsOn\"? It is a list of name and condition"},
		{"requires", "did you mean \"dependsOn\"? It is a list of name and condition"},
		{"wants", "did you mean \"dependsOn\"? It is a list of name and condition"},
		{"healthcheck", "did you mean \"livenessProbe\" or \"readinessProbe\"?"},
		{"execStartPre", "did you mean \"init\"? It is a list of name and command"},
		{"execReload", "did you mean \"reload\"? It holds a signal or exec"},
		{"execStop", "did you mean \"lifecycle.preStop\"?"},
		{"execStartPost", "did you mean \"lifecycle.postStart\"?"},
		{"execStopPost", "did you mean \"lifecycle.postStop\"?"},
		{"requisite", "did you mean \"dependsOn\"? It is a list of name and condition"},
		{"bindsTo", "did you mean \"dependsOn\"? Its items can have restart: true"},
		{"partOf", "did you mean \"dependsOn\"? Its items can have restart: true"},
		{"before", "write dependsOn in the service that comes later"},
		{"pidFile", "did you mean \"lifetime: Group\"? No file of a pid is needed"},
		{"timeoutStopSec", "did you mean \"terminationGracePeriodSeconds\"?"},
		{"stopwaitsecs", "did you mean \"terminationGracePeriodSeconds\"?"},
		{"stop_grace_period", "did you mean \"terminationGracePeriodSeconds\"?"},
		{"restartSec", "did you mean \"backoff.initialDelay\"?"},
		{"startretries", "did you mean \"backoff.limit\"?"},
		{"startsecs", "did you mean \"backoff.stableAfter\"?"},
		{"autorestart", "did you mean \"restartPolicy\"?"},
		{"exitcodes", "did you mean \"successExitCodes\"?"},
		{"autostart", "write replicas: 0 for what is not to run"},
		{"priority", "there is no order by numbers; did you mean \"dependsOn\"?"},
		{"watchdogSec", "did you mean \"watchdogSeconds\"?"},
		{"runtimeDirectory", "did you mean \"runtimeDirectories\"? It is a list of path and mode"},
		{"type", "did you mean \"notify\" (Type=notify), or \"lifetime: Group\" (Type=forking)?"},
		{"killMode", "did you mean \"stopScope\"?"},
		{"postStart", "it belongs under lifecycle"},
		{"preStop", "it belongs under lifecycle"},
		{"postStop", "it belongs under lifecycle"},
		{"name", "it belongs under metadata"},
		{"labels", "they belong under metadata"},
		{"selector", "there is nothing to select; remove it"},
		{"image", "there are no images here; name the program in command"},
		{"ports", "a program opens its ports by itself; remove it"},
		{"volumes", "a process sees the machine's own files; remove it"},
		{"volumeMounts", "a process sees the machine's own files; remove it"},
		{"environment", "did you mean \"env\"? It is a list of name and value"},
		{"environmentFile", "did you mean \"envFrom\"? It is a list of files"},
		{"user", "did you mean \"securityContext.runAsUser\"?"},
		{"group", "did you mean \"securityContext.runAsGroup\"?"},
		{"runAsUser", "it belongs under securityContext"},
		{"runAsGroup", "it belongs under securityContext"},
		{"umask", "it belongs under securityContext"},
		{"stopSignal", "it belongs under lifecycle"},
		{"logging", "did you mean \"log\"?"},
		{"logs", "did you mean \"log\"?"},
		{"maxSize", "it belongs under log"},
		{"maxFiles", "it belongs under log"},
		{"maxAge", "it belongs under log"},
		{"instances", "did you mean \"replicas\"?"},
		{"numprocs", "did you mean \"replicas\"?"},
		{"restart", "did you mean \"restartPolicy\"?"},
		{"exec", "did you mean \"command\"?"},
		{"cmd", "did you mean \"command\"?"},
		{"program", "did you mean \"command\"?"},
		{"execStart", "did you mean \"command\"?"},
		{"directory", "did you mean \"workingDir\"?"},
		{"workdir", "did you mean \"workingDir\"?"},
		{"workingDirectory", "did you mean \"workingDir\"?"},
		{"cwd", "did you mean \"workingDir\"?"},
	},
}

var securityFields = object[SecurityContext]{
	fields: []field[SecurityContext]{
		{"runAsUser", false, func(d *decoder, n *yaml.Node, s *SecurityContext) { s.RunAsUser = d.id(n) }},
		{"runAsGroup", false, func(d *decoder, n *yaml.Node, s *SecurityContext) { s.RunAsGroup = d.id(n) }},
		{"supplementalGroups", false, func(d *decoder, n *yaml.Node, s *SecurityContext) { s.SupplementalGroups = d.ids(n) }},
		{"umask", false, func(d *decoder, n *yaml.Node, s *SecurityContext) { s.Umask = d.umask(n) }},
	},
	later: []string{"capabilities", "allowPrivilegeEscalation"},
	foreign: []hint{
		{"fsGroup", "there are no volumes here; remove it"},
		{"runAsNonRoot", "name the user in runAsUser"},
		{"privileged", "there are no containers here; remove it"},
		{"readOnlyRootFilesystem", "there are no containers here; remove it"},
	},
}

var backoffFields = object[Backoff]{
	fields: []field[Backoff]{
		{"initialDelay", false, func(d *decoder, n *yaml.Node, b *Backoff) { d.duration(n, &b.InitialDelay) }},
		{"maxDelay", false, func(d *decoder, n *yaml.Node, b *Backoff) { d.duration(n, &b.MaxDelay) }},
		{"stableAfter", false, func(d *decoder, n *yaml.Node, b *Backoff) { d.duration(n, &b.StableAfter) }},
		{"limit", false, func(d *decoder, n *yaml.Node, b *Backoff) {
			b.Limit = &RestartLimit{}
			readObject(d, n, &limitFields, b.Limit)
		}},
	},
}

var limitFields = object[RestartLimit]{
	fields: []field[RestartLimit]{
		{"restarts", true, func(d *decoder, n *yaml.Node, l *RestartLimit) { readWhole(d, n, restartsBounds, &l.Restarts) }},
		{"within", true, func(d *decoder, n *yaml.Node, l *RestartLimit) { d.duration(n, &l.Within) }},
	},
}

var envVarFields = object[EnvVar]{
	fields: []field[EnvVar]{
		{"name", true, func(d *decoder, n *yaml.Node, e *EnvVar) { e.Name = d.envName(n) }},
		{"value", false, func(d *decoder, n *yaml.Node, e *EnvVar) { e.Value, _ = d.text(n) }},
	},
	foreign: []hint{{"valueFrom", "write value, or put the variable into a file of envFrom"}},
}

var envFromFields = object[EnvFrom]{
	fields: []field[EnvFrom]{
		{"file", true, func(d *decoder, n *yaml.Node, e *EnvFrom) { e.File = d.filePath(n) }},
		{"optional", false, func(d *decoder, n *yaml.Node, e *EnvFrom) { d.truth(n, &e.Optional) }},
		{"prefix", false, func(d *decoder, n *yaml.Node, e *EnvFrom) { e.Prefix = d.envPrefix(n) }},
	},
	foreign: []hint{
		{"configMapRef", "name a file of NAME=VALUE lines in file"},
		{"secretRef", "name a file of NAME=VALUE lines in file"},
	},
}

var rlimitFields = object[Rlimit]{
	fields: []field[Rlimit]{
		{"soft", true, func(d *decoder, n *yaml.Node, r *Rlimit) { r.Soft = d.limit(n) }},
		{"hard", true, func(d *decoder, n *yaml.Node, r *Rlimit) { r.Hard = d.limit(n) }},
	},
}
