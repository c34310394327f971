package plan

// The names of what every stack makes on its hosts. A file's From names it too.
const (
	CAInternal    = "internal"     // ca; in From: its root certificate, PEM
	CAInternalKey = "internal/key" // ca, only in From: the private key, PEM
	SecretProbe   = "probe"        // secret: the key that is good for a one-token probe only

	SecretWorker     = "worker"      // secret: by which the relay knows a worker
	SecretWorkerNext = "worker.next" // secret: that is to take its place, while it is rotated
)

// AttrUntil is of a key, and only of a step that replaces its hash: until when
// the former one stays good, RFC 3339. AttrFormer is what facts tell of it: a
// HASH@TIME for each former hash that was kept, with blanks between.
const (
	AttrUntil  = "until"
	AttrFormer = "former"
)

// AttrNotAfter is when a CA's root expires, RFC 3339. Only facts have it.
const AttrNotAfter = "not_after"
