package main

import (
	"testing"

	"svc.d/status"
)

func TestNamesMeanServicesAndReplicas(t *testing.T) {
	service := func(name string, replicas ...string) status.Service {
		s := status.Service{Metadata: status.Metadata{Name: name}}
		for i, r := range replicas {
			s.Status.ReplicaStatuses = append(s.Status.ReplicaStatuses, status.Replica{Name: r, Ordinal: int32(i)})
		}
		return s
	}
	services := []status.Service{service("web", "web-0", "web-1"), service("web-0", "web-0-0"), service("svc", "svc-0")}
	tests := map[string]struct {
		name    string
		service string // empty: an error
		ordinal int32
		err     string
	}{
		"a bare name is a service":                {"web", "web", -1, ""},
		"a bare name of a replica":                {"web-1", "web", 1, ""},
		"a service that is called like a replica": {"web-0", "web-0", -1, ""},
		"the plural":                                    {"services/web", "web", -1, ""},
		"the singular":                                  {"service/web", "web", -1, ""},
		"the short word":                                {"svc/web", "web", -1, ""},
		"what -o name prints":                           {"service.svc.d/web", "web", -1, ""},
		"the plural with the group":                     {"services.svc.d/web", "web", -1, ""},
		"a replica by its kind":                         {"replicas/web-1", "web", 1, ""},
		"a replica by the singular":                     {"replica/web-0", "web", 0, ""},
		"a replica as -o name prints it":                {"replica.svc.d/web-0-0", "web-0", 0, ""},
		"a service that is called like a kind":          {"svc", "svc", -1, ""},
		"a replica is no service":                       {"services/web-1", "", 0, `cannot find a service "web-1"; did you mean replicas/web-1?`},
		"a service is no replica":                       {"replicas/web", "", 0, `cannot find a replica "web": a replica is called NAME-N, as in replicas/web-0`},
		"a replica that is not there":                   {"replica/web-7", "", 0, `cannot find "replica/web-7": web has no replica 7; it has web-0, web-1`},
		"a replica of no service":                       {"replica/wbe-0", "", 0, "cannot find a service \"wbe\"; did you mean \"web\"? (`reconciler get` lists all 3)"},
		"a kind that is none":                           {"pods/web", "", 0, `cannot find "pods/web": write a name as services/NAME or replicas/NAME-N`},
		"a kind that has no such names":                 {"events/web", "", 0, `cannot find "events/web": write a name as services/NAME or replicas/NAME-N`},
		"a kind without a name":                         {"services/", "", 0, `cannot find "services/": write a name as services/NAME or replicas/NAME-N`},
		"an unknown name is shown as it was written":    {"svc/webb", "", 0, "cannot find a service \"svc/webb\"; did you mean \"web\"? (`reconciler get` lists all 3)"},
		"an ordinal that nobody would write is no such": {"web-01", "", 0, "cannot find a service \"web-01\"; did you mean \"web-0\"? (`reconciler get` lists all 3)"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := resolve(services, test.name)
			if test.service == "" {
				if err == nil || err.Error() != test.err {
					t.Errorf("got %v, want the error %q", err, test.err)
				}
				return
			}
			if err != nil || got.service.Metadata.Name != test.service || got.ordinal != test.ordinal {
				t.Errorf("got %+v, %v; want %s, ordinal %d", got, err, test.service, test.ordinal)
			}
		})
	}
}
