package spec

import "strings"

// Lengths of names as Kubernetes has them.
const (
	maxLabelName   = 63  // RFC 1123: one label of a host name
	maxLabelPrefix = 253 // RFC 1123: a whole host name
)

// isDNSLabel tells whether name is a DNS-1123 label.
func isDNSLabel(name string) bool {
	return len(name) <= maxLabelName && isDNSPart(name)
}

// isDNSPart is what Kubernetes asks of a part of a subdomain: it bounds the
// length of the whole and not of the parts.
func isDNSPart(part string) bool {
	for i := range len(part) {
		if c := part[i]; !isLowerAlnum(c) && (c != '-' || i == 0 || i == len(part)-1) {
			return false
		}
	}
	return part != ""
}

// isLabelKey tells whether key is a qualified name of Kubernetes: an optional
// DNS subdomain with a slash, and a name.
func isLabelKey(key string) bool {
	prefix, name, found := strings.Cut(key, "/")
	if !found {
		prefix, name = "", key
	} else if len(prefix) > maxLabelPrefix {
		return false
	} else {
		for part := range strings.SplitSeq(prefix, ".") {
			if !isDNSPart(part) {
				return false
			}
		}
	}
	return name != "" && isLabelValue(name)
}

// isLabelValue tells whether value may stand in a label; an empty one may.
func isLabelValue(value string) bool {
	if len(value) > maxLabelName {
		return false
	}
	for i := range len(value) {
		c := value[i]
		inner := i > 0 && i < len(value)-1
		if !isLowerAlnum(c) && (c < 'A' || c > 'Z') && (!inner || c != '-' && c != '_' && c != '.') {
			return false
		}
	}
	return true
}

func isLowerAlnum(c byte) bool { return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' }
