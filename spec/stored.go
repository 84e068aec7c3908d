package spec

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// DecodeService reads what json.Marshal wrote of a Service, also when an
// earlier or a later version of the program wrote it: a field that is missing
// has its built-in default, one that is unknown is passed over. So a program
// can be exchanged for an older one without losing sight of what runs.
//
// The result is a Service like one that was parsed, except that its bounds are
// not checked again and that Source is zero. What this version could not
// handle is an error: a program that is not named, a signal or policy that it
// does not know, a number without meaning.
func DecodeService(data []byte) (*Service, error) {
	s := &Service{APIVersion: APIVersion, Kind: KindService, Spec: Defaults()}
	err := json.Unmarshal(data, s)
	if err == nil {
		err = s.usable()
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read stored service %q: %w", truncate(s.Metadata.Name), err)
	}
	return s, nil
}

// DecodeConfiguration reads what json.Marshal wrote of a Configuration, as
// DecodeService does of a Service.
func DecodeConfiguration(data []byte) (*Configuration, error) {
	c := &Configuration{APIVersion: APIVersion, Kind: KindConfiguration}
	err := json.Unmarshal(data, c)
	if err == nil {
		err = c.usable()
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read stored configuration: %w", err)
	}
	return c, nil
}

// usable checks what everybody relies on who holds a Service.
func (s *Service) usable() error {
	p := &s.Spec
	switch {
	case s.APIVersion != APIVersion || s.Kind != KindService:
		return fmt.Errorf("it is %q of %q", truncate(s.Kind), truncate(s.APIVersion))
	case !isDNSLabel(s.Metadata.Name):
		return errors.New("its name is not a DNS label")
	case len(p.Command) == 0 || p.Command[0] == "":
		return errors.New("it names no program")
	case p.Replicas < 0:
		return fmt.Errorf("%d replicas", p.Replicas)
	case p.TerminationGracePeriodSeconds < 0 || p.MinReadySeconds < 0:
		return errors.New("a number of seconds below 0")
	case !slices.Contains(restartPolicies, string(p.RestartPolicy)):
		return fmt.Errorf("restartPolicy %q is not known", truncate(string(p.RestartPolicy)))
	case p.Lifecycle.StopSignal.Number() == 0:
		return fmt.Errorf("stopSignal %q is not known", truncate(string(p.Lifecycle.StopSignal)))
	case p.hasNUL():
		return errors.New("a text holds a NUL byte")
	}
	return cmp.Or(p.Backoff.usable(), p.Log.usable(), p.lifeUsable())
}

// lifeUsable checks what probes, hooks and dependencies need.
func (p *Spec) lifeUsable() error {
	words := func(what, word string, known []string) error {
		if !slices.Contains(known, word) {
			return fmt.Errorf("%s %q is not known", what, truncate(word))
		}
		return nil
	}
	err := cmp.Or(words("notify", string(p.Notify), notifies), words("lifetime", string(p.Lifetime), lifetimes),
		words("stopScope", string(p.StopScope), stopScopes))
	for _, x := range p.DependsOn {
		err = cmp.Or(err, words("condition", string(x.Condition), dependencyConditions))
	}
	for _, probe := range []*Probe{p.StartupProbe, p.ReadinessProbe, p.LivenessProbe} {
		err = cmp.Or(err, probe.usable())
	}
	var commands []*ExecAction
	for _, h := range []*Handler{p.Lifecycle.PostStart, p.Lifecycle.PreStop, p.Lifecycle.PostStop} {
		if h != nil {
			commands = append(commands, h.Exec)
		}
	}
	if p.Reload != nil {
		if p.Reload.Signal != "" && p.Reload.Signal.Number() == 0 {
			err = cmp.Or(err, fmt.Errorf("reload.signal %q is not known", truncate(string(p.Reload.Signal))))
		}
		for _, e := range []*ExecAction{p.Reload.Exec, p.Reload.Check} {
			if e != nil {
				commands = append(commands, e)
			}
		}
	}
	for _, i := range p.Init {
		commands = append(commands, &ExecAction{i.Command})
	}
	for _, e := range commands {
		if e == nil || len(e.Command) == 0 || e.Command[0] == "" {
			err = cmp.Or(err, errors.New("a hook names no program"))
		}
	}
	if p.ReadyLogLine != "" {
		if _, compiles := regexp.Compile(p.ReadyLogLine); compiles != nil {
			err = cmp.Or(err, errors.New("readyLogLine is no regular expression"))
		}
	}
	if p.WatchdogSeconds < 0 || p.ProgressDeadlineSeconds < 1 {
		err = cmp.Or(err, errors.New("a number of seconds that is too small"))
	}
	return err
}

// usable checks a probe; nil is none.
func (p *Probe) usable() error {
	switch {
	case p == nil:
		return nil
	case p.ways() != 1:
		return fmt.Errorf("a probe with %d ways to look", p.ways())
	case p.PeriodSeconds < 1 || p.TimeoutSeconds < 1 || p.SuccessThreshold < 1 || p.FailureThreshold < 1 || p.InitialDelaySeconds < 0 ||
		p.TerminationGracePeriodSeconds != nil && *p.TerminationGracePeriodSeconds < 0:
		return errors.New("a probe with a number that is too small")
	case p.Exec != nil && (len(p.Exec.Command) == 0 || p.Exec.Command[0] == ""):
		return errors.New("a probe that names no program")
	}
	return nil
}

func (l *Log) usable() error {
	if l.MaxSize < 1 || l.MaxFiles < 1 || l.MaxAge < 0 {
		return fmt.Errorf("log of %d files of %v, of at most %v", l.MaxFiles, l.MaxSize, l.MaxAge)
	}
	return nil
}

func (b *Backoff) usable() error {
	switch {
	case b.InitialDelay < Duration(minDuration) || b.MaxDelay < b.InitialDelay || b.MaxDelay > Duration(maxDuration):
		return fmt.Errorf("backoff from %v to %v", b.InitialDelay, b.MaxDelay)
	case b.StableAfter < Duration(minDuration) || b.StableAfter > Duration(maxDuration):
		return fmt.Errorf("backoff.stableAfter %v", b.StableAfter)
	case b.Limit != nil && (b.Limit.Restarts < 1 || b.Limit.Within < Duration(minDuration) || b.Limit.Within > Duration(maxDuration)):
		return fmt.Errorf("backoff.limit of %d restarts within %v", b.Limit.Restarts, b.Limit.Within)
	}
	return nil
}

// hasNUL tells whether a text that the kernel gets would be cut off.
func (p *Spec) hasNUL() bool {
	nul := func(text string) bool { return strings.IndexByte(text, 0) >= 0 }
	return slices.ContainsFunc(p.Command, nul) || slices.ContainsFunc(p.Args, nul) || nul(p.WorkingDir) ||
		slices.ContainsFunc(p.Env, func(v EnvVar) bool { return nul(v.Name + v.Value) }) ||
		slices.ContainsFunc(p.EnvFrom, func(f EnvFrom) bool { return nul(f.File + f.Prefix) })
}

// usable checks what everybody relies on who holds a Configuration.
func (c *Configuration) usable() error {
	s := c.ServiceDefaults()
	resync, quota := c.ResyncPeriod, c.Log.Quota
	switch {
	case c.APIVersion != APIVersion || c.Kind != KindConfiguration:
		return fmt.Errorf("it is %q of %q", truncate(c.Kind), truncate(c.APIVersion))
	case c.Log.Format != "" && !slices.Contains(logFormats, c.Log.Format):
		return fmt.Errorf("log.format %q is not known", truncate(c.Log.Format))
	case c.Log.Level != "" && !slices.Contains(logLevels, c.Log.Level):
		return fmt.Errorf("log.level %q is not known", truncate(c.Log.Level))
	case quota != 0 && !logQuotaBounds.hold(quota):
		return fmt.Errorf("log.quota %v", quota)
	case c.Prune != "" && !slices.Contains(prunePolicies, string(c.Prune)):
		return fmt.Errorf("prune %q is not known", truncate(string(c.Prune)))
	case resync != 0 && (resync < Duration(minResync) || resync > Duration(maxResync)):
		return fmt.Errorf("resyncPeriod %v", resync)
	case c.CgroupRoot != "" && !isCleanPath(c.CgroupRoot):
		return fmt.Errorf("cgroupRoot %q", truncate(c.CgroupRoot))
	case c.Access.Group != "" && !isAccountName(string(c.Access.Group)):
		return fmt.Errorf("access.group %q", truncate(string(c.Access.Group)))
	case s.TerminationGracePeriodSeconds < 0:
		return errors.New("a number of seconds below 0")
	}
	return cmp.Or(s.Backoff.usable(), s.Log.usable())
}
