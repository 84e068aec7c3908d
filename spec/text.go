package spec

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// String returns the duration as a Go duration without parts that are zero at
// its end: "1m", not "1m0s".
func (d Duration) String() string {
	text := time.Duration(d).String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// MarshalText returns what String returns.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads a Go duration.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("cannot read duration %q: want a Go duration such as \"10s\"", text)
	}
	*d = Duration(parsed)
	return nil
}

// String returns the mask as four octal digits.
func (u Umask) String() string { return fmt.Sprintf("%04o", uint32(u)) }

// MarshalText returns what String returns.
func (u Umask) MarshalText() ([]byte, error) { return []byte(u.String()), nil }

// UnmarshalText reads octal digits.
func (u *Umask) UnmarshalText(text []byte) error {
	parsed, ok := parseUmask(string(text))
	if !ok {
		return fmt.Errorf("cannot read umask %q: want octal digits from 0000 to 0777", text)
	}
	*u = parsed
	return nil
}

// parseUmask takes the digits as octal however they are written: 22, 022,
// 0022 and 0o22 are one mask. Nobody writes a umask in decimal.
func parseUmask(text string) (Umask, bool) {
	parsed, err := strconv.ParseUint(strings.TrimPrefix(text, "0o"), 8, 32)
	return Umask(parsed), err == nil && parsed <= maxUmask
}

// MarshalJSON writes digits as a number and everything else as a string.
func (id ID) MarshalJSON() ([]byte, error) {
	if id.isNumber() {
		return []byte(id), nil
	}
	return json.Marshal(string(id))
}

// UnmarshalJSON reads a number or a string.
func (id *ID) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '"' {
		return json.Unmarshal(data, (*string)(id))
	}
	number, err := strconv.ParseUint(string(data), 10, 32)
	if err != nil {
		return fmt.Errorf("cannot read user or group %s: want a name or a number", data)
	}
	*id = ID(strconv.FormatUint(number, 10))
	return nil
}

// Number returns the ID as a number, and whether it is one and no name.
func (id ID) Number() (uint32, bool) {
	if !id.isNumber() {
		return 0, false
	}
	number, err := strconv.ParseUint(string(id), 10, 32)
	return uint32(number), err == nil
}

func (id ID) isNumber() bool {
	for i := range len(id) {
		if id[i] < '0' || id[i] > '9' {
			return false
		}
	}
	return id != ""
}

// String returns the limit as a manifest has it, "soft:hard" when they differ.
func (r Rlimit) String() string {
	if r.Soft == r.Hard {
		return limitText(r.Soft)
	}
	return limitText(r.Soft) + ":" + limitText(r.Hard)
}

func limitText(limit uint64) string {
	if limit == RlimitInfinity {
		return unlimited
	}
	return strconv.FormatUint(limit, 10)
}

// unlimited is how a manifest writes RlimitInfinity.
const unlimited = "unlimited"

// MarshalJSON writes one value when both are the same, else an object.
func (r Rlimit) MarshalJSON() ([]byte, error) {
	if r.Soft == r.Hard {
		return limitJSON(r.Soft), nil
	}
	return fmt.Appendf(nil, `{"soft":%s,"hard":%s}`, limitJSON(r.Soft), limitJSON(r.Hard)), nil
}

func limitJSON(limit uint64) []byte {
	if limit == RlimitInfinity {
		return []byte(`"` + unlimited + `"`)
	}
	return strconv.AppendUint(nil, limit, 10)
}

// UnmarshalJSON reads what MarshalJSON writes.
func (r *Rlimit) UnmarshalJSON(data []byte) error {
	if len(data) == 0 || data[0] != '{' {
		limit, err := limitFromJSON(data)
		*r = Rlimit{Soft: limit, Hard: limit}
		return err
	}
	var both struct{ Soft, Hard json.RawMessage }
	if err := json.Unmarshal(data, &both); err != nil {
		return err
	}
	var err error
	if r.Soft, err = limitFromJSON(both.Soft); err != nil {
		return err
	}
	r.Hard, err = limitFromJSON(both.Hard)
	return err
}

func limitFromJSON(data []byte) (uint64, error) {
	if string(data) == `"`+unlimited+`"` {
		return RlimitInfinity, nil
	}
	limit, err := strconv.ParseUint(string(data), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("cannot read rlimit %s: want a number or \"unlimited\"", data)
	}
	return limit, nil
}
