package desired

// What the fuzz tests reach.
var (
	Comment     = comment
	SystemdText = systemdText
	CaddyQuote  = caddyQuote
)
