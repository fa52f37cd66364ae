package policy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// apiError is an error as OpenAI's API writes it.
type apiError struct {
	status  int
	retry   bool // ask the client to come back in a second
	Message string
	Param   string
	Code    string
}

// Error returns the message.
func (e *apiError) Error() string { return e.Message }

// MarshalJSON writes the object that clients read.
func (e *apiError) MarshalJSON() ([]byte, error) {
	kind := "invalid_request_error"
	switch {
	case e.status == http.StatusTooManyRequests:
		kind = "rate_limit_error"
	case e.status >= http.StatusInternalServerError:
		kind = "server_error"
	}
	return json.Marshal(map[string]any{"error": map[string]any{
		"message": e.Message, "type": kind, "param": orNull(e.Param), "code": orNull(e.Code)}})
}

func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

var (
	errTimeout  = &apiError{status: http.StatusGatewayTimeout, Message: "the request took too long", Code: "timeout"}
	errShutdown = &apiError{status: http.StatusServiceUnavailable, retry: true, Message: "the server is shutting down", Code: "shutdown"}
	errFull     = &apiError{status: http.StatusTooManyRequests, retry: true, Message: "too many requests are waiting", Code: "queue_full"}
)

// invalid is a mistake in a request's parameter.
func invalid(param, format string, args ...any) error {
	return &apiError{status: http.StatusBadRequest, Message: fmt.Sprintf(format, args...), Param: param, Code: "invalid_value"}
}

// asAPIError finds the object for an error.
func asAPIError(err error) *apiError {
	if e, ok := errors.AsType[*apiError](err); ok {
		return e
	}
	if e, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return &apiError{status: http.StatusRequestEntityTooLarge, Message: fmt.Sprintf("the request has more than %d bytes", e.Limit), Code: "request_too_large"}
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return errTimeout
	}
	return &apiError{status: http.StatusInternalServerError, Message: err.Error(), Code: "internal_error"}
}

// writeError answers with an error, unless the client has gone. After the first bytes of
// a stream it is an event of that.
func writeError(w *statusWriter, r *http.Request, err error) {
	if errors.Is(r.Context().Err(), context.Canceled) {
		return
	}
	e := asAPIError(err)
	if w.written != 0 {
		sendEvent(w, e)
		return
	}
	if e.retry {
		w.Header().Set("Retry-After", "1")
	}
	writeJSON(w, e.status, e)
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(append(body, '\n'))
}

// readBody decodes a request. Members that are not known are ignored, as OpenAI does.
func readBody(r *http.Request, into any) error {
	d := json.NewDecoder(r.Body)
	err := d.Decode(into)
	if err == nil && d.More() {
		err = errors.New("something follows the object")
	}
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return err
	}
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		field := strings.NewReplacer("replyRequest.", "", "refusals.", "").Replace(e.Field)
		return invalid(field, "%s is of type %s, want %s", orRequest(field), e.Value, e.Type)
	}
	if e, ok := errors.AsType[*apiError](err); ok {
		return e
	}
	return &apiError{status: http.StatusBadRequest, Message: "the request is not JSON: " + err.Error(), Code: "invalid_json"}
}

func orRequest(field string) string {
	if field == "" {
		return "the request"
	}
	return field
}
