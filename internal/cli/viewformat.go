package cli

import "github.com/relayctl/relayctl/internal/stack"

// text prints a text as it is.
func (v *view) text(text []byte) { v.out.Write(text) }

// formatted names a file that is not in canonical form, or was not. What is
// read from standard input has no name to print, unless it is only checked.
func (v *view) formatted(name string, f stack.Formatted, o formatOptions, isInput bool) {
	if isInput && !o.check {
		return
	}
	v.out.printf("%s\n", v.clean(name))
	if o.diff {
		before, after := f.Masked()
		v.unified(0, name+" (as it is)", name+" (after fmt)", before, after)
	}
}
