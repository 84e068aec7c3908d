package spec_test

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"svc.d/spec"
)

func TestQuantitiesAreReadAndShownAsBytes(t *testing.T) {
	for text, want := range map[string]struct {
		bytes spec.Quantity
		shown string
	}{
		"10Mi": {10 << 20, "10Mi"}, "500k": {500_000, "500k"}, "1G": {1e9, "1G"}, "1Ti": {1 << 40, "1Ti"}, "1T": {1e12, "1T"},
		"1.5Gi": {1536 << 20, "1536Mi"}, "0.5Gi": {512 << 20, "512Mi"}, "1.0Gi": {1 << 30, "1Gi"}, "0.0001G": {100_000, "100k"},
		"65536": {65536, "64Ki"}, `"65536"`: {65536, "64Ki"}, "65537": {65537, "65537"}, "100000.0k": {1e8, "100M"}, "64Ki": {65536, "64Ki"},
		// One number of bytes has one form: that of the smaller number.
		"128k": {128_000, "125Ki"}, "1024Ki": {1 << 20, "1Mi"}, "1000k": {1e6, "1M"}, "1000Ki": {1_024_000, "1000Ki"},
	} {
		got, problems := parseSpec(t, "log: {maxSize: "+text+"}")
		if got.Log.MaxSize != want.bytes || len(problems) > 0 {
			t.Errorf("%s = %d, %v; want %d", text, got.Log.MaxSize, problems, want.bytes)
		}
		if shown := got.Log.MaxSize.String(); shown != want.shown {
			t.Errorf("%s is shown as %q, want %q", text, shown, want.shown)
		}
	}
}

// TestAQuantityThatIsNoneIsAProblem holds the end of each message.
func TestAQuantityThatIsNoneIsAProblem(t *testing.T) {
	const long = "1048576.0000000000000000000000000000000000000000000000000000000000001Ki"
	for text, want := range map[string]string{
		`"10MB"`: `not "10MB"; did you mean "10M"?`, "10mb": `did you mean "10M"?`, "10m": `did you mean "10M"?`,
		"10MiB": `did you mean "10Mi"?`, "10mi": `did you mean "10Mi"?`, `"10 Mi"`: `did you mean "10Mi"?`, "500K": `did you mean "500k"?`,
		"500KB": `did you mean "500k"?`, "1g": `did you mean "1G"?`, "1.5gib": `did you mean "1.5Gi"?`, "100000b": `did you mean "100000"?`,
		"10B": `not "10B"`, "2TB": `not "2TB"`, "63Ki": `not "63Ki"`, "65535": "not 65535", "2Ti": `not "2Ti"`, "9999999999999T": `not "9999999999999T"`,
		"100.3Ki": `not "100.3Ki": it is not a whole number of bytes`, `"100000.5"`: "it is not a whole number of bytes",
		"100000.5": "not 100000.5", "1e6": "not 1e6", "1Pi": `not "1Pi"`, "-1Mi": `not "-1Mi"`, "+1Mi": `not "+1Mi"`, "+100000": "not +100000",
		"010Mi": `not "010Mi"`, "0100000": "not 0100000", "0x100000": "not 0x100000", "100_000": "not 100_000", ".5Mi": `not ".5Mi"`, "1.Mi": `not "1.Mi"`,
		"1.2.3Mi": `not "1.2.3Mi"`, "Mi": `not "Mi"`, `""`: `not ""`, `"1,5Gi"`: `not "1,5Gi"`, "true": "not true", "[1Mi]": "not a list", "{a: 1Mi}": "not an object",
		long: "…\"", "0.000000000931322574615478515625Ti": `not "0.000000000931322574615478515625Ti"`,
	} {
		_, problems := parseSpec(t, "log: {maxSize: "+text+"}")
		if len(problems) != 1 || !strings.HasSuffix(problems[0].Message, want) {
			t.Errorf("%s: %v, want one problem that ends in %s", text, problems, want)
			continue
		}
		const allowed = `must be a number of bytes from 64Ki to 1Ti such as "10Mi", "500M" or 10000000 (the units are k, M, G, T, Ki, Mi, Gi and Ti)`
		if !strings.HasPrefix(problems[0].Message, allowed) {
			t.Errorf("%s: %q does not say what is allowed", text, problems[0].Message)
		}
	}
}

func TestAnyQuantityIsTheSameAfterItWasWrittenAndRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		unit := rapid.SampledFrom([]int64{1, 1000, 1e6, 1e9, 1e12, 1 << 10, 1 << 20, 1 << 30, 1 << 40}).Draw(t, "unit")
		q := spec.Quantity(rapid.Int64Range(0, math.MaxInt64/unit).Draw(t, "number") * unit)
		data, err := json.Marshal(q)
		if err != nil {
			t.Fatal(err)
		}
		var got spec.Quantity
		if err := json.Unmarshal(data, &got); err != nil || got != q {
			t.Errorf("%d is written as %s and read as %d: %v", q, data, got, err)
		}
	})
}

func TestTheAgeOfLogsIsADurationOrNone(t *testing.T) {
	for text, want := range map[string]string{"0": "0s", "0s": "0s", `"0"`: "0s", "1s": "1s", "168h": "168h", "1h30m": "1h30m", "8760h": "8760h"} {
		got, problems := parseSpec(t, "log: {maxAge: "+text+"}")
		if got.Log.MaxAge.String() != want || len(problems) > 0 {
			t.Errorf("%s = %v, %v; want %s", text, got.Log.MaxAge, problems, want)
		}
	}
	const allowed = `must be a duration from 1s to 8760h such as "12h" or "168h", or 0 for no limit, `
	for text, want := range map[string]string{
		"7d": `not "7d"; did you mean "168h"?`, "365d": `not "365d"; did you mean "8760h"?`, "366d": `not "366d"`, "0d": `not "0d"`, "-1d": `not "-1d"`,
		"5": "not 5", "999ms": `not "999ms"`, "-1s": `not "-1s"`, "8761h": `not "8761h"`, "none": `not "none"`, "[1s]": "not a list", "1.5": "not 1.5",
	} {
		_, problems := parseSpec(t, "log: {maxAge: "+text+"}")
		if len(problems) != 1 || problems[0].Message != allowed+want {
			t.Errorf("%s: %v, want %s", text, problems, want)
		}
	}
}

// TestAQuantityAndAnAgeAreTheSameToTheSchema shows the schema what Parse takes
// and refuses.
func TestAQuantityAndAnAgeAreTheSameToTheSchema(t *testing.T) {
	schema := compile(t)
	for value, want := range map[string]bool{
		`{"maxSize": "10Mi"}`: true, `{"maxSize": "1.5Gi"}`: true, `{"maxSize": "500k"}`: true, `{"maxSize": 65536}`: true, `{"maxSize": "65536"}`: true,
		`{"maxSize": "10MB"}`: false, `{"maxSize": "10m"}`: false, `{"maxSize": "500K"}`: false, `{"maxSize": 65535}`: false, `{"maxSize": 100000.5}`: false,
		`{"maxSize": "010Mi"}`: false, `{"maxSize": ".5Mi"}`: false, `{"maxSize": "1.Mi"}`: false, `{"maxSize": ""}`: false, `{"maxSize": "Mi"}`: false,
		`{"maxAge": 0}`: true, `{"maxAge": "0"}`: true, `{"maxAge": "0s"}`: true, `{"maxAge": "168h"}`: true, `{"maxAge": 5}`: false, `{"maxAge": "7d"}`: false,
		`{"maxFiles": 1}`: true, `{"maxFiles": 0}`: false, `{"maxFiles": 1001}`: false, `{"compress": false}`: true, `{"compress": "no"}`: false,
	} {
		service := `{"apiVersion": "svc.d/v1", "kind": "Service", "metadata": {"name": "a"}, "spec": {"command": ["a"], "log": ` + value + `}}`
		defaults := `{"apiVersion": "svc.d/v1", "kind": "ReconcilerConfiguration", "defaults": {"log": ` + value + `}}`
		for _, text := range []string{service, defaults} {
			if got := schema.Validate(asJSON(t, json.RawMessage(text))) == nil; got != want {
				t.Errorf("the schema accepts %s: %v", text, got)
			}
			if got := len(spec.Parse("/d/x.json", []byte(text)).Problems) == 0; got != want {
				t.Errorf("Parse accepts %s: %v", text, got)
			}
		}
	}
}
