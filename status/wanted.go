package status

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// wanted is what Why reads of a manifest.
type wanted struct {
	Replicas      int32            `json:"replicas"`
	Command       []string         `json:"command"`
	Args          []string         `json:"args"`
	Env           []wantedVariable `json:"env"`
	RestartPolicy string           `json:"restartPolicy"`
	DependsOn     []wantedService  `json:"dependsOn"`
	ReadyLogLine  string           `json:"readyLogLine"`
	Startup       *wantedProbe     `json:"startupProbe"`
	Readiness     *wantedProbe     `json:"readinessProbe"`
	Liveness      *wantedProbe     `json:"livenessProbe"`
}

type wantedVariable struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type wantedService struct {
	Name      string `json:"name"`
	Condition string `json:"condition"`
}

type wantedProbe struct {
	HTTPGet          *wantedPort `json:"httpGet"`
	TCPSocket        *wantedPort `json:"tcpSocket"`
	GRPC             *wantedPort `json:"grpc"`
	PeriodSeconds    int32       `json:"periodSeconds"`
	SuccessThreshold int32       `json:"successThreshold"`
}

type wantedPort struct {
	Port json.RawMessage `json:"port"` // a number, or a text with $(NAME)
}

// want reads the manifest of a service. What cannot be read is as if it were not
// there: another version of the daemon may have written it.
func (s *Service) want() *wanted {
	w := new(wanted)
	if len(s.Spec) > 0 {
		_ = json.Unmarshal(s.Spec, w)
	}
	return w
}

// sentence is what is wanted, in a line.
func (s *Service) sentence() string {
	if len(s.Spec) == 0 {
		return "nothing: no manifest declares it any more"
	}
	w := s.want()
	text := fmt.Sprintf("%s of `%s`, restartPolicy %s", plural(int(w.Replicas), "replica"), w.shell(), w.RestartPolicy)
	if s.Status.File != "" {
		text += " (" + s.file() + ")"
	}
	return text
}

// maxCommand is how much of a command line is shown.
const maxCommand = 60

// shell is the command line as one would type it.
func (w *wanted) shell() string {
	var words []string
	for _, word := range append(append([]string{}, w.Command...), w.Args...) {
		if word == "" || strings.ContainsAny(word, " \t\n\"'\\$`*?;&|<>(){}~#") {
			word = "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
		}
		words = append(words, word)
	}
	return cut(strings.ReplaceAll(strings.Join(words, " "), "\n", " "), maxCommand)
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	if strings.HasSuffix(what, "s") {
		what += "e"
	}
	return strconv.Itoa(n) + " " + what + "s"
}

// probe is the probe that a reason is about; nil is none.
func (w *wanted) probe(reason string) *wantedProbe {
	switch reason {
	case "Unready":
		return w.Readiness
	case "NotStartedUp", "StartupProbeFailed":
		return w.Startup
	case "Unhealthy":
		return w.Liveness
	default:
		return nil
	}
}
