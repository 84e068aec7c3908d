package spec

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Quantity is a number of bytes, written as Kubernetes writes quantities:
// "10Mi" is 10×1024×1024, "10M" is 10×1000×1000.
type Quantity int64

// quantityUnits are the suffixes of a Quantity. Kubernetes' others are left
// out: m is thousandths of a byte, Pi and Ei are beyond what a disk holds, and
// exponents (1e6) nobody writes for bytes.
var quantityUnits = []struct {
	suffix string
	bytes  int64
}{
	{"k", 1e3}, {"M", 1e6}, {"G", 1e9}, {"T", 1e12},
	{"Ki", 1 << 10}, {"Mi", 1 << 20}, {"Gi", 1 << 30}, {"Ti", 1 << 40},
}

// quantityPattern is what parseQuantity takes, as a regular expression.
const quantityPattern = "^(0|[1-9][0-9]*)(\\.[0-9]+)?([kMGT]|[KMGT]i)?$"

// maxQuantityLength is far more than a Quantity needs; it bounds the arithmetic
// with fractions.
const maxQuantityLength = 64

var (
	errQuantity = errors.New("want a number of bytes such as 10Mi")
	errNotWhole = errors.New("it is not a whole number of bytes")
)

// String returns the quantity in the unit that makes its number the smallest.
func (q Quantity) String() string {
	number, suffix := int64(q), ""
	for _, unit := range quantityUnits {
		if n := int64(q) / unit.bytes; int64(q)%unit.bytes == 0 && n < number {
			number, suffix = n, unit.suffix
		}
	}
	return strconv.FormatInt(number, 10) + suffix
}

// MarshalText returns what String returns.
func (q Quantity) MarshalText() ([]byte, error) { return []byte(q.String()), nil }

// UnmarshalText reads a quantity of Kubernetes that is a whole number of bytes.
func (q *Quantity) UnmarshalText(text []byte) error {
	parsed, err := parseQuantity(string(text))
	if err != nil {
		return fmt.Errorf("cannot read quantity %s: %w", quote(string(text)), err)
	}
	*q = parsed
	return nil
}

// parseQuantity reads a decimal number with or without a unit. It takes no
// number that apimachinery's resource.Quantity reads otherwise, and unlike that
// it rounds nothing.
func parseQuantity(text string) (Quantity, error) {
	number, suffix := cutQuantity(text)
	unit := int64(0)
	if suffix == "" {
		unit = 1
	}
	for _, u := range quantityUnits {
		if u.suffix == suffix {
			unit = u.bytes
		}
	}
	whole, fraction, dotted := strings.Cut(number, ".")
	if unit == 0 || len(text) > maxQuantityLength || !isDigits(whole) || padded(whole) || dotted && !isDigits(fraction) {
		return 0, errQuantity
	}
	if !dotted {
		n, err := strconv.ParseInt(whole, 10, 64)
		if err != nil || n > math.MaxInt64/unit {
			return 0, errQuantity
		}
		return Quantity(n * unit), nil
	}
	exact, ok := new(big.Rat).SetString(number)
	if !ok {
		return 0, errQuantity
	}
	exact.Mul(exact, new(big.Rat).SetInt64(unit))
	switch {
	case !exact.IsInt():
		return 0, errNotWhole
	case !exact.Num().IsInt64():
		return 0, errQuantity
	}
	return Quantity(exact.Num().Int64()), nil
}

// cutQuantity parts the number from what follows it.
func cutQuantity(text string) (number, suffix string) {
	end := len(text) - len(strings.TrimLeft(text, "0123456789."))
	return text[:end], text[end:]
}

func isDigits(text string) bool { return text != "" && strings.Trim(text, "0123456789") == "" }

// meantQuantity returns what text probably means, or "": people write 10MB,
// 10mb, 10m, 10MiB and "10 Mi".
func meantQuantity(text string) string {
	number, suffix := cutQuantity(strings.TrimSpace(text))
	suffix = strings.TrimSuffix(strings.ToLower(strings.TrimSpace(suffix)), "b")
	if suffix == "" {
		return number
	}
	for _, unit := range quantityUnits {
		if strings.EqualFold(unit.suffix, suffix) {
			return number + unit.suffix
		}
	}
	return ""
}

// quantityBounds are the quantities that a field may take, both ends included.
type quantityBounds struct{ min, max Quantity }

func (b quantityBounds) hold(q Quantity) bool { return q >= b.min && q <= b.max }

// String says it for a message.
func (b quantityBounds) String() string {
	return "a number of bytes from " + b.min.String() + " to " + b.max.String() +
		" such as \"10Mi\", \"500M\" or 10000000 (the units are k, M, G, T, Ki, Mi, Gi and Ti)"
}

func (b quantityBounds) schema() node {
	return node{"anyOf": []node{
		{"type": "string", "pattern": quantityPattern},
		{"type": "integer", "minimum": int64(b.min), "maximum": int64(b.max)},
	}}
}

// quantity reads a number of bytes: text with a unit, or a whole number.
func (d *decoder) quantity(node *yaml.Node, b quantityBounds, to *Quantity) {
	node = resolve(node)
	if !isText(node) && (node.Kind != yaml.ScalarNode || node.Tag != "!!int") {
		d.must(node, b.String())
		return
	}
	parsed, err := parseQuantity(node.Value)
	if err == nil && b.hold(parsed) {
		*to = parsed
		return
	}
	message := "must be " + b.String() + ", not " + valueOf(node)
	if errors.Is(err, errNotWhole) {
		message += ": " + errNotWhole.Error()
	} else if meant := meantQuantity(node.Value); err != nil && meant != "" {
		if parsed, err := parseQuantity(meant); err == nil && b.hold(parsed) {
			message += "; did you mean \"" + meant + "\"?"
		}
	}
	d.fail(node, message)
}
