package api

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"runtime"

	"svc.d/spec"
	"svc.d/status"
)

// write sends a value as JSON, or a string as plain text. A client that went
// away, or that does not read until the time-out, gets half of it: nobody can be
// told.
func write(w http.ResponseWriter, code int, value any) {
	switch v := value.(type) {
	case string:
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(code)
		io.WriteString(w, v)
	case *objectList:
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		writeList(w, v)
	default:
		body, err := json.Marshal(v)
		if err != nil {
			code = http.StatusInternalServerError
			body, _ = json.Marshal(status.NewFailure(status.FailureInternal, "cannot encode the answer: "+err.Error()))
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		w.Write(append(body, '\n'))
	}
}

// listBuffer is how much of a list is put into one write.
const listBuffer = 64 << 10

// writeList encodes one object at a time. A thousand in one piece cost 4 MiB of
// resident memory, which the runtime gives back only minutes later.
func writeList(w io.Writer, list *objectList) {
	out := bufio.NewWriterSize(w, listBuffer)
	fmt.Fprintf(out, `{"apiVersion":%q,"kind":%q,"metadata":{"resourceVersion":"%d"},"items":[`,
		spec.APIVersion, list.kind.singular+"List", list.revision)
	for i, c := range list.items {
		if i > 0 {
			runtime.Gosched() // many may ask at a time, and the loop shall not wait behind all of them
			out.WriteString(",\n")
		}
		text, err := c.encode(false, list.sight)
		if err != nil {
			return // it finds the JSON cut off
		}
		if _, err := out.Write(text); err != nil {
			return // the client is gone
		}
	}
	out.WriteString("]}\n")
	out.Flush()
}
