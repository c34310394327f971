package engine

// For tests.
var (
	Newer           = newer
	OnlyCertificate = onlyCertificate
)
