package spec

import (
	"path/filepath"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

func readWhole[T int32 | int64](d *decoder, node *yaml.Node, r bounds, to *T) {
	if number, ok := d.whole(node, r); ok {
		*to = T(number)
	}
}

func (d *decoder) name(node *yaml.Node) string {
	name, ok := d.text(node)
	if ok && !isDNSLabel(name) {
		d.must(node, "a DNS label: at most 63 of a-z, 0-9 and \"-\", with \"-\" neither first nor last")
	}
	return name
}

// filePath reads a path and makes a relative one start at the manifest.
func (d *decoder) filePath(node *yaml.Node) string {
	path, ok := d.text(node)
	switch {
	case !ok:
		return ""
	case path == "":
		d.fail(node, "must not be empty")
		return ""
	case filepath.IsAbs(path):
		return path // as it is: Clean would change the meaning of link/..
	case !utf8.ValidString(d.file):
		// It could be written nowhere, neither into a record nor into an answer.
		d.fail(node, "must be an absolute path: that of this file is not UTF-8")
		return ""
	default:
		return filepath.Join(filepath.Dir(d.file), path)
	}
}

// id reads a user or group.
func (d *decoder) id(node *yaml.Node) ID {
	node = resolve(node)
	number := node.Kind == yaml.ScalarNode && node.Tag == "!!int"
	if !number && (!isText(node) || !isAccountName(node.Value)) {
		d.must(node, "a name, or "+idBounds.String())
		return ""
	}
	id := ID(node.Value)
	if !number && !id.isNumber() {
		return id
	}
	value, err := strconv.ParseInt(node.Value, 10, 64)
	if err != nil || value < idBounds.min || value > idBounds.max || padded(node.Value) {
		d.must(node, "a name, or "+idBounds.String())
		return ""
	}
	return ID(strconv.FormatInt(value, 10))
}

// isAccountName tells whether name could stand in passwd(5) or come from a
// directory service, whose names hold more than useradd allows.
func isAccountName(name string) bool {
	return name != "" && name[0] != '-' && name[0] != '+' && !strings.ContainsAny(name, ":,/") &&
		!strings.ContainsFunc(name, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) })
}

func (d *decoder) umask(node *yaml.Node) Umask {
	if node.Kind == yaml.ScalarNode && (node.Tag == "!!int" || node.Tag == "!!str") {
		if mask, ok := parseUmask(node.Value); ok {
			return mask
		}
	}
	d.must(node, "octal digits from \"0000\" to \"0777\"")
	return 0
}

// word reads one of the allowed words.
func (d *decoder) word(node *yaml.Node, allowed []string) string {
	for _, word := range allowed {
		if isText(node) && node.Value == word {
			return word
		}
	}
	d.oneOf(node, allowed)
	return ""
}

// oneOf reports that node is none of the allowed words.
func (d *decoder) oneOf(node *yaml.Node, allowed []string) {
	what := quoteAll(allowed, "or")
	value := valueOf(node)
	message := "must be " + what + ", not " + value
	if node.Kind == yaml.ScalarNode {
		if meant := suggest(node.Value, allowed); meant != "" {
			message += "; did you mean \"" + meant + "\"?"
		}
	}
	d.fail(node, message)
}

func (d *decoder) backoff(node *yaml.Node, to *Backoff) {
	before := len(d.result.Problems)
	readObject(d, node, &backoffFields, to)
	if len(d.result.Problems) == before {
		d.spacing(node, to.InitialDelay, to.MaxDelay)
	}
}

// spacing checks the two delays of the back-off at node, of which one may be a
// default.
func (d *decoder) spacing(node *yaml.Node, initial, most Duration) {
	if initial <= most {
		return
	}
	told := func(name string, value Duration) string {
		if given := member(node, name); given == nil || isNull(given) {
			return name + " (" + value.String() + " by default)"
		}
		return name + " (" + value.String() + ")"
	}
	d.fail(node, told("initialDelay", initial)+" must not be above "+told("maxDelay", most))
}

func (d *decoder) duration(node *yaml.Node, to *Duration) {
	d.durationWithin(node, minDuration, maxDuration, to)
}

func (d *decoder) signal(node *yaml.Node, to *Signal) {
	if node.Kind == yaml.ScalarNode && (node.Tag == "!!str" || node.Tag == "!!int") {
		if signal, ok := parseSignal(node.Value); ok {
			*to = signal
			return
		}
	}
	message := "must be a signal such as \"SIGTERM\" or \"SIGRTMIN+3\", not " + valueOf(node)
	if isText(node) {
		word := strings.ToUpper(node.Value)
		if !strings.HasPrefix(word, "SIG") {
			word = "SIG" + word
		}
		if meant := suggest(word, allSignals()); meant != "" {
			message += "; did you mean \"" + meant + "\"?"
		}
	}
	d.fail(node, message)
}
