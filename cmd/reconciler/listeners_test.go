package main

import (
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"svc.d/status"
)

// TestWhoListensIsFound has this very process listen, as a replica and as a stranger.
func TestWhoListensIsFound(t *testing.T) {
	addresses := []string{"127.0.0.1:0"}
	if probe, err := net.Listen("tcp", "[::1]:0"); err == nil { // not every machine has IPv6
		probe.Close()
		addresses = append(addresses, "[::1]:0")
	}
	ours := []status.Service{{Status: status.ServiceStatus{ReplicaStatuses: []status.Replica{{Name: "web-0", Pid: int32(os.Getppid())}}}}}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Base(self)
	bound, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer bound.Close()
	at := netip.MustParseAddrPort(bound.LocalAddr().String())
	want := []status.Listener{{Port: int(at.Port()), Address: at.String(), UDP: true, Pid: int32(os.Getpid()), Program: program[:min(len(program), 15)]}}
	if diff := cmp.Diff(want, listeners([]int{int(at.Port())}, nil)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	for _, address := range addresses {
		listener, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		at := listener.Addr().String()
		port := int(netip.MustParseAddrPort(at).Port())
		for replica, services := range map[string][]status.Service{"web-0": ours, "": nil} {
			want := []status.Listener{{Port: port, Address: at, Pid: int32(os.Getpid()), Program: program[:min(len(program), 15)], Replica: replica}}
			if diff := cmp.Diff(want, listeners([]int{port}, services)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		}
		if got := listeners([]int{1}, nil); got != nil {
			t.Errorf("%v listen on port 1", got)
		}
	}
}

func TestAGroupIsFoundBelowAnother(t *testing.T) {
	tests := map[string]struct {
		path, group string
		want        bool
	}{
		"the same":                      {"/reconciler/web-0", "/reconciler/web-0", true},
		"below it":                      {"/reconciler/web-0/hook", "/reconciler/web-0", true},
		"beside it":                     {"/reconciler/web-01", "/reconciler/web-0", false},
		"given from the file system on": {"/reconciler/web-0", "/sys/fs/cgroup/reconciler/web-0", true},
		"none":                          {"", "/reconciler/web-0", false},
		"the root":                      {"/", "/reconciler/web-0", false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := inGroup(test.path, test.group); got != test.want {
				t.Errorf("got %v", got)
			}
		})
	}
}
