package status

// Failure is the API's answer when it could not do what was asked. It has the
// shape of Kubernetes' metav1.Status, and it is an error.
type Failure struct {
	APIVersion string          `json:"apiVersion"` // v1
	Kind       string          `json:"kind"`       // Status
	Metadata   ListMeta        `json:"metadata"`   // empty
	Status     string          `json:"status"`     // Failure
	Message    string          `json:"message"`
	Reason     FailureReason   `json:"reason"`
	Details    *FailureDetails `json:"details,omitempty"`
	Code       int             `json:"code"` // of HTTP
}

// FailureDetails names what the failure is about.
type FailureDetails struct {
	Name  string `json:"name,omitempty"`
	Group string `json:"group,omitempty"` // svc.d
	Kind  string `json:"kind,omitempty"`  // services, replicas
	// RetryAfterSeconds says that the same request may do better then.
	RetryAfterSeconds int `json:"retryAfterSeconds,omitempty"`
}

// FailureReason is one of Kubernetes' StatusReasons.
type FailureReason string

// The reasons that the API gives.
const (
	FailureBadRequest       FailureReason = "BadRequest"
	FailureForbidden        FailureReason = "Forbidden"
	FailureNotFound         FailureReason = "NotFound"
	FailureMethodNotAllowed FailureReason = "MethodNotAllowed"
	FailureConflict         FailureReason = "Conflict"
	FailureExpired          FailureReason = "Expired"
	FailureTooLarge         FailureReason = "RequestEntityTooLarge"
	FailureTooManyRequests  FailureReason = "TooManyRequests"
	FailureInternal         FailureReason = "InternalError"
	FailureUnavailable      FailureReason = "ServiceUnavailable"
	FailureTimeout          FailureReason = "Timeout"
	FailureUnknown          FailureReason = "Unknown"
)

// NewFailure returns a failure with the code that HTTP has for the reason.
func NewFailure(reason FailureReason, message string) *Failure {
	return &Failure{
		APIVersion: "v1", Kind: "Status", Status: "Failure",
		Message: message, Reason: reason, Code: reason.code(),
	}
}

// Error returns the message.
func (f *Failure) Error() string { return f.Message }

// code is the status code of HTTP. The numbers stand here because net/http would
// be a heavy dependency for a package of plain types.
func (r FailureReason) code() int {
	switch r {
	case FailureBadRequest:
		return 400
	case FailureForbidden:
		return 403
	case FailureNotFound:
		return 404
	case FailureMethodNotAllowed:
		return 405
	case FailureConflict:
		return 409
	case FailureExpired:
		return 410
	case FailureTooLarge:
		return 413
	case FailureTooManyRequests:
		return 429
	case FailureUnavailable:
		return 503
	case FailureTimeout:
		return 504
	case FailureInternal, FailureUnknown:
		return 500
	default:
		return 500
	}
}
