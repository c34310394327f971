package remote

// KeepAlive and ParseSSHConfig are tested by themselves: one by the clock, the
// other by what it may be fed.
var (
	KeepAlive      = keepAlive
	ParseSSHConfig = parseSSHConfig
)

// Check tells whether Dial would take the target.
func (t Target) Check() error { return t.check() }
