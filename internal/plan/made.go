package plan

// The names of what every stack makes on its hosts. A file's From names it too.
const (
	CAInternal    = "internal"     // ca; in From: its root certificate, PEM
	CAInternalKey = "internal/key" // ca, only in From: the private key, PEM
	SecretProbe   = "probe"        // secret: the key that is good for a one-token probe only
)

// AttrNotAfter is when a CA's root expires, RFC 3339. Only facts have it.
const AttrNotAfter = "not_after"
