package reconciler_test

import (
	"fmt"
	"testing"
	"time"

	"svc.d/reconciler"
	"svc.d/spec"
)

// lifeFacts are what may be known of a run beyond its processes. Some of them
// cannot be of some runs; Decide must be sound on them all the same.
func lifeFacts(last time.Time) map[string]func(i *reconciler.Instance) {
	failure := &reconciler.Failure{Reason: reconciler.ReasonHookFailed, Message: "cannot run it"}
	life := func(change func(i *reconciler.Instance, l *reconciler.Life)) func(i *reconciler.Instance) {
		return func(i *reconciler.Instance) {
			l := &reconciler.Life{}
			change(i, l)
			i.Life = l
		}
	}
	all := map[string]func(i *reconciler.Instance){
		"nothing": func(*reconciler.Instance) {},
		"taken over": life(func(_ *reconciler.Instance, l *reconciler.Life) {
			l.ResumedAt, l.ReadyToldAt, l.LineAt, l.PostStartAt = last, last, last, last
		}),
		"all is well": life(func(_ *reconciler.Instance, l *reconciler.Life) {
			l.ReadyToldAt, l.HeardAt, l.LineAt, l.PostStartAt = last, last, last, last
			l.EnvFiles, l.Loaded = "a", "a"
			for k := range l.Probes {
				l.Probes[k] = reconciler.Probing{Run: 9, TakenAt: last, DoneAt: last, PassedAt: last, Count: 1}
			}
		}),
		"probes fail": life(func(_ *reconciler.Instance, l *reconciler.Life) {
			l.ReadyToldAt, l.LineAt, l.PostStartAt = last, last, last
			for k := range l.Probes {
				l.Probes[k] = reconciler.Probing{Run: 9, TakenAt: last, DoneAt: last, FailedAt: last, Count: 3, Failure: failure}
			}
		}),
		"probes are awaited": life(func(_ *reconciler.Instance, l *reconciler.Life) {
			l.ReadyToldAt, l.LineAt, l.PostStartAt = last, last, last
			for k := range l.Probes {
				l.Probes[k] = reconciler.Probing{Run: 9, TakenAt: last}
			}
		}),
		"the program is deaf": life(func(_ *reconciler.Instance, l *reconciler.Life) { l.ReadyToldAt, l.DeafAt = last, last }),
		"other files": life(func(_ *reconciler.Instance, l *reconciler.Life) {
			l.ReadyToldAt, l.LineAt, l.PostStartAt, l.EnvFiles, l.Loaded = last, last, last, "b", "b"
		}),
		"carries on": life(func(i *reconciler.Instance, l *reconciler.Life) {
			l.DetachedAt, l.ReadyToldAt, l.LineAt, l.PostStartAt = i.StartedAt, last, last, last
		}),
		"let go": life(func(_ *reconciler.Instance, l *reconciler.Life) { l.ReleaseTakenAt = dayAfter }),
		"could not be let go": life(func(_ *reconciler.Instance, l *reconciler.Life) {
			l.ReleaseTakenAt, l.ReleasedAt, l.ReleaseFailure = dayAfter.Add(-time.Second), dayAfter.Add(-time.Millisecond), failure
		}),
	}
	for hook := reconciler.HookPostStart; hook <= reconciler.HookReload; hook++ {
		taken := func(ended time.Time, f *reconciler.Failure) func(i *reconciler.Instance) {
			return life(func(i *reconciler.Instance, l *reconciler.Life) {
				l.Hook, l.HookRun, l.HookTakenAt, l.HookEndedAt, l.HookFailure = hook, 9, last, ended, f
				if hook == reconciler.HookPreStop {
					l.PreStopAt = i.StoppingAt
				}
			})
		}
		all[hook.String()+" runs"] = taken(time.Time{}, nil)
		all[hook.String()+" has ended"] = taken(last.Add(time.Millisecond), nil)
		all[hook.String()+" has failed"] = taken(last.Add(time.Millisecond), failure)
	}
	return all
}

// bonds are what may be known of others.
func bonds() map[string]*reconciler.Bonds {
	db := reconciler.Dependency{Name: "db", Declared: true}
	met := db
	met.StartedAt, met.ReadyAt = dayAfter.Add(-time.Hour), dayAfter.Add(-time.Minute)
	return map[string]*reconciler.Bonds{
		"nothing":        nil,
		"unmet":          {Dependencies: []reconciler.Dependency{db}, EnvFiles: "a", Files: "a", EnvFilesAt: dayAfter.Add(-time.Minute)},
		"met":            {Dependencies: []reconciler.Dependency{met}, EnvFiles: "a", Files: "a", EnvFilesAt: dayAfter.Add(-time.Minute)},
		"dependents end": {Dependencies: []reconciler.Dependency{met}, Dependents: []string{"app"}},
	}
}

// TestEveryCombinationOfLivesIsDecidedSoundly enumerates what can be known of a
// replica beyond its processes, at every stage and with every feature of a manifest.
func TestEveryCombinationOfLivesIsDecidedSoundly(t *testing.T) {
	combinations := 0
	for features := range 8 {
		ran := declaration(1, "web")
		ran.Spec = spec.Defaults()
		ran.Spec.Command = []string{"/bin/web"}
		full(&ran.Spec, features)
		wanted := wants(ran)
		for _, name := range []string{"nothing", "the same", "another process", "Never"} {
			want := wanted[name]
			circumstances := circumstances(want)
			for _, around := range []string{"nothing special", "stopped", "checked", "shutting down", "shutting down at once"} {
				for about, known := range bonds() {
					for run, base := range instances(0, ran, ago[2:3]) {
						for lived, life := range lifeFacts(dayAfter.Add(-ago[1])) {
							for init := range int32(2) {
								i := base
								if i.Init = init; i.StartTakenAt.IsZero() && init > 0 {
									continue
								}
								life(&i)
								f := reconciler.Facts{
									Name: "web", Generation: 1, DeclaredAt: begun, EditedAt: begun, Bonds: known, Replicas: []reconciler.Instance{i},
								}
								circumstances[around](&f)
								combinations++
								if all := sound(genuine, want, f, dayAfter); len(all) > 0 {
									t.Fatalf("%v\n  features %d; wanted: %s; %s; others: %s; %s; %s; init %d\n%s",
										all[0], features, name, around, about, run, lived, init, fmt.Sprintf("%+v", i.Life))
								}
							}
						}
					}
				}
			}
		}
	}
	t.Logf("%d combinations", combinations)
}
