package reconciler

import (
	"strings"
	"testing"

	"github.com/go-logr/logr/funcr"
)

func TestAHookThatEndsWithTheMainProcessIsNoFailureInTheLog(t *testing.T) {
	for reason, want := range map[Reason]string{
		ReasonHookFailed: `"level"=0 "msg"="Hook failed"`, ReasonMainEnded: `"level"=1 "msg"="Hook was ended with the main process"`,
	} {
		var lines []string
		l := NewLoop(Config{Log: funcr.New(func(_, line string) { lines = append(lines, line) }, funcr.Options{Verbosity: 1})})
		s := tell(service(reloads, reloadsByExec)).run(0).hook(0, HookReload)
		before := s.facts.Replicas[0]
		e := Event{Kind: EventHookEnded, Replica: before.ID, Run: s.runs, At: s.now, Failure: &Failure{Reason: reason, Message: "cannot run reload.exec"}}
		after := Observe(before, e)
		l.logLife(&before, &after, e)
		if len(lines) != 1 || !strings.Contains(lines[0], want) {
			t.Errorf("%s is logged as %q, want %q", reason, lines, want)
		}
	}
}
