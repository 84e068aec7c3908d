// Package api serves the engine's state as HTTP and JSON on a Unix socket, and
// has the client for it. Shapes and paths are Kubernetes' own:
//
//	GET  /apis/svc.d/v1/services, replicas, events    ?watch=true&resourceVersion=5&labelSelector=a%3Db&fieldSelector=...
//	GET  /apis/svc.d/v1/services/NAME, replicas/NAME-N, events/NAME
//	GET  /apis/svc.d/v1/services/NAME/log             ?follow=true&tailLines=10&ordinal=0; also of a replica
//	POST /apis/svc.d/v1/services/NAME/restart         {"ordinal": 0}; likewise reload and kill {"signal": "HUP"}; also of a replica
//	POST /apis/svc.d/v1/services/NAME/stop            {"for": "10m"} or {"until": "2026-01-02T15:04:05Z"}
//	POST /apis/svc.d/v1/services/NAME/start
//	POST /apis/svc.d/v1/replicas/NAME-N/exec          what a command beside it needs
//	GET  /apis/svc.d/v1/daemon, config
//	POST /apis/svc.d/v1/prune
//	GET  /version
//	GET  /livez, /healthz, /readyz              ?verbose: the process answers, the loop does, it does its work
//	GET  /apis, /apis/svc.d, /apis/svc.d/v1     what there is, as Kubernetes' clients ask
//	GET  /openapi/v3, /openapi/v3/apis/svc.d/v1
//	GET  /debug/pprof/heap, allocs, goroutine   with --pprof
//
// A POST is answered by the service as it is right after. An error is answered
// by a status.Failure. A log is plain text, and takes the parameters that Kubernetes
// has for one; what ends without the last chunk was cut off.
//
// Everybody on the machine may look, and sees no values of variables; root, the daemon's
// own user and a group that the configuration names do the rest (see access.go).
//
// Watches of services and replicas share one feed (feed.go), which lives only while
// somebody watches: it asks the engine what has changed, renders that once, and
// compares it with what was told last.
//
// Nothing that a client does can hold up the engine: every question to it has a
// deadline and is answered in full before a byte is sent, and connections,
// bodies and times are limited. A log is sent as long as its client reads.
package api
