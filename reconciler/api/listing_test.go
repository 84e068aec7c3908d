package api

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"

	"svc.d/status"
)

// names are those of the objects of a list.
func namesIn(t *testing.T, text string) (names []string, revision string) {
	t.Helper()
	var list status.ServiceList
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	for _, item := range list.Items {
		names = append(names, item.Metadata.Name+" "+string(item.Status.Phase))
	}
	return names, list.Metadata.ResourceVersion
}

func TestAListAsksTheEngineForNoMoreThanIsNew(t *testing.T) {
	e := newTown()
	for _, name := range []string{"b", "d"} {
		e.set(name, phase(""))
	}
	server := testServer(t, Config{Engine: e})
	for _, step := range []struct {
		when string
		do   func()
		want []string
		told int // services that the engine reported on
	}{
		{"at first", func() {}, []string{"b ", "d "}, 2},
		{"when nothing has changed", func() {}, []string{"b ", "d "}, 0},
		{"when one has changed", func() { e.set("d", phase(status.PhaseFailed)) }, []string{"b ", "d Failed"}, 1},
		{"when some have come", func() { e.set("a", phase("")); e.set("c", phase("")); e.set("e", phase("")) }, []string{"a ", "b ", "c ", "d Failed", "e "}, 3},
		{"when the first and the last are gone", func() { e.remove("a"); e.remove("e") }, []string{"b ", "c ", "d Failed"}, 0},
		{"when one is declared again", func() { e.remove("c"); e.set("c", phase(status.PhasePending)) }, []string{"b ", "c Pending", "d Failed"}, 1},
		{"when the past is forgotten", func() { e.forget() }, []string{"b ", "c Pending", "d Failed"}, 3},
	} {
		step.do()
		before := e.told.Load()
		_, text := fetch(t, server, "services", "")
		names, revision := namesIn(t, text)
		if diff := cmp.Diff(step.want, names); diff != "" {
			t.Errorf("%s (-want +got)\n%s", step.when, diff)
		}
		if told := int(e.told.Load() - before); told != step.told {
			t.Errorf("%s the engine reports on %d services, not %d", step.when, told, step.told)
		}
		if now := version(e.now()); revision != now {
			t.Errorf("%s the list is of revision %s, not %s", step.when, revision, now)
		}
	}
}

func TestWhoAcceptsATableGetsRows(t *testing.T) {
	const table = "application/json;as=Table;v=v1;g=meta.k8s.io"
	e := newTown()
	e.set("web", func(s *status.Service) { running(7)(s); labelled("front")(s) })
	server := testServer(t, Config{Engine: e})
	for name, test := range map[string]struct {
		path, accept string
		code         int
		kind         string
		cells        []string // of the only row
		object       string   // the kind of what the row has
		columns      int      // that are always shown
	}{
		"a list of services, as kubectl asks": {"services", table + ",application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json", 200, "Table",
			[]string{"web", "0/0", "Unknown", "0", "<none>", "7", "<none>", "<none>", "<none>"}, "PartialObjectMetadata", 5},
		"a list of replicas":                  {"replicas", table, 200, "Table", []string{"web-0", "0/1", "Running", "0", "<none>", "7", "<none>", "<none>"}, "PartialObjectMetadata", 5},
		"one service":                         {"services/web", table, 200, "Table", []string{"web", "0/0", "Unknown", "0", "<none>", "7", "<none>", "<none>", "<none>"}, "PartialObjectMetadata", 5},
		"one replica, as a whole":             {"replicas/web-0?includeObject=Object", table, 200, "Table", []string{"web-0", "0/1", "Running", "0", "<none>", "7", "<none>", "<none>"}, "Replica", 5},
		"rows without objects":                {"services?includeObject=None", table, 200, "Table", []string{"web", "0/0", "Unknown", "0", "<none>", "7", "<none>", "<none>", "<none>"}, "", 5},
		"rows with whole objects":             {"services?includeObject=Object", table, 200, "Table", []string{"web", "0/0", "Unknown", "0", "<none>", "7", "<none>", "<none>", "<none>"}, "Service", 5},
		"none that a selector has":            {"services?labelSelector=tier=back", table, 200, "Table", nil, "", 5},
		"objects, when they are first":        {"services", "application/json, " + table, 200, "ServiceList", nil, "", 0},
		"objects, without a word":             {"services", "", 200, "ServiceList", nil, "", 0},
		"a version of tables that nobody has": {"services", "application/json;as=Table;v=v9;g=meta.k8s.io", 200, "ServiceList", nil, "", 0},
		"nonsense":                            {"services", ";;=,", 200, "ServiceList", nil, "", 0},
		"a part that there is not":            {"services?includeObject=Half", table, 400, "Status", nil, "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			response, text := fetch(t, server, test.path, test.accept)
			var got struct {
				Kind    string          `json:"kind"`
				Columns []status.Column `json:"columnDefinitions"`
				Rows    []struct {
					Cells  []string `json:"cells"`
					Object struct {
						Kind     string          `json:"kind"`
						Metadata status.Metadata `json:"metadata"`
					} `json:"object"`
				} `json:"rows"`
				Metadata status.ListMeta `json:"metadata"`
			}
			if err := json.Unmarshal([]byte(text), &got); err != nil {
				t.Fatalf("%v: %s", err, text)
			}
			if response.StatusCode != test.code || got.Kind != test.kind {
				t.Fatalf("%d %s, not %d %s: %s", response.StatusCode, got.Kind, test.code, test.kind, text)
			}
			usual := 0
			for _, c := range got.Columns {
				if c.Priority == 0 {
					usual++
				}
			}
			if usual != test.columns {
				t.Errorf("%d columns are always shown, not %d: %s", usual, test.columns, text)
			}
			if test.cells == nil {
				if len(got.Rows) > 0 {
					t.Errorf("there are rows: %s", text)
				}
				return
			}
			if len(got.Rows) != 1 || len(got.Columns) != len(test.cells) || got.Metadata.ResourceVersion == "" {
				t.Fatalf("not one row of %d columns: %s", len(test.cells), text)
			}
			if diff := cmp.Diff(test.cells, got.Rows[0].Cells); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if kind := got.Rows[0].Object.Kind; kind != test.object || kind != "" && got.Rows[0].Object.Metadata.Labels["tier"] != "front" {
				t.Errorf("the row has %s: %s", kind, text)
			}
		})
	}
}

func TestWhoAcceptsTextGetsWhatPeopleSee(t *testing.T) {
	e := newTown()
	e.set("web", func(s *status.Service) { running(7)(s); labelled("front")(s) })
	server := testServer(t, Config{Engine: e})
	for path, want := range map[string]string{
		"services":                         "NAME   READY   STATUS    RESTARTS   AGE\nweb    0/0     Unknown   0          <none>\n",
		"replicas":                         "NAME    READY   STATUS    RESTARTS   AGE\nweb-0   0/1     Running   0          <none>\n",
		"replicas/web-0":                   "NAME    READY   STATUS    RESTARTS   AGE\nweb-0   0/1     Running   0          <none>\n",
		"services?labelSelector=tier=back": "",
	} {
		response, text := fetch(t, server, path, "text/plain, application/json")
		if kind := response.Header.Get("Content-Type"); text != want || kind != "text/plain; charset=utf-8" {
			t.Errorf("%s is %s:\n%s", path, kind, text)
		}
	}
}

// fetch asks a server, with an Accept header unless it is empty.
func fetch(t *testing.T, server *httptest.Server, path, accept string) (*http.Response, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+root+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if accept != "" {
		request.Header.Set("Accept", accept)
	}
	response, err := server.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(text)
}
