package spec

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// probeFields are the fields of a probe, whatever it is for.
var probeFields = object[Probe]{
	fields: []field[Probe]{
		{"exec", false, func(d *decoder, n *yaml.Node, p *Probe) { p.Exec = d.exec(n) }},
		{"httpGet", false, func(d *decoder, n *yaml.Node, p *Probe) {
			p.HTTPGet = &HTTPGetAction{Path: "/", Scheme: schemes[0]}
			readObject(d, n, &httpGetFields, p.HTTPGet)
		}},
		{"tcpSocket", false, func(d *decoder, n *yaml.Node, p *Probe) {
			p.TCPSocket = &TCPSocketAction{}
			readObject(d, n, &tcpSocketFields, p.TCPSocket)
		}},
		{"grpc", false, func(d *decoder, n *yaml.Node, p *Probe) {
			p.GRPC = &GRPCAction{}
			readObject(d, n, &grpcFields, p.GRPC)
		}},
		{"initialDelaySeconds", false, func(d *decoder, n *yaml.Node, p *Probe) { readWhole(d, n, secondsBounds, &p.InitialDelaySeconds) }},
		{"periodSeconds", false, func(d *decoder, n *yaml.Node, p *Probe) { readWhole(d, n, probeBounds, &p.PeriodSeconds) }},
		{"timeoutSeconds", false, func(d *decoder, n *yaml.Node, p *Probe) { readWhole(d, n, probeBounds, &p.TimeoutSeconds) }},
		{"successThreshold", false, func(d *decoder, n *yaml.Node, p *Probe) { readWhole(d, n, thresholdBounds, &p.SuccessThreshold) }},
		{"failureThreshold", false, func(d *decoder, n *yaml.Node, p *Probe) { readWhole(d, n, thresholdBounds, &p.FailureThreshold) }},
		{"terminationGracePeriodSeconds", false, func(d *decoder, n *yaml.Node, p *Probe) {
			p.TerminationGracePeriodSeconds = new(int64)
			readWhole(d, n, probeBounds, p.TerminationGracePeriodSeconds)
		}},
	},
	foreign: []hint{
		{"command", "it belongs under exec"},
		{"test", "did you mean \"exec\"? It holds a command"},
		{"http", "did you mean \"httpGet\"?"},
		{"https", "did you mean \"httpGet\"? It has a scheme"},
		{"tcp", "did you mean \"tcpSocket\"?"},
		{"interval", "did you mean \"periodSeconds\"?"},
		{"period", "did you mean \"periodSeconds\"?"},
		{"timeout", "did you mean \"timeoutSeconds\"?"},
		{"retries", "did you mean \"failureThreshold\"?"},
		{"threshold", "did you mean \"failureThreshold\"?"},
		{"start_period", "did you mean \"initialDelaySeconds\", or a startupProbe?"},
		{"initialDelay", "did you mean \"initialDelaySeconds\"?"},
	},
}

var execFields = object[ExecAction]{
	fields: []field[ExecAction]{
		{"command", true, func(d *decoder, n *yaml.Node, e *ExecAction) { e.Command = d.command(n) }},
	},
	foreign: []hint{{"args", "write all words into command"}},
}

var httpGetFields = object[HTTPGetAction]{
	fields: []field[HTTPGetAction]{
		{"path", false, func(d *decoder, n *yaml.Node, h *HTTPGetAction) { h.Path = d.urlPath(n) }},
		{"port", true, func(d *decoder, n *yaml.Node, h *HTTPGetAction) { h.Port = d.port(n) }},
		{"host", false, func(d *decoder, n *yaml.Node, h *HTTPGetAction) { h.Host = d.host(n) }},
		{"scheme", false, func(d *decoder, n *yaml.Node, h *HTTPGetAction) { h.Scheme = d.word(n, schemes) }},
		{"httpHeaders", false, func(d *decoder, n *yaml.Node, h *HTTPGetAction) { h.HTTPHeaders = d.headers(n) }},
	},
	foreign: []hint{
		{"url", "write host, port and path"},
		{"headers", "did you mean \"httpHeaders\"? It is a list of name and value"},
	},
}

var httpHeaderFields = object[HTTPHeader]{
	fields: []field[HTTPHeader]{
		{"name", true, func(d *decoder, n *yaml.Node, h *HTTPHeader) { h.Name = d.headerName(n) }},
		{"value", true, func(d *decoder, n *yaml.Node, h *HTTPHeader) { h.Value = d.oneLine(n) }},
	},
}

var tcpSocketFields = object[TCPSocketAction]{
	fields: []field[TCPSocketAction]{
		{"port", true, func(d *decoder, n *yaml.Node, t *TCPSocketAction) { t.Port = d.port(n) }},
		{"host", false, func(d *decoder, n *yaml.Node, t *TCPSocketAction) { t.Host = d.host(n) }},
	},
}

var grpcFields = object[GRPCAction]{
	fields: []field[GRPCAction]{
		{"port", true, func(d *decoder, n *yaml.Node, g *GRPCAction) { g.Port = d.port(n) }},
		{"service", false, func(d *decoder, n *yaml.Node, g *GRPCAction) { g.Service = d.oneLine(n) }},
	},
}

// exec reads a command.
func (d *decoder) exec(node *yaml.Node) *ExecAction {
	e := &ExecAction{}
	if node = resolve(node); node.Kind == yaml.SequenceNode {
		d.fail(node, "must be an object: write {command: [...]}")
		return e
	}
	readObject(d, node, &execFields, e)
	return e
}

// probe reads a probe of the kind that the decoder is in. The rules that hang on
// several fields are those of Kubernetes' validation.
func (d *decoder) probe(node *yaml.Node, readiness bool) *Probe {
	p := &Probe{PeriodSeconds: 10, TimeoutSeconds: 1, SuccessThreshold: 1, FailureThreshold: 3}
	before := len(d.result.Problems)
	readObject(d, node, &probeFields, p)
	if len(d.result.Problems) > before {
		return p
	}
	if ways := p.ways(); ways != 1 {
		what := "must have one of \"exec\", \"httpGet\", \"tcpSocket\" and \"grpc\""
		if ways > 1 {
			what = "must have only one of \"exec\", \"httpGet\", \"tcpSocket\" and \"grpc\""
		}
		d.fail(node, what)
	}
	node = resolve(node)
	at := func(name string) {
		d.enter(name)
		defer d.leave()
		d.fail(place(node, member(node, name)), map[string]string{
			"successThreshold":              "must be 1: only a readinessProbe can take more",
			"terminationGracePeriodSeconds": "is not for a readinessProbe: it ends nothing",
		}[name])
	}
	if !readiness && p.SuccessThreshold != 1 {
		at("successThreshold")
	}
	if readiness && p.TerminationGracePeriodSeconds != nil {
		at("terminationGracePeriodSeconds")
	}
	return p
}

// ways counts the ways to look that a probe has.
func (p *Probe) ways() int {
	n := 0
	for _, has := range []bool{p.Exec != nil, p.HTTPGet != nil, p.TCPSocket != nil, p.GRPC != nil} {
		if has {
			n++
		}
	}
	return n
}

// port reads a number, or a text with a reference.
func (d *decoder) port(node *yaml.Node) Port {
	node = resolve(node)
	if node.Kind == yaml.ScalarNode && (node.Tag == "!!int" || isText(node)) {
		if isPort(node.Value) {
			return Port(node.Value)
		}
		if isText(node) && strings.Contains(node.Value, "$(") && strings.IndexByte(node.Value, 0) < 0 {
			return Port(node.Value)
		}
	}
	message := "must be " + portBounds.String() + ", or a text with a variable such as \"$(PORT)\", not " + valueOf(node)
	if isText(node) && node.Value != "" {
		message += "; ports have no names here"
	}
	d.fail(node, message)
	return ""
}

func isPort(text string) bool {
	number, err := strconv.ParseInt(text, 10, 64)
	return err == nil && number >= portBounds.min && number <= portBounds.max && !padded(text) && text[0] != '+'
}

// MarshalJSON writes digits as a number and everything else as a string.
func (p Port) MarshalJSON() ([]byte, error) {
	if isPort(string(p)) {
		return []byte(p), nil
	}
	return json.Marshal(string(p))
}

// UnmarshalJSON reads a number or a string.
func (p *Port) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '"' {
		return json.Unmarshal(data, (*string)(p))
	}
	if !isPort(string(data)) {
		return fmt.Errorf("cannot read port %.20s: want %s", data, portBounds)
	}
	*p = Port(data)
	return nil
}

func (d *decoder) host(node *yaml.Node) string {
	host := d.oneLine(node)
	if strings.ContainsAny(host, " /") {
		d.must(node, "the name or address of a machine, without a scheme and a path")
	}
	return host
}

func (d *decoder) urlPath(node *yaml.Node) string {
	path := d.oneLine(node)
	if !strings.HasPrefix(path, "/") && !strings.HasPrefix(path, "$(") || strings.ContainsAny(path, " \t") {
		d.must(node, "a path that begins with \"/\", without blanks")
	}
	return path
}

// oneLine reads a text that stands in a line of a protocol.
func (d *decoder) oneLine(node *yaml.Node) string {
	text, ok := d.text(node)
	if ok && strings.ContainsAny(text, "\r\n") {
		d.fail(node, "must be one line")
	}
	return text
}

func (d *decoder) headers(node *yaml.Node) []HTTPHeader {
	items := d.list(node, headersExample)
	headers := make([]HTTPHeader, len(items))
	for i, item := range items {
		d.enterItem(i)
		readObject(d, item, &httpHeaderFields, &headers[i])
		d.leave()
	}
	return headers
}

// headerName reads a token of RFC 9110, 5.6.2.
func (d *decoder) headerName(node *yaml.Node) string {
	name, ok := d.text(node)
	valid := name != ""
	for i := range len(name) {
		c := name[i]
		valid = valid && (isLowerAlnum(c|0x20) || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0)
	}
	if ok && !valid {
		d.must(node, "the name of a header: letters, digits and \"-\"")
	}
	return name
}
