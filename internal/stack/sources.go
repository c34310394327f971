package stack

import "github.com/hashicorp/hcl/v2"

// Sources holds the files that a stack was read from, to quote lines of them,
// and what must never be quoted.
type Sources struct {
	files   map[string]*hcl.File
	hidden  map[string]bool // files whose values are never quoted: those of --var-file
	secrets []string        // texts that are masked wherever they would be printed
}
