package spec

// Probe looks whether a process does its work. It has exactly one way to look.
// Fields, defaults and meaning are those of core/v1 Probe; all times are in
// seconds.
type Probe struct {
	Exec      *ExecAction      `json:"exec,omitempty"`
	HTTPGet   *HTTPGetAction   `json:"httpGet,omitempty"`
	TCPSocket *TCPSocketAction `json:"tcpSocket,omitempty"`
	GRPC      *GRPCAction      `json:"grpc,omitempty"`

	// InitialDelaySeconds is the time from the start to the first probe; 0 is none.
	InitialDelaySeconds int32 `json:"initialDelaySeconds"`
	// PeriodSeconds is the time between two probes, from 1.
	PeriodSeconds int32 `json:"periodSeconds"`
	// TimeoutSeconds bounds one probe, from 1.
	TimeoutSeconds int32 `json:"timeoutSeconds"`
	// SuccessThreshold is how many successes in a row count as one, from 1; it is
	// 1 for startup and liveness.
	SuccessThreshold int32 `json:"successThreshold"`
	// FailureThreshold is how many failures in a row count as one, from 1.
	FailureThreshold int32 `json:"failureThreshold"`
	// TerminationGracePeriodSeconds is the grace of a process that is ended for a
	// failure of this probe; nil is the service's. Not for readiness.
	TerminationGracePeriodSeconds *int64 `json:"terminationGracePeriodSeconds,omitempty"`
}

// ExecAction runs a command without a shell, in the environment of the service.
// Exit code 0 is success. $(VAR) expands.
type ExecAction struct {
	Command []string `json:"command"`
}

// HTTPGetAction asks with GET. Every status from 200 to 399 is success. $(VAR)
// expands in all texts.
type HTTPGetAction struct {
	// Path begins with a slash; it may hold a query.
	Path string `json:"path"`
	Port Port   `json:"port"`
	// Host is a name or address to connect to; empty is 127.0.0.1.
	Host string `json:"host,omitempty"`
	// Scheme is HTTP or HTTPS. The certificate is not verified, as by the kubelet.
	Scheme      string       `json:"scheme"`
	HTTPHeaders []HTTPHeader `json:"httpHeaders,omitempty"`
}

// HTTPHeader is one line of a request's header.
type HTTPHeader struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// TCPSocketAction connects. A connection that comes about is success.
type TCPSocketAction struct {
	Port Port `json:"port"`
	// Host is a name or address; empty is 127.0.0.1.
	Host string `json:"host,omitempty"`
}

// GRPCAction asks the standard health service (grpc.health.v1.Health/Check)
// without TLS; SERVING is success.
type GRPCAction struct {
	Port Port `json:"port"`
	// Service is the name in the request; empty asks for the whole server.
	Service string `json:"service,omitempty"`
}

// Port is a number from 1 to 65535, or a text with $(VAR) that becomes one.
type Port string
