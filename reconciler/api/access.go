package api

import (
	"fmt"
	"net/http"
	"os/user"
	"slices"
	"strconv"
	"strings"

	"svc.d/spec"
	"svc.d/status"
)

// privileged reports whether somebody may do everything: root, the daemon's own user,
// and the members of the group that the configuration names.
func (s *Server) privileged(p peer) bool {
	if p.err != nil {
		return false
	}
	if p.uid == 0 || p.uid == s.uid {
		return true
	}
	gid, ok := groupNumber(s.accessGroup())
	return ok && gid != overflowGid && slices.Contains(p.groups, gid)
}

// overflowGid stands for every group that a user namespace does not map
// (user_namespaces(7)): it is nobody's.
const overflowGid = 65534

// accessGroup is the group that the configuration names now; empty is none.
func (s *Server) accessGroup() spec.ID {
	if s.config.AccessGroup == nil {
		return ""
	}
	return s.config.AccessGroup()
}

// groupNumber looks a group up, by each call: it may be made at any time.
func groupNumber(group spec.ID) (uint32, bool) {
	if group == "" {
		return 0, false
	}
	if n, ok := group.Number(); ok {
		return n, true
	}
	g, err := user.LookupGroup(string(group))
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseUint(g.Gid, 10, 32)
	return uint32(n), err == nil
}

// accessConditions tells of a group that lets nobody in.
func (s *Server) accessConditions() []status.Condition {
	g := s.accessGroup()
	gid, ok := groupNumber(g)
	if g == "" || ok && gid != overflowGid {
		return nil
	}
	c := status.Condition{Type: "AccessGroupUseless", Status: "True", Reason: "NoSuchGroup", LastTransitionTime: s.config.Daemon.StartedAt}
	why := "this machine has no group %s (access.group of the configuration): until it has,"
	if ok {
		c.Reason, why = "NobodysGroup", "the group %s (access.group of the configuration) stands for all that cannot be told apart, and lets nobody in:"
	}
	c.Message = fmt.Sprintf(why+" only root and the daemon's own user (uid %d) may do more than look", g, s.uid)
	return []status.Condition{c}
}

// reads reports whether a request is one that everybody may make: it changes nothing,
// and its answer can be redacted. The route tells: a service may be called log.
func reads(r *http.Request) bool {
	return (r.Method == http.MethodGet || r.Method == http.MethodHead) &&
		!strings.HasSuffix(r.Pattern, "/log") && !strings.HasPrefix(r.Pattern, "GET /debug/")
}

// admit lets everybody read, and those who may do more.
func (s *Server) admit(r *http.Request) *status.Failure {
	p := peerFrom(r.Context())
	switch {
	case p.err != nil:
		return status.NewFailure(status.FailureForbidden, p.err.Error())
	case p.crowded:
		return status.NewFailure(status.FailureTooManyRequests, "too many connections of those who may only look are open; try again later")
	case reads(r) || s.privileged(p):
		return nil
	}
	who := fmt.Sprintf("root and the daemon's own user (uid %d)", s.uid)
	if g := s.accessGroup(); g != "" {
		who = fmt.Sprintf("root, the daemon's own user (uid %d) and members of the group %s", s.uid, g)
		if _, ok := groupNumber(g); !ok {
			who += ", which does not exist,"
		}
	}
	return status.NewFailure(status.FailureForbidden, fmt.Sprintf("%s may only look: only %s may do this", p, who))
}

// sightOf is what who asks may see.
func (s *Server) sightOf(r *http.Request) sight {
	if s.privileged(peerFrom(r.Context())) {
		return everything
	}
	return redacted
}
