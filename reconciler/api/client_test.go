package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"svc.d/status"
)

// scripted is a daemon that answers each request with the next of its answers; a
// nil one is a daemon that is not there.
type scripted struct {
	t       *testing.T
	answers []scriptedAnswer
	asked   []string
	over    context.CancelFunc
}

type scriptedAnswer struct {
	code int
	text string
}

func (s *scripted) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.asked = append(s.asked, strings.TrimPrefix(r.URL.String(), "/apis/svc.d/v1/"))
	if len(s.answers) == 0 {
		s.over()
		<-r.Context().Done()
		return
	}
	next := s.answers[0]
	s.answers = s.answers[1:]
	if next.code == 0 {
		panic(http.ErrAbortHandler)
	}
	w.WriteHeader(next.code)
	fmt.Fprint(w, next.text)
}

// followed runs a follower against the answers until they are used up, and returns
// what was told.
func followed(t *testing.T, collection string, answers ...scriptedAnswer) (told []string, asked []string, err error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	script := &scripted{t: t, answers: answers, over: cancel}
	dir := t.TempDir()
	listener, err := net.Listen("unix", filepath.Join(dir, SocketName))
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(script)
	server.Listener = listener
	server.Start()
	defer server.Close()
	f, err := NewClient(dir).Follow(collection, Selection{Labels: "a=b"}, &Objects{
		Metadata: status.ListMeta{ResourceVersion: "10"},
		Items:    []json.RawMessage{json.RawMessage(jsonOf("web", 7)), json.RawMessage(jsonOf("old", 3))},
	})
	if err != nil {
		t.Fatal(err)
	}
	f.Lost = func(err error) {
		var unreachable *UnreachableError
		told = append(told, fmt.Sprintf("lost, unreachable: %t", errors.As(err, &unreachable)))
	}
	err = f.Run(ctx, func(e status.WatchEvent) error {
		m, err := metadataIn(e.Object)
		told = append(told, fmt.Sprintf("%s %s %s", e.Type, m.Name, m.ResourceVersion))
		if m.Name == "enough" {
			return errors.New("enough")
		}
		return err
	})
	return told, script.asked, err
}

func jsonOf(name string, revision int) string {
	return fmt.Sprintf(`{"metadata":{"name":%q,"resourceVersion":"%d"}}`, name, revision)
}

func watchLine(kind, name string, revision int) string {
	return fmt.Sprintf(`{"type":%q,"object":%s}`+"\n", kind, jsonOf(name, revision))
}

func TestAFollowerOutlivesTheDaemon(t *testing.T) {
	const since = "services?allowWatchBookmarks=true&labelSelector=a%3Db&resourceVersion="
	const expired = `{"kind":"Status","reason":"Expired","message":"too old","code":410}`
	list := func(items ...string) scriptedAnswer {
		return scriptedAnswer{200, `{"metadata":{"resourceVersion":"30"},"items":[` + strings.Join(items, ",") + `]}`}
	}
	tests := map[string]struct {
		collection string
		answers    []scriptedAnswer
		told       []string
		asked      []string
		err        string
	}{
		"a stream that ends is asked for anew where it ended": {
			"services",
			[]scriptedAnswer{{200, watchLine("MODIFIED", "web", 11) + watchLine("BOOKMARK", "", 15)}, {200, watchLine("DELETED", "web", 16)}},
			[]string{"MODIFIED web 11", "DELETED web 16"},
			[]string{since + "10&watch=true", since + "15&watch=true", since + "16&watch=true"},
			"context canceled",
		},
		"a line that is cut off is told whole": {
			"services", []scriptedAnswer{{200, watchLine("ADDED", "new", 11) + `{"type":"ADDED","obj`}},
			[]string{"ADDED new 11"}, []string{since + "10&watch=true", since + "11&watch=true"}, "context canceled",
		},
		"a daemon that is away is waited for": {
			"services", []scriptedAnswer{{}, {503, `{"kind":"Status","reason":"ServiceUnavailable","message":"ending","code":503}`}, {200, watchLine("ADDED", "new", 11)}},
			[]string{"lost, unreachable: true", "ADDED new 11"},
			[]string{since + "10&watch=true", since + "10&watch=true", since + "10&watch=true", since + "11&watch=true"}, "context canceled",
		},
		"a revision that is too old is made up for by a list": {
			"services", []scriptedAnswer{{410, expired}, list(jsonOf("web", 21), jsonOf("new", 22))},
			[]string{"DELETED old 3", "MODIFIED web 21", "ADDED new 22"},
			[]string{since + "10&watch=true", "services?labelSelector=a%3Db", since + "30&watch=true"}, "context canceled",
		},
		"an expiry in the middle too": {
			"services", []scriptedAnswer{{200, watchLine("MODIFIED", "web", 11) + `{"type":"ERROR","object":` + expired + `}`}, list(jsonOf("web", 11), jsonOf("old", 3))},
			[]string{"MODIFIED web 11"},
			[]string{since + "10&watch=true", "services?labelSelector=a%3Db", since + "30&watch=true"}, "context canceled",
		},
		"events that fall out are not told": {
			"events", []scriptedAnswer{{410, expired}, list(jsonOf("a", 9), jsonOf("b", 12))},
			[]string{"ADDED b 12"},
			[]string{"events" + since[8:] + "10&watch=true", "events?labelSelector=a%3Db", "events" + since[8:] + "30&watch=true"}, "context canceled",
		},
		"a refusal ends it": {
			"services", []scriptedAnswer{{403, `{"kind":"Status","reason":"Forbidden","message":"you may not","code":403}`}},
			nil, []string{since + "10&watch=true"}, "you may not",
		},
		"the caller ends it": {
			"services", []scriptedAnswer{{200, watchLine("ADDED", "enough", 11) + watchLine("ADDED", "more", 12)}},
			[]string{"ADDED enough 11"}, []string{since + "10&watch=true"}, "enough",
		},
		"a daemon that knows no watch is told": {
			"services", []scriptedAnswer{list()},
			nil, []string{since + "10&watch=true"},
			"cannot watch: the daemon does not answer as it should; if it is of an earlier version, have it load this one with SIGHUP",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			told, asked, err := followed(t, test.collection, test.answers...)
			if diff := cmp.Diff(test.told, told); diff != "" {
				t.Errorf("told (-want +got)\n%s", diff)
			}
			if diff := cmp.Diff(test.asked, asked); diff != "" {
				t.Errorf("asked (-want +got)\n%s", diff)
			}
			if err == nil || err.Error() != test.err {
				t.Errorf("ended with %v, want %s", err, test.err)
			}
		})
	}
}
