package reconciler

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestAStartThatHangs(t *testing.T) {
	hung := func() *story { return tell(service()).taken(0) }
	tests := map[string]struct {
		story *story
		want  []string
	}{
		"is waited for as long as it is wanted": {hung().after(time.Hour), nil},
		"is left alone at first when its manifest is gone": {
			hung().declare(nil).after(4 * time.Second), nil,
		},
		"is killed when its manifest has been gone for a while": {
			hung().declare(nil).after(5 * time.Second), []string{"kill web-0"},
		},
		"is killed for another program": {
			hung().after(time.Hour).declare(service(nginx)), []string{"kill web-0"},
		},
		"is killed once": {
			hung().after(time.Hour).declare(nil).act(), nil,
		},
		"is killed at once when everything is": {
			hung().observe(Event{Kind: EventShutdownNow}), []string{"kill web-0"},
		},
		"gets its grace if it succeeds after the kill": {
			hung().after(time.Hour).declare(nil).act().at(0, Event{Kind: EventStarted, Pid: 4700}).act().after(6 * time.Second), nil,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, test.story.doing()); diff != "" {
				t.Errorf("deeds (-want +got):\n%s", diff)
			}
		})
	}
}
