package engine

// For tests.
var (
	Newer    = newer
	OnlyRoot = onlyRoot
	ClockOff = clockOff
)
