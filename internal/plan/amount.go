package plan

// Amount is how far something is that can be measured; the zero Amount is none.
type Amount struct {
	Done    int64   `json:"done"`
	Total   int64   `json:"total"`
	Measure Measure `json:"of"` // what is counted: one of these, or things, in the plural
}

// Measure is what an amount is counted in.
type Measure string

// The measures of much that goes on.
const (
	InBytes   Measure = "bytes"
	InSeconds Measure = "seconds" // of a wait that is given up after Total
)
